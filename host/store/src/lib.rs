//! Where runs live: the [`Store`] trait, the in-memory store, and one suite that every backend passes.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stepcell_core::{Digest, Event, RunId, StepId};

/// Events to add to the end of a run, with what is derived from them. Applied whole or not at all.
#[derive(Debug, Clone)]
pub struct Append {
    pub run: RunId,
    /// The last `seq` the writer knows of; 0 for a new run. The append is refused where the run has gone on.
    pub expected: u64,
    /// Never empty; `seq` goes on from `expected` without gaps.
    pub events: Vec<Event>,
    /// The run's entry in listings, as it is after these events.
    pub summary: RunSummary,
    pub timers: Vec<TimerChange>,
}

/// A run as listings show it, and as recovery finds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    pub flow: String,
    pub status: RunStatus,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The run's last event.
    pub seq: u64,
}

pub use stepcell_core::run::RunStatus;

/// Sets or clears the one timer of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum TimerChange {
    Set { step: StepId, due: Timestamp },
    Clear { step: StepId, due: Timestamp },
}

/// A timer that is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Timer {
    pub run: RunId,
    pub step: StepId,
    pub due: Timestamp,
}

/// Which runs to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub status: Option<RunStatus>,
    pub flow: Option<String>,
    /// Only runs older than this one: the last of the page before.
    pub before: Option<RunId>,
    /// At most this many; a backend may give fewer only at the end.
    pub limit: usize,
}

/// Durable runs, timers and blobs.
///
/// What a future of this trait has answered is on the disk. What is not yet on the disk nobody reads: a read
/// gives the state before an append or after its sync, never between.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// Adds events to a run. The append is queued, in order, when this returns; the future is done after the
    /// sync, and may be dropped by a writer who need not know. One sync serves all appends that wait for it.
    /// After an error, later appends to the same run fail as well, since `expected` does not fit.
    fn append(&self, append: Append) -> BoxFuture<'static, Result<(), Error>>;

    /// A run's listing entry, `None` for no such run.
    fn summary(&self, run: RunId) -> BoxFuture<'_, Result<Option<RunSummary>, Error>>;

    /// A run's events past `after`, at most `limit`, oldest first.
    fn events(&self, run: RunId, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, Error>>;

    /// Runs, newest first.
    fn list(&self, query: Query) -> BoxFuture<'_, Result<Vec<(RunId, RunSummary)>, Error>>;

    /// Runs that are neither finished nor parked: those that a host which stopped has left behind.
    /// Oldest first, after `after`, at most `limit`.
    fn unfinished(&self, after: Option<RunId>, limit: usize) -> BoxFuture<'_, Result<Vec<RunId>, Error>>;

    /// Timers that are due at `now`, earliest first, at most `limit`. They stay until an append clears them.
    fn due_timers(&self, now: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<Timer>, Error>>;

    /// When the earliest timer is due.
    fn next_timer(&self) -> BoxFuture<'_, Result<Option<Timestamp>, Error>>;

    /// Keeps bytes under their digest. Done after the sync; the same bytes twice are kept once.
    fn put_blob(&self, bytes: Bytes) -> BoxFuture<'_, Result<Digest, Error>>;

    /// The bytes of a blob, `None` for no such blob.
    fn blob(&self, digest: Digest) -> BoxFuture<'_, Result<Option<Bytes>, Error>>;

    /// Tells of every run that has new synced events. A slow receiver lags; it then reads the events anew.
    fn subscribe(&self) -> tokio::sync::broadcast::Receiver<RunId>;

    /// How many real syncs there were since the start, for the benchmarks.
    fn syncs(&self) -> u64;
}

/// A store that several parts of the host share.
pub type SharedStore = Arc<dyn Store>;

/// Why the store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Somebody else has written to the run: another host, or an earlier append failed.
    #[error("run {run} is at event {found}, not {expected}: somebody else has written to it")]
    Conflict { run: RunId, expected: u64, found: u64 },
    /// The disk is full. Reading goes on.
    #[error("the disk that holds the data folder is full")]
    Full,
    /// Reading or writing failed; nothing was acknowledged.
    #[error("{action}: {reason}")]
    Io { action: &'static str, reason: String },
    /// What was read is not what was written.
    #[error("{what} is damaged: {reason}")]
    Damaged { what: String, reason: String },
    /// Another process has the data folder open.
    #[error("the data folder is in use by another process")]
    InUse,
}
