//! The store: its handle, and the trait.

use std::{
    fmt,
    sync::Arc,
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use futures_util::{
    FutureExt, TryFutureExt,
    future::{BoxFuture, ready},
};
use jiff::Timestamp;
use parking_lot::Mutex;
use sled::Tree;
use stepcell_core::{Digest, Event, RunId, StepId};
use stepcell_store::{
    Append, Error, Hold, KeptEvent, Looker, Put, Query, RunSummary, Store, Taken, Timer, Waiter, digest,
    store::SUBSCRIBE_LAG_MAX,
};
use tokio::sync::{broadcast, oneshot};

use crate::{
    committer::Committer,
    disk::{Device, Disk, RealDevice},
    error,
    files::Files,
    folder::DataDir,
    keys::EventId,
    log::Log,
    mark::Mark,
    opening,
    parts::{self, Encoded},
    queue::Queue,
    reader::Reader,
    view::{Known, View},
    write::{AppendWrite, Body, Write},
};

/// Removed runs that one sweep clears away; the next one goes on.
const REMOVED_PER_SWEEP: usize = 1024;
/// Removed runs that are cleared away together.
const RUNS_PER_CLEAR: usize = 256;
/// Writes by which one sweep forgets kept events. Keeps a flood of them from holding up what else it does.
const FORGETS_PER_SWEEP: usize = 256;
/// Due timers that one sweep looks at.
const TIMERS_PER_SWEEP: usize = 256;

/// The store in a data folder. Dropping it waits until all that is queued has been written.
pub struct SledStore {
    queue: Arc<Queue>,
    reader: Reader,
    disk: Disk,
    news: broadcast::Sender<RunId>,
    /// Runs that an earlier process has left holding blobs, and that may never have begun.
    early: Mutex<Vec<RunId>>,
    committer: Option<JoinHandle<()>>,
    // Behind all that uses the folder.
    data: DataDir,
}

impl SledStore {
    /// Opens the store, and makes it where there is none. Blocks, the longer the larger the log is.
    pub fn open(data: &DataDir) -> Result<Self, Error> {
        Self::open_on(data, Arc::new(RealDevice))
    }

    pub(crate) fn open_on(data: &DataDir, device: Arc<dyn Device>) -> Result<Self, Error> {
        let disk = Disk::new(device);
        let open = |e| error::io("open the store", &e);
        let files = Arc::new(Files::open(data, disk.clone()).map_err(open)?);
        let (db, file) = opening::log(data, &disk)?;
        let tree: Tree = Tree::clone(&db);
        opening::check_layout(&tree)?;
        let log = Log { db, tree: tree.clone(), file, disk: disk.clone(), files: Arc::clone(&files) };
        log.redo()?;
        let counts = opening::counts(&tree)?;
        opening::remove_strays(&tree, &files)?;
        let early = Mutex::new(opening::early(&tree)?);
        let (queue, view) = (Arc::new(Queue::default()), Arc::new(View::new(counts.finished)));
        let news = broadcast::Sender::new(SUBSCRIBE_LAG_MAX);
        let committer = Committer {
            log,
            mark: Mark::open(data, counts.commits)?,
            view: Arc::clone(&view),
            news: news.clone(),
            counts,
            failed: None,
        };
        let served = Arc::clone(&queue);
        let spawned = thread::Builder::new().name("store".to_owned()).spawn(move || committer.run(&served));
        let committer = Some(spawned.map_err(|e| error::io("start the store's thread", &e))?);
        let reader = Reader { tree, files, view };
        Ok(Self { queue, reader, disk, news, early, committer, data: data.clone() })
    }

    /// Queues a write, now; the future is done after its sync.
    fn write(&self, body: Body) -> impl Future<Output = Result<bool, Error>> + Send + use<> {
        let (done, answer) = oneshot::channel();
        let pushed = self.queue.push(Write { body, done });
        async move {
            pushed?;
            answer.await.unwrap_or_else(|_| Err(stopped()))
        }
    }

    /// Runs what may block on a thread that may.
    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader) -> Result<T, Error> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Error>> {
        let reader = self.reader.clone();
        async move {
            let done = tokio::task::spawn_blocking(move || work(&reader));
            done.await.unwrap_or_else(|e| match e.try_into_panic() {
                Ok(panic) => Err(error::damaged("the store", &error::panic_text(&*panic))),
                Err(e) => Err(Error::Io { action: "read the store", reason: e.to_string() }),
            })
        }
        .boxed()
    }

    async fn put(&self, bytes: Bytes, hold: Hold) -> Result<Put, Error> {
        let digest = digest::of(&bytes).await?;
        if !parts::is_large(bytes.len()) {
            let bytes = Some(Encoded::Parts(parts::rows(&bytes)));
            let is_new = self.write(Body::Blob { digest, bytes, hold }).await?;
            return Ok(Put { digest, is_new });
        }
        loop {
            let bytes = bytes.clone();
            let write = move |reader: &Reader| match reader.has_blob(digest)? {
                true => Ok(()),
                false => reader.files.put(digest, &bytes),
            };
            self.blocking(write).await?;
            match self.write(Body::Blob { digest, bytes: None, hold }).await {
                // The last one who held it has let go between the two.
                Err(Error::BlobMissing { .. }) => {}
                done => return done.map(|is_new| Put { digest, is_new }),
            }
        }
    }

    /// Clears away all that removed runs have left.
    async fn clear(&self, runs: &[RunId]) -> Result<(), Error> {
        for runs in runs.chunks(RUNS_PER_CLEAR) {
            while self.write(Body::Clear(runs.to_vec())).await? {}
        }
        Ok(())
    }

    /// Takes runs out of sight, as many as the disk admits; gives which, and the first error.
    async fn remove(&self, runs: Vec<RunId>) -> (Vec<RunId>, Result<(), Error>) {
        // All are queued before the first is waited for, so that a sync serves many.
        let queued: Vec<_> = runs.into_iter().map(|run| (run, self.write(Body::Remove(run)))).collect();
        let (mut removed, mut result) = (Vec::new(), Ok(()));
        for (run, done) in queued {
            match done.await {
                Ok(true) => removed.push(run),
                Ok(false) | Err(Error::Unfinished { .. }) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        (removed, result)
    }

    async fn sweep_all(&self, now: Timestamp) -> Result<(), Error> {
        if self.blocking(move |reader| reader.any_over(now)).await? {
            while self.write(Body::Expire(now)).await? {}
        }
        if self.blocking(move |reader| reader.any_event_over(now)).await? {
            let mut writes = 0;
            while writes < FORGETS_PER_SWEEP && self.write(Body::Forget(now)).await? {
                writes += 1;
            }
        }
        let early = std::mem::take(&mut *self.early.lock());
        let removed = self.blocking(|reader| reader.removed(REMOVED_PER_SWEEP)).await?;
        self.clear(&early).await?;
        self.clear(&removed).await?;
        let orphans = self.blocking(move |reader| reader.orphans(now, TIMERS_PER_SWEEP)).await?;
        if !orphans.is_empty() {
            self.write(Body::Orphans(orphans)).await?;
        }
        Ok(())
    }
}

impl Store for SledStore {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<(), Error>> {
        match AppendWrite::encode(append) {
            Ok(append) => self.write(Body::Append(Box::new(append))).map_ok(|_| ()).boxed(),
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn summary(&self, run: RunId) -> BoxFuture<'_, Result<Option<RunSummary>, Error>> {
        match self.reader.view.summary(run) {
            Known::Is(summary) => ready(Ok(summary)).boxed(),
            Known::Unknown => self.blocking(move |reader| reader.summary(run)),
        }
    }

    fn events(&self, run: RunId, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, Error>> {
        self.blocking(move |reader| reader.events(run, after, limit))
    }

    fn list(&self, query: Query) -> BoxFuture<'_, Result<Vec<(RunId, RunSummary)>, Error>> {
        self.blocking(move |reader| reader.list(&query))
    }

    fn unfinished(&self, after: Option<RunId>, limit: usize) -> BoxFuture<'_, Result<Vec<RunId>, Error>> {
        self.blocking(move |reader| reader.unfinished(after, limit))
    }

    fn queued(
        &self,
        after: Option<RunId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RunId, RunSummary)>, Error>> {
        self.blocking(move |reader| reader.queued(after, limit))
    }

    fn oldest_finished(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(Timestamp, RunId)>, Error>> {
        self.blocking(move |reader| reader.oldest_finished(before, limit))
    }

    fn finished_count(&self) -> BoxFuture<'_, Result<u64, Error>> {
        ready(Ok(self.reader.view.finished())).boxed()
    }

    fn claimed(&self, key: &str) -> BoxFuture<'_, Result<Option<(RunId, Digest)>, Error>> {
        let key = Digest::of(key.as_bytes());
        self.blocking(move |reader| reader.claimed(key))
    }

    fn due_timers(&self, now: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<Timer>, Error>> {
        self.blocking(move |reader| reader.due_timers(now, limit))
    }

    fn next_timer(&self) -> BoxFuture<'_, Result<Option<Timestamp>, Error>> {
        self.blocking(|reader| Ok(reader.due_timers(Timestamp::MAX, 1)?.first().map(|timer| timer.due)))
    }

    fn waits(
        &self,
        name: &str,
        after: Option<(RunId, StepId)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Waiter>, Error>> {
        let name = name.to_owned();
        self.blocking(move |reader| reader.waits(&name, after, limit))
    }

    fn put_event(&self, event: KeptEvent) -> BoxFuture<'_, Result<bool, Error>> {
        match Body::put_event(&event) {
            Ok(body) => self.write(body).boxed(),
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn kept_event(&self, name: &str, id: &str) -> BoxFuture<'_, Result<Option<KeptEvent>, Error>> {
        let id = EventId::new(name, id);
        self.blocking(move |reader| reader.kept_event(id))
    }

    fn kept_events(
        &self,
        name: &str,
        looker: Looker,
        after: Option<(Timestamp, String)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<KeptEvent>, Error>> {
        let name = name.to_owned();
        self.blocking(move |reader| reader.kept_events(&name, looker, after, limit))
    }

    fn take_event(&self, name: &str, id: &str, by: Taken) -> BoxFuture<'_, Result<bool, Error>> {
        self.write(Body::TakeEvent { id: EventId::new(name, id), by }).boxed()
    }

    fn put_blob(&self, bytes: Bytes, hold: Hold) -> BoxFuture<'_, Result<Put, Error>> {
        self.put(bytes, hold).boxed()
    }

    fn blob(&self, digest: Digest) -> BoxFuture<'_, Result<Option<Bytes>, Error>> {
        self.blocking(move |reader| reader.blob(digest))
    }

    fn has_blob(&self, digest: Digest) -> BoxFuture<'_, Result<bool, Error>> {
        self.blocking(move |reader| reader.has_blob(digest))
    }

    fn blobs_of(
        &self,
        run: RunId,
        after: Option<Digest>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Digest>, Error>> {
        self.blocking(move |reader| reader.blobs_of(run, after, limit))
    }

    fn remove_run(&self, run: RunId) -> BoxFuture<'_, Result<bool, Error>> {
        async move {
            let there = self.write(Body::Remove(run)).await?;
            // The run is gone; what is left of it now is cleared away by a sweep.
            if there && let Err(error) = self.clear(&[run]).await {
                tracing::warn!(run_id = %run, %error, "a removed run could not be cleared away");
            }
            Ok(there)
        }
        .boxed()
    }

    fn remove_runs(&self, runs: Vec<RunId>) -> BoxFuture<'_, Result<u64, Error>> {
        async move {
            let (removed, result) = self.remove(runs).await;
            // The runs are gone; what is left of them now is cleared away by a sweep.
            if let Err(error) = self.clear(&removed).await {
                tracing::warn!(%error, "removed runs could not be cleared away");
            }
            result.map(|()| u64::try_from(removed.len()).unwrap_or(u64::MAX))
        }
        .boxed()
    }

    fn sweep(&self, now: Timestamp) -> BoxFuture<'_, Result<(), Error>> {
        self.sweep_all(now).boxed()
    }

    fn subscribe(&self) -> broadcast::Receiver<RunId> {
        self.news.subscribe()
    }

    fn syncs(&self) -> u64 {
        self.disk.syncs()
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!("the store's thread has panicked");
        }
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore").field("data", &self.data).finish_non_exhaustive()
    }
}

fn stopped() -> Error {
    Error::Failed { reason: "the store's thread could not go on".to_owned() }
}

#[cfg(test)]
mod tests;
