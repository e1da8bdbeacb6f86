//! A store whose process stops.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use stepcell_core::{Digest, Event, RunId, StepId};
use stepcell_store::{
    Append, Error, Hold, KeptEvent, Looker, Put, Query, RunSummary, Store, Taken, Timer, Waiter,
};
use stepcell_store_sled::SledStore;
use tokio::sync::{Notify, broadcast};

/// A real store that answers nobody any more once a certain event is in it: as far as the engine can tell, the
/// process has ended right then.
#[derive(Debug)]
pub(super) struct StoppingStore {
    store: SledStore,
    /// The event that is the last one.
    last: u64,
    /// The last event is on its way: nothing is begun any more.
    is_stopping: AtomicBool,
    /// It is on the disk.
    stopped: Arc<Notify>,
    appends: AtomicUsize,
}

impl StoppingStore {
    pub(super) fn new(store: SledStore, last: u64) -> Arc<Self> {
        let (is_stopping, stopped) = (AtomicBool::new(false), Arc::default());
        Arc::new(Self { store, last, is_stopping, stopped, appends: AtomicUsize::new(0) })
    }

    /// How often something was appended.
    pub(super) fn appends(&self) -> usize {
        self.appends.load(Ordering::SeqCst)
    }

    /// Done when the store has stopped.
    pub(super) async fn stopped(&self) {
        self.stopped.notified().await;
    }

    fn alive<'a, T: 'a>(&self, call: impl FnOnce() -> BoxFuture<'a, T>) -> BoxFuture<'a, T> {
        if self.is_stopping.load(Ordering::SeqCst) { pending().boxed() } else { call() }
    }
}

impl Store for StoppingStore {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<(), Error>> {
        let is_last = append.summary.seq >= self.last;
        self.appends.fetch_add(1, Ordering::SeqCst);
        let appended = self.alive(|| self.store.append(append));
        if !is_last || self.is_stopping.swap(true, Ordering::SeqCst) {
            return appended;
        }
        let stopped = Arc::clone(&self.stopped);
        // Who is to be told may not wait for it.
        tokio::spawn(async move {
            appended.await.unwrap();
            stopped.notify_one();
        });
        pending().boxed()
    }

    fn summary(&self, run: RunId) -> BoxFuture<'_, Result<Option<RunSummary>, Error>> {
        self.alive(|| self.store.summary(run))
    }

    fn events(&self, run: RunId, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, Error>> {
        self.alive(|| self.store.events(run, after, limit))
    }

    fn list(&self, query: Query) -> BoxFuture<'_, Result<Vec<(RunId, RunSummary)>, Error>> {
        self.alive(|| self.store.list(query))
    }

    fn unfinished(&self, after: Option<RunId>, limit: usize) -> BoxFuture<'_, Result<Vec<RunId>, Error>> {
        self.alive(|| self.store.unfinished(after, limit))
    }

    fn queued(
        &self,
        after: Option<RunId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RunId, RunSummary)>, Error>> {
        self.alive(|| self.store.queued(after, limit))
    }

    fn oldest_finished(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(Timestamp, RunId)>, Error>> {
        self.alive(|| self.store.oldest_finished(before, limit))
    }

    fn finished_count(&self) -> BoxFuture<'_, Result<u64, Error>> {
        self.alive(|| self.store.finished_count())
    }

    fn claimed(&self, key: &str) -> BoxFuture<'_, Result<Option<(RunId, Digest)>, Error>> {
        self.alive(|| self.store.claimed(key))
    }

    fn due_timers(&self, now: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<Timer>, Error>> {
        self.alive(|| self.store.due_timers(now, limit))
    }

    fn next_timer(&self) -> BoxFuture<'_, Result<Option<Timestamp>, Error>> {
        self.alive(|| self.store.next_timer())
    }

    fn waits(
        &self,
        name: &str,
        after: Option<(RunId, StepId)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Waiter>, Error>> {
        self.alive(|| self.store.waits(name, after, limit))
    }

    fn put_event(&self, event: KeptEvent) -> BoxFuture<'_, Result<bool, Error>> {
        self.alive(|| self.store.put_event(event))
    }

    fn kept_event(&self, name: &str, id: &str) -> BoxFuture<'_, Result<Option<KeptEvent>, Error>> {
        self.alive(|| self.store.kept_event(name, id))
    }

    fn kept_events(
        &self,
        name: &str,
        looker: Looker,
        after: Option<(Timestamp, String)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<KeptEvent>, Error>> {
        self.alive(|| self.store.kept_events(name, looker, after, limit))
    }

    fn take_event(&self, name: &str, id: &str, by: Taken) -> BoxFuture<'_, Result<bool, Error>> {
        self.alive(|| self.store.take_event(name, id, by))
    }

    fn put_blob(&self, bytes: Bytes, hold: Hold) -> BoxFuture<'_, Result<Put, Error>> {
        self.alive(|| self.store.put_blob(bytes, hold))
    }

    fn blob(&self, digest: Digest) -> BoxFuture<'_, Result<Option<Bytes>, Error>> {
        self.alive(|| self.store.blob(digest))
    }

    fn has_blob(&self, digest: Digest) -> BoxFuture<'_, Result<bool, Error>> {
        self.alive(|| self.store.has_blob(digest))
    }

    fn blobs_of(
        &self,
        run: RunId,
        after: Option<Digest>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Digest>, Error>> {
        self.alive(|| self.store.blobs_of(run, after, limit))
    }

    fn remove_run(&self, run: RunId) -> BoxFuture<'_, Result<bool, Error>> {
        self.alive(|| self.store.remove_run(run))
    }

    fn remove_runs(&self, runs: Vec<RunId>) -> BoxFuture<'_, Result<u64, Error>> {
        self.alive(|| self.store.remove_runs(runs))
    }

    fn sweep(&self, now: Timestamp) -> BoxFuture<'_, Result<(), Error>> {
        self.alive(|| self.store.sweep(now))
    }

    fn subscribe(&self) -> broadcast::Receiver<RunId> {
        self.store.subscribe()
    }

    fn syncs(&self) -> u64 {
        self.store.syncs()
    }
}
