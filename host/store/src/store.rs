//! What every backend does.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use stepcell_core::{Digest, Event, RunId, StepId};
use tokio::sync::broadcast;

use crate::{Append, Error, Hold, KeptEvent, Looker, Put, Query, RunSummary, Taken, Timer, Waiter};

/// A store that several parts of the host share.
pub type SharedStore = Arc<dyn Store>;

/// How many runs a slow receiver of [`Store::subscribe`] may lag behind before it is told that it has missed
/// some. Bounds the memory that a receiver which stands still can hold.
pub const SUBSCRIBE_LAG_MAX: usize = 4096;

/// Durable runs, timers, waits, kept events and blobs.
///
/// What a future of this trait has answered is on the disk. What is not yet on the disk nobody reads: a read
/// gives the state before an append or after its sync, never between. A read of several runs is right for each
/// of them, but not a picture of one moment.
///
/// Futures are to be polled within a tokio runtime; none of them blocks its thread.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// Adds events to a run. The append is queued, in order, when this returns; the future is done after the
    /// sync, and may be dropped by a writer who need not know. One sync serves all appends that wait for it.
    /// After an error, later appends to the same run fail as well, since `expected` does not fit.
    fn append(&self, append: Append) -> BoxFuture<'static, Result<(), Error>>;

    /// A run's listing entry, `None` for no such run.
    fn summary(&self, run: RunId) -> BoxFuture<'_, Result<Option<RunSummary>, Error>>;

    /// A run's events past `after`, at most `limit`, oldest first. None for no such run.
    fn events(&self, run: RunId, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, Error>>;

    /// Runs, newest first.
    fn list(&self, query: Query) -> BoxFuture<'_, Result<Vec<(RunId, RunSummary)>, Error>>;

    /// Runs that are neither finished nor parked: those that a host which stopped has left behind.
    /// Oldest first, after `after`, at most `limit`.
    fn unfinished(&self, after: Option<RunId>, limit: usize) -> BoxFuture<'_, Result<Vec<RunId>, Error>>;

    /// Runs that were submitted and have not begun, oldest first, after `after`, at most `limit`.
    fn queued(
        &self,
        after: Option<RunId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RunId, RunSummary)>, Error>>;

    /// Runs that ended before then, by when they did, at most `limit`.
    fn oldest_finished(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(Timestamp, RunId)>, Error>>;

    /// How many runs there are that have ended. Counted as they end, so that asking costs nothing.
    fn finished_count(&self) -> BoxFuture<'_, Result<u64, Error>>;

    /// The run that was submitted under this key, with the digest of what was submitted.
    fn claimed(&self, key: &str) -> BoxFuture<'_, Result<Option<(RunId, Digest)>, Error>>;

    /// Timers that are due at `now`, earliest first, at most `limit`. They stay until an append clears them.
    fn due_timers(&self, now: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<Timer>, Error>>;

    /// When the earliest timer is due.
    fn next_timer(&self) -> BoxFuture<'_, Result<Option<Timestamp>, Error>>;

    /// Steps that wait for signals of this name, past `after`, at most `limit`. By run; those of one run in an
    /// order of the backend's own.
    ///
    /// Who keeps an event and then reads this, and who waits and then reads [`kept_events`](Self::kept_events),
    /// each after the answer of its write: at least one of the two sees the other.
    fn waits(
        &self,
        name: &str,
        after: Option<(RunId, StepId)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Waiter>, Error>>;

    /// Keeps an event; `false` where there is one of this name and id already, which stays as it is. Done after
    /// the sync. [`Error::EventTooLarge`] beyond what [`KeptEvent`] says.
    fn put_event(&self, event: KeptEvent) -> BoxFuture<'_, Result<bool, Error>>;

    /// The event of this name and id, `None` for no such event. One whose time is over is here until the next
    /// [`sweep`](Self::sweep).
    fn kept_event(&self, name: &str, id: &str) -> BoxFuture<'_, Result<Option<KeptEvent>, Error>>;

    /// Events of this name that [the run may have](Looker::may_have), past `after`, the instant and the id of
    /// another one, at most `limit`. Oldest first; those of the same instant in an order of the backend's own. Of
    /// those that it may not have nothing is read from the disk.
    fn kept_events(
        &self,
        name: &str,
        looker: Looker,
        after: Option<(Timestamp, String)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<KeptEvent>, Error>>;

    /// Notes whom an event has woken. Of several at a time one gets `true`; so does who asks again. `false` where
    /// it is somebody else's, or there is no such event. Done after the sync.
    fn take_event(&self, name: &str, id: &str, by: Taken) -> BoxFuture<'_, Result<bool, Error>>;

    /// Keeps bytes under their digest for as long as `hold` says. Done after the sync; the same bytes twice are
    /// kept once.
    ///
    /// A run that puts blobs before its first append is on the disk must get there: a run that never does is
    /// only found to hold them at the next start.
    fn put_blob(&self, bytes: Bytes, hold: Hold) -> BoxFuture<'_, Result<Put, Error>>;

    /// The bytes of a blob, `None` for no such blob.
    fn blob(&self, digest: Digest) -> BoxFuture<'_, Result<Option<Bytes>, Error>>;

    /// Whether there is such a blob. Reads none of its bytes.
    fn has_blob(&self, digest: Digest) -> BoxFuture<'_, Result<bool, Error>>;

    /// The blobs that a run holds, by digest, past `after`, at most `limit`. Those of a run that is being removed may
    /// be fewer: who needs them all asks afterwards whether the run is still there.
    fn blobs_of(
        &self,
        run: RunId,
        after: Option<Digest>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Digest>, Error>>;

    /// Removes a run that has ended, with its events and with every blob that nobody else holds; `false` for no
    /// such run. Nobody sees the run any more when this is done, and its bytes are off the disk, as far as the
    /// backend can tell. A caller that goes away in between leaves the rest to [`sweep`](Self::sweep).
    ///
    /// [`Error::Unfinished`] for a run that goes on. The id is never to be used again.
    fn remove_run(&self, run: RunId) -> BoxFuture<'_, Result<bool, Error>>;

    /// Removes those of these runs that have ended, as [`remove_run`](Self::remove_run) does, and gives how many
    /// there were. A sync serves many of them. Stops at the first error.
    fn remove_runs(&self, runs: Vec<RunId>) -> BoxFuture<'_, Result<u64, Error>>;

    /// Ends every [`Hold::Until`] and every kept event that is over at `now`, and clears away what removed runs have left. To be
    /// called every now and then; writes nothing where there is nothing to do.
    fn sweep(&self, now: Timestamp) -> BoxFuture<'_, Result<(), Error>>;

    /// Tells of every run that has new synced events, once for all that one sync has brought. A slow receiver
    /// lags, by [`SUBSCRIBE_LAG_MAX`] at most; it then reads the events anew.
    fn subscribe(&self) -> broadcast::Receiver<RunId>;

    /// How many real syncs there were since the start, for the benchmarks.
    fn syncs(&self) -> u64;
}
