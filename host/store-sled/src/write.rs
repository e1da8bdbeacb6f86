//! What the committer is asked to do. Encoded by whoever asks, so that the one committer need not.

use jiff::Timestamp;
use sled::IVec;
use stepcell_core::{Digest, RunId};
use stepcell_store::{Append, BlobRef, Error, Hold, RunSummary, Timer, TimerChange};
use tokio::sync::oneshot;

use crate::parts::{self, Encoded};

/// A write, and who waits for it. Nobody may: a receiver that was dropped does not stop the write.
pub(crate) struct Write {
    pub(crate) body: Body,
    pub(crate) done: oneshot::Sender<Result<bool, Error>>,
}

pub(crate) enum Body {
    /// Answered with `true`.
    Append(Box<AppendWrite>),
    /// A small blob comes with its bytes, a large one is in its file; [`Error::BlobMissing`] where it is not, or
    /// not any more. Answered with whether the blob is new.
    Blob { digest: Digest, bytes: Option<Encoded>, hold: Hold },
    /// Answered with whether there was such a run.
    Remove(RunId),
    /// Clears away a part of what a removed run has left; answered with whether there is more.
    Clear(RunId),
    /// Ends some of the holds that are over; answered with whether there are more.
    Expire(Timestamp),
    /// Clears timers of runs that are not there. Answered with `true`.
    Orphans(Vec<Timer>),
}

/// What holding or releasing a blob adds to the log, about: its keys and those of the log's own.
const HOLD_LOG_BYTES: usize = 200;
/// What [`Body::Clear`] and [`Body::Expire`] add to the log, about, and at the most: see `batch`.
const CLEAR_LOG_BYTES: usize = 128 << 10;
/// What a few keys add to the log.
const KEYS_LOG_BYTES: usize = 500;

pub(crate) struct AppendWrite {
    pub(crate) run: RunId,
    pub(crate) expected: u64,
    pub(crate) events: Encoded,
    pub(crate) summary: RunSummary,
    pub(crate) encoded_summary: IVec,
    pub(crate) timers: Vec<(Timer, Change)>,
    pub(crate) blobs: Vec<BlobRef>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Set,
    Clear,
}

impl Write {
    /// What it adds to the log, about, without the bytes that an append may bring for its blobs.
    pub(crate) fn log_bytes(&self) -> usize {
        match &self.body {
            Body::Append(append) => {
                let holds = HOLD_LOG_BYTES * append.blobs.len();
                append.events.log_bytes() + append.encoded_summary.len() + holds
            }
            Body::Blob { bytes, .. } => HOLD_LOG_BYTES + bytes.as_ref().map_or(0, Encoded::log_bytes),
            Body::Remove(_) => KEYS_LOG_BYTES,
            Body::Clear(_) | Body::Expire(_) => CLEAR_LOG_BYTES,
            Body::Orphans(timers) => KEYS_LOG_BYTES + HOLD_LOG_BYTES * timers.len(),
        }
    }

    /// Whether it is of those that make room on the disk.
    pub(crate) fn makes_room(&self) -> bool {
        match &self.body {
            Body::Append(_) | Body::Blob { .. } => false,
            Body::Remove(_) | Body::Clear(_) | Body::Expire(_) | Body::Orphans(_) => true,
        }
    }

    /// What it holds in memory. The bytes that an append may bring are not its own: all runs of a flow share
    /// those of its definition.
    pub(crate) fn memory_bytes(&self) -> usize {
        match &self.body {
            Body::Append(append) => append.events.memory_bytes() + append.encoded_summary.len(),
            Body::Blob { bytes, .. } => bytes.as_ref().map_or(0, Encoded::memory_bytes),
            Body::Remove(_) | Body::Clear(_) | Body::Expire(_) => 0,
            Body::Orphans(timers) => HOLD_LOG_BYTES * timers.len(),
        }
    }
}

impl AppendWrite {
    pub(crate) fn encode(append: Append) -> Result<Self, Error> {
        append.check()?;
        let Append { run, expected, events, summary, timers, blobs } = append;
        let malformed = |e: serde_json::Error| Error::Malformed { run, reason: e.to_string() };
        let events = parts::encode(|bytes| serde_json::to_writer(bytes, &events)).map_err(malformed)?;
        let encoded_summary = IVec::from(serde_json::to_vec(&summary).map_err(malformed)?);
        let timers = timers
            .into_iter()
            .map(|change| match change {
                TimerChange::Set { step, due } => (Timer { due, run, step }, Change::Set),
                TimerChange::Clear { step, due } => (Timer { due, run, step }, Change::Clear),
            })
            .collect();
        Ok(Self { run, expected, events, summary, encoded_summary, timers, blobs })
    }

    /// The same refusal as [`Append::fits`].
    pub(crate) fn fits(&self, found: u64) -> Result<(), Error> {
        if found == self.expected {
            Ok(())
        } else {
            Err(Error::Conflict { run: self.run, expected: self.expected, found })
        }
    }
}
