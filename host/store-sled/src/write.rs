//! What the committer is asked to do. Encoded by whoever asks, so that the one committer need not.

use jiff::Timestamp;
use sled::IVec;
use stepcell_core::{Digest, RunId};
use stepcell_store::{
    Append, BlobRef, Claim, Error, Hold, KeptEvent, RunSummary, Taken, Timer, TimerChange, WaitChange,
};
use tokio::sync::oneshot;

use crate::{
    changes::KEY_LOG_BYTES,
    keys::{EventId, WaitId},
    parts::{self, Encoded},
    signals::{self, Kept},
    summary,
};

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
    /// Clears away a part of what removed runs have left; answered with whether there is more.
    Clear(Vec<RunId>),
    /// Ends some of the holds that are over; answered with whether there are more.
    Expire(Timestamp),
    /// Clears timers of runs that are not there. Answered with `true`.
    Orphans(Vec<Timer>),
    /// Answered with whether it is new.
    PutEvent { id: EventId, kept: Kept, rows: Vec<IVec> },
    /// Answered with whether the event is the taker's now.
    TakeEvent { id: EventId, by: Taken },
    /// Forgets some of the events whose time is over; answered with whether there are more.
    Forget(Timestamp),
}

/// What holding or releasing a blob adds to the log, about.
const HOLD_LOG_BYTES: usize = 4 * KEY_LOG_BYTES;
/// What an append adds to it beside its events and what comes with them, about: the summary, and its place in each
/// listing, before and now.
const APPEND_LOG_BYTES: usize = 9 * KEY_LOG_BYTES;
/// What [`Body::Clear`], [`Body::Expire`] and [`Body::Forget`] add to the log, about, and at the most: see `batch`.
const CLEAR_LOG_BYTES: usize = 128 << 10;
/// What removing a run adds to it: its summary, its place in each listing, its key and the mark.
const REMOVE_LOG_BYTES: usize = 8 * KEY_LOG_BYTES;
/// What the rows of an event add to it beside those of its text.
const EVENT_LOG_BYTES: usize = 4 * KEY_LOG_BYTES;
const WAIT_LOG_BYTES: usize = 2 * KEY_LOG_BYTES;
const CLAIM_LOG_BYTES: usize = 3 * KEY_LOG_BYTES;

pub(crate) struct AppendWrite {
    pub(crate) run: RunId,
    pub(crate) expected: u64,
    pub(crate) events: Encoded,
    pub(crate) summary: RunSummary,
    pub(crate) encoded_summary: IVec,
    pub(crate) timers: Vec<(Timer, Change)>,
    /// With the row of one that is set.
    pub(crate) waits: Vec<(WaitId, Option<IVec>)>,
    pub(crate) claim: Option<ClaimWrite>,
    pub(crate) blobs: Vec<BlobRef>,
}

/// A claim, its key as the digest that stands for it.
pub(crate) struct ClaimWrite {
    pub(crate) key: Digest,
    pub(crate) body: Digest,
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
                let beside = HOLD_LOG_BYTES * append.blobs.len()
                    + KEY_LOG_BYTES * append.timers.len()
                    + WAIT_LOG_BYTES * append.waits.len();
                APPEND_LOG_BYTES + append.events.log_bytes() + append.small_bytes() + beside
            }
            Body::Blob { bytes, .. } => HOLD_LOG_BYTES + bytes.as_ref().map_or(0, Encoded::log_bytes),
            Body::Remove(_) => REMOVE_LOG_BYTES,
            Body::TakeEvent { .. } => EVENT_LOG_BYTES,
            Body::PutEvent { rows, .. } => EVENT_LOG_BYTES + parts::rows_log_bytes(rows),
            Body::Clear(_) | Body::Expire(_) | Body::Forget(_) => CLEAR_LOG_BYTES,
            Body::Orphans(timers) => KEY_LOG_BYTES * timers.len(),
        }
    }

    /// Whether it is of those that make room on the disk.
    pub(crate) fn makes_room(&self) -> bool {
        match &self.body {
            Body::Append(_) | Body::Blob { .. } | Body::PutEvent { .. } | Body::TakeEvent { .. } => false,
            Body::Remove(_) | Body::Clear(_) | Body::Expire(_) | Body::Orphans(_) | Body::Forget(_) => true,
        }
    }

    /// What it holds in memory. The bytes that an append may bring are not its own: all runs of a flow share
    /// those of its definition.
    pub(crate) fn memory_bytes(&self) -> usize {
        match &self.body {
            Body::Append(append) => append.events.memory_bytes() + append.small_bytes(),
            Body::Blob { bytes, .. } => bytes.as_ref().map_or(0, Encoded::memory_bytes),
            Body::PutEvent { rows, .. } => rows.iter().map(|row| row.len()).sum(),
            Body::Clear(runs) => size_of_val(runs.as_slice()),
            Body::Remove(_) | Body::Expire(_) | Body::TakeEvent { .. } | Body::Forget(_) => 0,
            Body::Orphans(timers) => size_of_val(timers.as_slice()),
        }
    }
}

impl Body {
    /// Keeps an event; refuses what is no JSON.
    pub(crate) fn put_event(event: &KeptEvent) -> Result<Self, Error> {
        event.check()?;
        let rows = signals::event(event)
            .map_err(|e| Error::Io { action: "encode an event", reason: e.to_string() })?;
        let kept = Kept { at: event.at, until: event.until, taken: event.taken };
        Ok(Self::PutEvent { id: EventId::new(&event.name, &event.id), kept, rows })
    }
}

impl AppendWrite {
    pub(crate) fn encode(append: Append) -> Result<Self, Error> {
        append.check()?;
        let Append { run, expected, events, summary, timers, waits, claim, blobs } = append;
        let malformed = |e: serde_json::Error| Error::Malformed { run, reason: e.to_string() };
        let events = parts::encode(|bytes| serde_json::to_writer(bytes, &events)).map_err(malformed)?;
        let encoded_summary = IVec::from(summary::encode(&summary));
        let timers = timers
            .into_iter()
            .map(|change| match change {
                TimerChange::Set { step, due } => (Timer { due, run, step }, Change::Set),
                TimerChange::Clear { step, due } => (Timer { due, run, step }, Change::Clear),
            })
            .collect();
        let waits = waits.into_iter().map(|change| match change {
            WaitChange::Set { name, step, matching } => {
                let row = signals::wait(&step, matching.as_ref())?;
                Ok((WaitId::new(&name, run, &step), Some(row)))
            }
            WaitChange::Clear { name, step } => Ok((WaitId::new(&name, run, &step), None)),
        });
        let waits = waits.collect::<Result<_, _>>().map_err(malformed)?;
        let claim = claim.map(|Claim { key, body }| ClaimWrite { key: Digest::of(key.as_bytes()), body });
        Ok(Self { run, expected, events, summary, encoded_summary, timers, waits, claim, blobs })
    }

    /// What goes along with its events, in bytes.
    fn small_bytes(&self) -> usize {
        let waits = self.waits.iter().filter_map(|(_, row)| row.as_ref()).map(|row| row.len());
        self.encoded_summary.len()
            + waits.sum::<usize>()
            + if self.claim.is_some() { CLAIM_LOG_BYTES } else { 0 }
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
