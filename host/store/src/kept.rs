//! Events from outside that came before the run that waits for them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stepcell_core::{Json, RunId};

use crate::Error;

/// The largest payload of a kept event, in bytes. Keeps what a sender can make the store write at a time as small
/// as what fits into one of its batches.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// The longest name, id and sender of a kept event, in bytes each. Keeps what goes beside its payload small.
pub const LABEL_BYTES_MAX: usize = 512;

/// An event that is kept for a time, so that it can be sent before a run waits for it.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptEvent {
    /// At most [`LABEL_BYTES_MAX`] long, as `id` and `by` are.
    pub name: String,
    /// Events of the same name and id are the same event.
    pub id: String,
    pub at: Timestamp,
    /// When it is forgotten: [`Store::sweep`](crate::Store::sweep) ends it.
    pub until: Timestamp,
    /// At most [`PAYLOAD_BYTES_MAX`] long.
    pub payload: Json,
    /// Who sent it.
    pub by: Option<String>,
    pub taken: Taken,
}

/// Whom a kept event has woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    Nobody,
    Run(RunId),
    /// All that waited for it when it came.
    All,
}

/// A run that looks for kept events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looker {
    pub run: RunId,
    /// When the run began. What has come since then is for it, whoever else has it.
    pub since: Timestamp,
}

impl Looker {
    /// Whether an event of that time is for the run, or may become so.
    pub fn may_have(&self, at: Timestamp, taken: Taken) -> bool {
        at >= self.since || taken.admits(Taken::Run(self.run))
    }
}

impl KeptEvent {
    /// Refuses what no backend may take.
    pub fn check(&self) -> Result<(), Error> {
        let by = self.by.as_ref().map_or(0, String::len);
        let sizes = [
            ("name", self.name.len(), LABEL_BYTES_MAX),
            ("id", self.id.len(), LABEL_BYTES_MAX),
            ("sender", by, LABEL_BYTES_MAX),
            ("payload", self.payload.len(), PAYLOAD_BYTES_MAX),
        ];
        match sizes.into_iter().find(|(_, bytes, most)| bytes > most) {
            Some((what, bytes, most)) => Err(Error::EventTooLarge { what, bytes, most }),
            None => Ok(()),
        }
    }
}

impl Taken {
    /// Whether it is `by`'s now, or may become so.
    pub fn admits(self, by: Self) -> bool {
        self == Self::Nobody || self == by
    }
}
