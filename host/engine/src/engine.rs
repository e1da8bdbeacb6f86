//! The engine's handle: submit, show, follow, cancel.

mod inner;

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
use stepcell_core::{Budget, Digest, Event, Json, RunId, parse::Parsed, plan::Plan, problem::Problem};
use stepcell_store::{Query, RunSummary, SharedStore};
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Error, StepRunner, Upload, blobs,
    driver::Command,
    follow, load,
    prepared::{Cache, Prepared, used_types},
    remove,
    timers::Timers,
    view::RunView,
};
use inner::{Ending, Forget};

/// Runs that are driven at the same time, parked ones not counted, unless the config says otherwise. Bounds
/// the memory of their states.
pub const DEFAULT_MAX_ACTIVE_RUNS: usize = 10_000;

/// What an engine is made of.
pub struct Options {
    pub store: SharedStore,
    pub runner: Arc<dyn StepRunner>,
    /// Where the runs are driven. Templates are computed there: a runtime of its own keeps them away from the
    /// threads that answer HTTP.
    pub runtime: tokio::runtime::Handle,
    /// More runs than this are refused with [`Error::Busy`].
    pub max_active_runs: usize,
    /// What one run may use at most; a flow can only narrow it.
    pub budget: Budget,
}

impl Options {
    /// With the default limits, driving on the runtime that this is called on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(store: SharedStore, runner: Arc<dyn StepRunner>) -> Self {
        let runtime = tokio::runtime::Handle::current();
        Self { store, runner, runtime, max_active_runs: DEFAULT_MAX_ACTIVE_RUNS, budget: Budget::default() }
    }
}

/// What to run.
pub struct Submit {
    /// From [`Engine::plan`].
    pub plan: Arc<Prepared>,
    pub input: Json,
    /// Kept in the run's first event.
    pub idempotency_key: Option<String>,
}

/// Figures since the start of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub runs_submitted: u64,
    pub runs_ended: u64,
    pub runs_active: u64,
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
    pub(crate) stopping: CancellationToken,
    tasks: TaskTracker,
    runtime: tokio::runtime::Handle,
    max_active_runs: usize,
    pub(crate) budget: Budget,
    /// Runs that have a driver. A command is sent, and a driver leaves, only under this lock: so that none
    /// is sent to a driver that has left.
    active: Mutex<HashMap<RunId, mpsc::UnboundedSender<Command>>>,
    /// Who wants to know when a run ends.
    waiters: Mutex<HashMap<RunId, Vec<oneshot::Sender<Ending>>>>,
    recovered: AtomicBool,
    /// Why the store takes no more writes until a restart.
    broken: Mutex<Option<stepcell_store::Error>>,
    /// How often a run had to be taken up again since it last went well.
    revivals: Mutex<HashMap<RunId, u32>>,
    submitted: AtomicU64,
    ended: AtomicU64,
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
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime: options.runtime,
            max_active_runs: options.max_active_runs,
            budget: options.budget,
            active: Mutex::default(),
            waiters: Mutex::default(),
            recovered: AtomicBool::new(false),
            broken: Mutex::default(),
            revivals: Mutex::default(),
            submitted: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            attempts: AtomicU64::new(0),
        });
        let engine = inner.clone();
        inner.spawn(async move {
            // A run that is taken up wants the components that it pinned.
            engine.runner.settled().await;
            load::recover(&engine).await;
            engine.recovered.store(true, Ordering::Release);
        });
        let engine = inner.clone();
        inner.spawn(async move { crate::timers::serve(&engine).await });
        let engine = inner.clone();
        inner.spawn(async move { remove::sweep(&engine).await });
        Ok(Self { inner })
    }

    /// Whether every run that was open at the start has been taken up, and the store takes writes.
    pub fn ready(&self) -> bool {
        self.inner.recovered.load(Ordering::Acquire) && self.inner.broken.lock().is_none()
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

    /// Starts a run; done when it is on the disk that there is one.
    pub async fn submit(&self, submit: Submit) -> Result<RunId, Error> {
        let begun = self.inner.begin(submit, true).await?;
        begun.synced.await?;
        Ok(begun.run)
    }

    /// Starts a run and waits for its end, at most this long. Either way the run is on the disk.
    ///
    /// A run that ends in time is acknowledged once, with its end, which saves a sync over
    /// [`submit`](Self::submit) and [`wait`](Self::wait).
    pub async fn submit_and_wait(&self, submit: Submit, at_most: Duration) -> Result<RunView, Error> {
        let begun = self.inner.begin(submit, false).await?;
        let _forgotten = Forget(&self.inner, begun.run);
        match tokio::time::timeout(at_most, begun.ended).await {
            Ok(Ok(ending)) => ending.map_err(Error::Store),
            // Time is over, or the engine stops: what is on the disk is the answer.
            Ok(Err(_)) | Err(_) => {
                self.inner.sync(begun.run).await;
                self.show(begun.run).await
            }
        }
    }

    /// A run with all its steps.
    pub async fn show(&self, run: RunId) -> Result<RunView, Error> {
        let state = load::state(&self.inner, run).await?;
        let outline = load::outline(&self.inner, run, state.flow_digest).await?;
        Ok(RunView::new(run, &state, &outline))
    }

    /// Waits for a run's end, at most this long; then gives the run as it is.
    pub async fn wait(&self, run: RunId, at_most: Duration) -> Result<RunView, Error> {
        let _forgotten = Forget(&self.inner, run);
        let ended = self.inner.waiter(run);
        match self.show(run).await {
            Ok(view) if !view.is_final() => match tokio::time::timeout(at_most, ended).await {
                Ok(Ok(ending)) => ending.map_err(Error::Store),
                Ok(Err(_)) | Err(_) => self.show(run).await,
            },
            ended => ended,
        }
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
            Err(_) => match self.show(run).await? {
                view if view.is_final() => Err(Error::Finished { run, status: view.status }),
                _ => Err(self.inner.broken.lock().clone().map_or(Error::Stopping, Error::Store)),
            },
        }
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
        Counts {
            runs_submitted: self.inner.submitted.load(Ordering::Relaxed),
            runs_ended: self.inner.ended.load(Ordering::Relaxed),
            runs_active: self.inner.active.lock().len() as u64,
            attempts_ended: self.inner.attempts.load(Ordering::Relaxed),
            syncs: self.inner.store.syncs(),
        }
    }

    /// Stops driving. Attempts under way are dropped; they run again at the next start.
    pub async fn shutdown(&self) {
        self.inner.stopping.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}
