//! What the committer is asked to do. Encoded by whoever asks, so that the one committer need not.

use sled::IVec;
use stepcell_core::{Digest, RunId};
use stepcell_store::{Append, Error, RunSummary, Timer, TimerChange};
use tokio::sync::oneshot;

use crate::parts::{self, Encoded};

/// A write, and who waits for it. Nobody may: a receiver that was dropped does not stop the write.
pub(crate) struct Write {
    pub(crate) body: Body,
    pub(crate) done: oneshot::Sender<Result<(), Error>>,
}

pub(crate) enum Body {
    Append(Box<AppendWrite>),
    Blob { digest: Digest, bytes: Encoded },
}

pub(crate) struct AppendWrite {
    pub(crate) run: RunId,
    pub(crate) expected: u64,
    pub(crate) events: Encoded,
    pub(crate) summary: RunSummary,
    pub(crate) encoded_summary: IVec,
    pub(crate) timers: Vec<(Timer, Change)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Set,
    Clear,
}

impl Write {
    /// What it adds to the log, about.
    pub(crate) fn log_bytes(&self) -> usize {
        match &self.body {
            Body::Append(append) => append.events.log_bytes() + append.encoded_summary.len(),
            Body::Blob { bytes, .. } => bytes.log_bytes(),
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        match &self.body {
            Body::Append(append) => append.events.memory_bytes() + append.encoded_summary.len(),
            Body::Blob { bytes, .. } => bytes.memory_bytes(),
        }
    }
}

impl AppendWrite {
    pub(crate) fn encode(append: Append) -> Result<Self, Error> {
        append.check()?;
        let Append { run, expected, events, summary, timers } = append;
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
        Ok(Self { run, expected, events, summary, encoded_summary, timers })
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
