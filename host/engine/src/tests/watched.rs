//! The in-memory store, with eyes on it, and with troubles of a test's choosing.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use stepcell_store::{Error, Hold, KeptEvent, Looker, Put, Query, Taken, Timer, Waiter};
use tokio::sync::broadcast;

use super::*;

#[derive(Debug)]
pub(super) struct WatchedStore {
    inner: MemoryStore,
    /// How often somebody asked for timers that are due.
    pub(super) looks: AtomicUsize,
    /// Reads of logs that fail from now on.
    pub(super) unreadable: AtomicUsize,
    /// The read of waits, counted from now on, that fails; none where it is 0.
    pub(super) lost_waits: AtomicUsize,
    /// Whether the disk is full.
    pub(super) full: AtomicBool,
}

impl WatchedStore {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::new(),
            looks: AtomicUsize::new(0),
            unreadable: AtomicUsize::new(0),
            lost_waits: AtomicUsize::new(0),
            full: AtomicBool::new(false),
        })
    }
}

/// Counts down; gives whether that was the last.
fn counts_out(counter: &AtomicUsize) -> bool {
    counter.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) == Ok(1)
}

fn failed<T: Send + 'static>(action: &'static str) -> BoxFuture<'static, Result<T, Error>> {
    ready(Err(Error::Io { action, reason: "the test says so".to_owned() })).boxed()
}

impl Store for WatchedStore {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<(), Error>> {
        if self.full.load(SeqCst) { ready(Err(Error::Full)).boxed() } else { self.inner.append(append) }
    }

    fn blobs_of(
        &self,
        run: RunId,
        after: Option<Digest>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Digest>, Error>> {
        self.inner.blobs_of(run, after, limit)
    }

    fn summary(&self, run: RunId) -> BoxFuture<'_, Result<Option<RunSummary>, Error>> {
        self.inner.summary(run)
    }

    fn events(&self, run: RunId, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, Error>> {
        if self.unreadable.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            return failed("the log could not be read");
        }
        self.inner.events(run, after, limit)
    }

    fn list(&self, query: Query) -> BoxFuture<'_, Result<Vec<(RunId, RunSummary)>, Error>> {
        self.inner.list(query)
    }

    fn unfinished(&self, after: Option<RunId>, limit: usize) -> BoxFuture<'_, Result<Vec<RunId>, Error>> {
        self.inner.unfinished(after, limit)
    }

    fn queued(
        &self,
        after: Option<RunId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RunId, RunSummary)>, Error>> {
        self.inner.queued(after, limit)
    }

    fn oldest_finished(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(Timestamp, RunId)>, Error>> {
        self.inner.oldest_finished(before, limit)
    }

    fn finished_count(&self) -> BoxFuture<'_, Result<u64, Error>> {
        self.inner.finished_count()
    }

    fn claimed(&self, key: &str) -> BoxFuture<'_, Result<Option<(RunId, Digest)>, Error>> {
        self.inner.claimed(key)
    }

    fn due_timers(&self, now: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<Timer>, Error>> {
        self.looks.fetch_add(1, SeqCst);
        self.inner.due_timers(now, limit)
    }

    fn next_timer(&self) -> BoxFuture<'_, Result<Option<Timestamp>, Error>> {
        self.inner.next_timer()
    }

    fn waits(
        &self,
        name: &str,
        after: Option<(RunId, StepId)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Waiter>, Error>> {
        if counts_out(&self.lost_waits) {
            return failed("the waits could not be read");
        }
        self.inner.waits(name, after, limit)
    }

    fn put_event(&self, event: KeptEvent) -> BoxFuture<'_, Result<bool, Error>> {
        self.inner.put_event(event)
    }

    fn kept_event(&self, name: &str, id: &str) -> BoxFuture<'_, Result<Option<KeptEvent>, Error>> {
        self.inner.kept_event(name, id)
    }

    fn kept_events(
        &self,
        name: &str,
        looker: Looker,
        after: Option<(Timestamp, String)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<KeptEvent>, Error>> {
        self.inner.kept_events(name, looker, after, limit)
    }

    fn take_event(&self, name: &str, id: &str, by: Taken) -> BoxFuture<'_, Result<bool, Error>> {
        self.inner.take_event(name, id, by)
    }

    fn put_blob(&self, bytes: Bytes, hold: Hold) -> BoxFuture<'_, Result<Put, Error>> {
        self.inner.put_blob(bytes, hold)
    }

    fn blob(&self, digest: Digest) -> BoxFuture<'_, Result<Option<Bytes>, Error>> {
        self.inner.blob(digest)
    }

    fn has_blob(&self, digest: Digest) -> BoxFuture<'_, Result<bool, Error>> {
        self.inner.has_blob(digest)
    }

    fn remove_run(&self, run: RunId) -> BoxFuture<'_, Result<bool, Error>> {
        self.inner.remove_run(run)
    }

    fn remove_runs(&self, runs: Vec<RunId>) -> BoxFuture<'_, Result<u64, Error>> {
        self.inner.remove_runs(runs)
    }

    fn sweep(&self, now: Timestamp) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.sweep(now)
    }

    fn subscribe(&self) -> broadcast::Receiver<RunId> {
        self.inner.subscribe()
    }

    fn syncs(&self) -> u64 {
        self.inner.syncs()
    }
}
