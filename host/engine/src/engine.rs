//! The engine's handle: submit, show, follow, cancel.

mod inner;
mod options;
mod queue;
mod submission;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use parking_lot::Mutex;
use stepcell_core::{
    Budget, Digest, Event, Json, RunId, parse::Parsed, plan::Plan, problem::Problem, run::RunStatus,
};
use stepcell_store::{Query, RunSummary, SharedStore};
use tokio::sync::{Notify, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Delivered, Error, Incoming, Resume, StepRunner, Upload, blobs,
    driver::Command,
    events::{self, Events},
    follow, load,
    prepared::{Cache, Prepared, used_types},
    remove, retention,
    slots::Slots,
    timers::Timers,
    view::RunView,
    waiting,
};
pub(crate) use inner::{Driven, Sent};
use inner::{Ending, Runs};
pub use options::{
    Admission, DEFAULT_ACTIVE_RUNS, DEFAULT_EVENTS_KEPT, DEFAULT_QUEUED_RUNS, Options, Retention,
};
pub use submission::Incomplete;

/// What to run.
pub struct Submit {
    /// From [`Engine::plan`].
    pub plan: Arc<Prepared>,
    pub input: Json,
    /// Under one key there is one run: the same plan and input again give that run, others are refused.
    pub idempotency_key: Option<String>,
}

/// Figures since the start of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub runs_submitted: u64,
    pub runs_ended: u64,
    pub runs_active: u64,
    /// Runs that wait for their turn.
    pub runs_queued: u64,
    /// Finished runs that were past [`Retention`].
    pub runs_expired: u64,
    /// Events that were taken, each once however often it was sent.
    pub events_taken: u64,
    /// Runs that they have woken as they came.
    pub runs_woken: u64,
    /// Attempts at steps, whatever came of them.
    pub attempts_ended: u64,
    /// Times that the store waited for the disk.
    pub syncs: u64,
}

/// The engine. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: SharedStore,
    pub(crate) runner: Arc<dyn StepRunner>,
    pub(crate) timers: Timers,
    pub(crate) flows: Cache,
    pub(crate) outlines: load::Outlines,
    pub(crate) pinned: load::Pinned,
    pub(crate) folds: load::Folds,
    /// No run and no attempt begins any more; what is under way ends.
    pub(crate) draining: CancellationToken,
    pub(crate) stopping: CancellationToken,
    tasks: TaskTracker,
    runtime: tokio::runtime::Handle,
    pub(crate) budget: Budget,
    pub(crate) slots: Slots,
    pub(crate) retention: Retention,
    pub(crate) events: Events,
    runs: Mutex<Runs>,
    /// Told when the last driver has left.
    idle: Notify,
    /// Who wants to know when a run ends.
    waiters: Mutex<HashMap<RunId, Vec<oneshot::Sender<Ending>>>>,
    recovered: AtomicBool,
    /// Why the store takes no more writes until a restart.
    broken: Mutex<Option<stepcell_store::Error>>,
    /// How often a run had to be taken up again since it last went well.
    revivals: Mutex<HashMap<RunId, u32>>,
    submitted: AtomicU64,
    ended: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) events_taken: AtomicU64,
    pub(crate) woken: AtomicU64,
    pub(crate) attempts: AtomicU64,
}

impl Engine {
    /// Starts driving: takes up the runs that an earlier process left open, in the background.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let inner = Arc::new(Inner {
            store: options.store,
            runner: options.runner,
            timers: Timers::default(),
            flows: Cache::default(),
            outlines: load::Outlines::default(),
            pinned: load::Pinned::default(),
            folds: load::Folds::default(),
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime: options.runtime,
            budget: options.budget,
            slots: Slots::new(&options.admission.steps),
            retention: options.retention,
            events: Events::new(options.events_kept),
            runs: Mutex::new(Runs::new(&options.admission)),
            idle: Notify::new(),
            waiters: Mutex::default(),
            recovered: AtomicBool::new(false),
            broken: Mutex::default(),
            revivals: Mutex::default(),
            submitted: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            events_taken: AtomicU64::new(0),
            woken: AtomicU64::new(0),
            attempts: AtomicU64::new(0),
        });
        // Before anything is submitted, so that nobody gets in before those that wait.
        inner.recover_queue().await?;
        let engine = inner.clone();
        inner.spawn(async move {
            // A run that is taken up wants the components that it pinned.
            engine.runner.settled().await;
            load::recover(&engine).await;
            engine.open_queue();
            engine.recovered.store(true, Ordering::Release);
        });
        let engine = inner.clone();
        inner.spawn(async move { crate::timers::serve(&engine).await });
        let engine = inner.clone();
        inner.spawn(async move { remove::sweep(&engine).await });
        let engine = inner.clone();
        inner.spawn(async move { retention::keep_to(&engine).await });
        Ok(Self { inner })
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Whether every run that was open at the start has been taken up, the store takes writes, and nobody has asked
    /// the engine to stop.
    pub fn ready(&self) -> bool {
        self.inner.recovered.load(Ordering::Acquire)
            && self.inner.broken.lock().is_none()
            && !self.inner.draining.is_cancelled()
    }

    /// Checks a flow against the catalog of now and makes it ready to run.
    pub fn plan(&self, parsed: Parsed) -> Result<Arc<Prepared>, Vec<Problem>> {
        let catalog = self.inner.runner.catalog();
        let digest = parsed.flow.digest();
        // A flow with mistakes of reading is not the one that its source was kept for.
        let readable = parsed.problems().is_empty();
        if let Some(prepared) = self.inner.flows.get(digest, &catalog).filter(|_| readable) {
            return Ok(prepared);
        }
        let plan = Plan::build(parsed, &catalog)?;
        let types = used_types(&plan, &catalog);
        let prepared = Arc::new(Prepared::new(plan, types));
        self.inner.flows.put(digest, catalog, prepared.clone());
        Ok(prepared)
    }

    /// Starts a run, or queues it; done when it is on the disk that there is one.
    pub async fn submit(&self, submit: Submit) -> Result<RunId, Error> {
        self.inner.submit(submit).await
    }

    /// Starts a run for each input; done when all are on the disk. All inputs are checked before any run starts, and
    /// there is room for all of them or none is taken. Where the store fails on the way, [`Incomplete`] names those
    /// that have started.
    ///
    /// With a key, the same call again gives the same runs, and starts those that are missing.
    pub async fn submit_all(
        &self,
        plan: Arc<Prepared>,
        inputs: Vec<Json>,
        idempotency_key: Option<String>,
    ) -> Result<Vec<RunId>, Incomplete> {
        self.inner.submit_all(plan, inputs, idempotency_key).await
    }

    /// Starts a run and waits for its end, at most this long. Either way the run is on the disk.
    ///
    /// A run that ends in time is acknowledged once, with its end, which saves a sync over
    /// [`submit`](Self::submit) and [`wait`](Self::wait).
    pub async fn submit_and_wait(&self, submit: Submit, at_most: Duration) -> Result<RunView, Error> {
        self.inner.submit_and_wait(submit, at_most).await
    }

    /// A run with all its steps.
    pub async fn show(&self, run: RunId) -> Result<RunView, Error> {
        self.inner.show(run).await
    }

    /// How far a run has come; `None` for no such run. Reads no more of it than that.
    pub async fn status(&self, run: RunId) -> Result<Option<RunStatus>, Error> {
        Ok(self.inner.store.summary(run).await?.map(|summary| summary.status))
    }

    /// Waits for a run's end, at most this long; then gives the run as it is.
    pub async fn wait(&self, run: RunId, at_most: Duration) -> Result<RunView, Error> {
        self.inner.wait(run, at_most).await
    }

    /// Runs, newest first.
    pub async fn list(&self, query: Query) -> Result<Vec<(RunId, RunSummary)>, Error> {
        Ok(self.inner.store.list(query).await?)
    }

    /// A run's events past `after`, at most `limit`.
    pub async fn events(&self, run: RunId, after: u64, limit: usize) -> Result<Vec<Event>, Error> {
        let events = self.inner.store.events(run, after, limit).await?;
        if events.is_empty() && self.inner.store.summary(run).await?.is_none() {
            return Err(Error::NoSuchRun(run));
        }
        Ok(events)
    }

    /// A run's events past `after` as they happen. Ends after the run's last event.
    pub fn follow(
        &self,
        run: RunId,
        after: u64,
    ) -> impl Stream<Item = Result<Event, Error>> + Send + 'static {
        follow::events(self.inner.clone(), run, after)
    }

    /// What a step printed, all attempts in order.
    pub async fn log(&self, run: RunId, step: &str) -> Result<String, Error> {
        load::log(&self.inner, run, step).await
    }

    /// Stops a run and everything that it has under way. Done when that is on the disk.
    pub async fn cancel(&self, run: RunId, reason: Option<String>) -> Result<RunView, Error> {
        let (answer, result) = oneshot::channel();
        load::tell(&self.inner, run, Command::Cancel { reason, answer }).await?;
        match result.await {
            Ok(view) => view,
            // The run ended before it heard of the cancel, or the engine stops.
            Err(_) => Err(self.inner.unheard(run).await?),
        }
    }

    /// Gives a step that waits for a signal what it waits for. Done when that is on the disk.
    ///
    /// The payload has to fit the step's form, unless it is a rejection. Of several resumes of one wait the first
    /// counts; the others get it with [`Error::AlreadyResumed`].
    pub async fn resume(&self, run: RunId, resume: Resume) -> Result<RunView, Error> {
        waiting::resume(&self.inner, run, resume).await
    }

    /// Sends an event to every run that waits for it, and keeps it for those that come to wait for it in time:
    /// runs that are there by now, and where it wakes none, the first run that begins later.
    ///
    /// Done when every run that it wakes has it in its log. Where the store fails on the way the call fails; sent
    /// again with the same id, the event reaches the others. It counts at most once per run.
    pub async fn send_event(&self, name: &str, event: Incoming) -> Result<Delivered, Error> {
        events::send(&self.inner, name, event).await
    }

    /// Removes a run that has ended, with its events and every blob that nothing else holds.
    pub async fn remove(&self, run: RunId) -> Result<(), Error> {
        remove::run(&self.inner, run).await
    }

    /// Keeps bytes of at most [`MAX_BLOB_BYTES`](crate::MAX_BLOB_BYTES) for [`UPLOAD_KEPT`](crate::UPLOAD_KEPT),
    /// and longer where runs refer to them.
    pub async fn put_blob(&self, bytes: Bytes) -> Result<Upload, Error> {
        blobs::upload(&self.inner, bytes).await
    }

    /// The bytes of a blob, `None` for no such blob.
    pub async fn blob(&self, digest: Digest) -> Result<Option<Bytes>, Error> {
        Ok(self.inner.store.blob(digest).await?)
    }

    /// Whether there is such a blob. Reads none of its bytes.
    pub async fn has_blob(&self, digest: Digest) -> Result<bool, Error> {
        Ok(self.inner.store.has_blob(digest).await?)
    }

    /// Figures since the start.
    pub fn counts(&self) -> Counts {
        let (active, queued) = self.inner.load();
        Counts {
            runs_submitted: self.inner.submitted.load(Ordering::Relaxed),
            runs_ended: self.inner.ended.load(Ordering::Relaxed),
            runs_active: active as u64,
            runs_queued: queued as u64,
            runs_expired: self.inner.expired.load(Ordering::Relaxed),
            events_taken: self.inner.events_taken.load(Ordering::Relaxed),
            runs_woken: self.inner.woken.load(Ordering::Relaxed),
            attempts_ended: self.inner.attempts.load(Ordering::Relaxed),
            syncs: self.inner.store.syncs(),
        }
    }

    /// Takes no more runs and starts no more steps, lets attempts under way end, at most this long, and stops as
    /// [`shutdown`](Self::shutdown) does. What is left goes on at the next start.
    pub async fn drain(&self, at_most: Duration) {
        self.inner.draining.cancel();
        self.inner.rouse();
        if tokio::time::timeout(at_most, self.inner.idle()).await.is_err() {
            let (active, _) = self.inner.load();
            tracing::warn!(runs = active, "attempts under way are dropped; they run again at the next start");
        }
        self.shutdown().await;
    }

    /// Stops driving. Attempts under way are dropped; they run again at the next start.
    pub async fn shutdown(&self) {
        self.inner.draining.cancel();
        self.inner.stopping.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        // Last, since a run may have ended just now.
        self.inner.forget_all_waiters();
    }
}
