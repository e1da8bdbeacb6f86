//! The engine's handle: submit, show, follow, cancel.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::Stream;
use jiff::Timestamp;
use parking_lot::Mutex;
use stepcell_core::{
    Digest, Event, EventKind, Json, RunId, event::RunCreated, parse::Parsed, plan::Plan, problem::Problem,
    run::RunState,
};
use stepcell_store::{Query, RunSummary, SharedStore};
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Error, StepRunner,
    driver::{Command, Driver, Outbox, Synced},
    follow, load,
    prepared::{Cache, Prepared, used_types},
    timers::Timers,
    view::RunView,
};

/// Runs that are driven at the same time, parked ones not counted, unless the config says otherwise. Bounds
/// the memory of their states.
pub const DEFAULT_MAX_ACTIVE_RUNS: usize = 10_000;

/// How long after the store refused an append a run is taken up again from its log.
const REVIVE_AFTER: Duration = Duration::from_secs(5);
/// How often that pause is doubled, to some five minutes.
const MAX_REVIVE_DOUBLINGS: u32 = 6;

/// What an engine is made of.
pub struct Options {
    pub store: SharedStore,
    pub runner: Arc<dyn StepRunner>,
    /// Where the runs are driven. Templates are computed there: a runtime of its own keeps them away from the
    /// threads that answer HTTP.
    pub runtime: tokio::runtime::Handle,
    /// More runs than this are refused with [`Error::Busy`].
    pub max_active_runs: usize,
}

impl Options {
    /// With the default limits, driving on the runtime that this is called on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(store: SharedStore, runner: Arc<dyn StepRunner>) -> Self {
        let runtime = tokio::runtime::Handle::current();
        Self { store, runner, runtime, max_active_runs: DEFAULT_MAX_ACTIVE_RUNS }
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
    /// Runs that have a driver. A command is sent, and a driver leaves, only under this lock: so that none
    /// is sent to a driver that has left.
    active: Mutex<HashMap<RunId, mpsc::UnboundedSender<Command>>>,
    /// Who wants to know when a run ends.
    waiters: Mutex<HashMap<RunId, Vec<oneshot::Sender<Ending>>>>,
    /// Flow definitions that are blobs of the store already.
    stored_flows: Mutex<HashSet<Digest>>,
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
            active: Mutex::default(),
            waiters: Mutex::default(),
            stored_flows: Mutex::default(),
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
        let types = used_types(parsed.flow.steps.values().map(|step| &step.kind), &catalog);
        let prepared = Arc::new(Prepared::new(Plan::build(parsed, &catalog)?, types));
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

/// A run that has ended, or why its driver could not go on.
type Ending = Result<RunView, stepcell_store::Error>;

/// A run that has begun.
struct Begun {
    run: RunId,
    /// Done when the run's first event is on the disk; at once where that was not asked for.
    synced: Synced,
    /// Gets the run when it has ended.
    ended: oneshot::Receiver<Ending>,
}

/// Gives up a place among those who wait for a run's end, also where the caller goes away.
struct Forget<'a>(&'a Inner, RunId);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.forget_waiters(self.1);
    }
}

impl Inner {
    async fn begin(self: &Arc<Self>, submit: Submit, sync: bool) -> Result<Begun, Error> {
        let Submit { plan, input, idempotency_key } = submit;
        plan.check_input(&input).map_err(Error::InvalidInput)?;
        self.admit()?;
        self.store_flow(&plan).await?;
        let run = RunId::from_uuid(uuid::Uuid::now_v7());
        let created = Event {
            seq: 1,
            at: Timestamp::now(),
            step: None,
            kind: EventKind::RunCreated(RunCreated {
                flow: plan.flow.name.clone(),
                flow_digest: plan.digest,
                input,
                idempotency_key,
                plugins: plan.pins(),
            }),
        };
        let damaged =
            |error: stepcell_core::run::FoldError| Error::Damaged { run, reason: error.to_string() };
        let mut state = RunState::new(&created).map_err(damaged)?;
        let mut outbox = Outbox::begin(run, created);
        outbox.emit(&mut state, None, EventKind::RunStarted).map_err(damaged)?;
        if sync {
            outbox.flush(self, &state);
        }
        let synced = outbox.last();
        // Who waits for the sync alone needs no place among those who wait for the end.
        let ended = if sync { oneshot::channel().1 } else { self.waiter(run) };
        self.submitted.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(run_id = %run, flow = %plan.flow.name, "run created");
        self.drive(run, plan, state, outbox, None);
        Ok(Begun { run, synced, ended })
    }

    fn admit(&self) -> Result<(), Error> {
        if self.stopping.is_cancelled() {
            return Err(Error::Stopping);
        }
        let active = self.active.lock().len();
        if active < self.max_active_runs { Ok(()) } else { Err(Error::Busy { active }) }
    }

    /// A run's first event names its flow by digest: the definition is on the disk before.
    async fn store_flow(&self, plan: &Prepared) -> Result<(), Error> {
        if self.stored_flows.lock().contains(&plan.digest) {
            return Ok(());
        }
        self.store.put_blob(plan.source.text().to_owned().into()).await?;
        let mut stored = self.stored_flows.lock();
        if stored.len() >= MAX_REMEMBERED_FLOWS {
            stored.clear();
        }
        stored.insert(plan.digest);
        Ok(())
    }

    /// Gives the run a driver, unless it has one. `first` is the first thing that the driver hears.
    pub(crate) fn drive(
        self: &Arc<Self>,
        run: RunId,
        plan: Arc<Prepared>,
        state: RunState,
        outbox: Outbox,
        first: Option<Command>,
    ) {
        let mut active = self.active.lock();
        if let Some(mailbox) = active.get(&run) {
            // The receiver lives as long as the entry, so that nothing sent here is lost.
            let _ = first.map(|command| mailbox.send(command));
            return;
        }
        let (sender, mailbox) = mpsc::unbounded_channel();
        let _ = first.map(|command| sender.send(command));
        active.insert(run, sender);
        drop(active);
        let driver = Driver::new(self.clone(), run, plan, state, outbox, mailbox);
        self.tasks.spawn_on(driver.drive(), &self.runtime);
    }

    /// Hands a command to the run's driver, or back where it has none.
    pub(crate) fn send(&self, run: RunId, command: Command) -> Option<Command> {
        match self.active.lock().get(&run) {
            Some(mailbox) => mailbox.send(command).err().map(|refused| refused.0),
            None => Some(command),
        }
    }

    /// A driver leaves its parked run, unless something has come for it.
    pub(crate) fn leave(&self, run: RunId, mailbox: &mpsc::UnboundedReceiver<Command>) -> bool {
        let mut active = self.active.lock();
        let idle = mailbox.is_empty();
        if idle {
            active.remove(&run);
        }
        idle
    }

    /// A run has ended, and that is on the disk.
    pub(crate) fn run_ended(&self, run: RunId, view: RunView) {
        self.active.lock().remove(&run);
        self.revivals.lock().remove(&run);
        self.ended.fetch_add(1, Ordering::Relaxed);
        for waiter in self.waiters.lock().remove(&run).unwrap_or_default() {
            // Whoever waited may have gone.
            let _ = waiter.send(Ok(view.clone()));
        }
    }

    /// A driver could not go on. What it had not got to the disk is decided anew, from the log: at once where
    /// another driver was ahead of it, else after a pause that grows.
    pub(crate) fn run_broke(self: &Arc<Self>, run: RunId, error: &Error) {
        self.active.lock().remove(&run);
        for waiter in self.waiters.lock().remove(&run).unwrap_or_default() {
            if let Error::Store(error) = error {
                let _ = waiter.send(Err(error.clone()));
            }
        }
        if let Error::Store(error @ stepcell_store::Error::Failed { .. }) = error {
            *self.broken.lock() = Some(error.clone());
            return;
        }
        let overtaken = matches!(error, Error::Store(stepcell_store::Error::Conflict { .. }));
        let pause = if overtaken { Duration::ZERO } else { self.next_revival(run) };
        let engine = self.clone();
        self.spawn(async move {
            tokio::time::sleep(pause).await;
            load::revive(&engine, run).await;
        });
    }

    fn next_revival(&self, run: RunId) -> Duration {
        let mut revivals = self.revivals.lock();
        let count = revivals.entry(run).or_default();
        *count += 1;
        REVIVE_AFTER.saturating_mul(1 << (*count - 1).min(MAX_REVIVE_DOUBLINGS))
    }

    /// Runs something beside the drivers until it is done or the engine stops.
    pub(crate) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        let until_stopped = async move {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = work => {}
            }
        };
        self.tasks.spawn_on(until_stopped, &self.runtime);
    }

    /// Waits until what the run's driver has decided is on the disk.
    async fn sync(self: &Arc<Self>, run: RunId) {
        let (answer, synced) = oneshot::channel();
        if self.send(run, Command::Sync { answer }).is_none() {
            // A driver that ends instead of answering has synced as well.
            let _ = synced.await;
        }
    }

    fn waiter(&self, run: RunId) -> oneshot::Receiver<Ending> {
        let (sender, receiver) = oneshot::channel();
        self.waiters.lock().entry(run).or_default().push(sender);
        receiver
    }

    /// Drops the places of those who no longer wait.
    fn forget_waiters(&self, run: RunId) {
        let mut waiters = self.waiters.lock();
        if let Some(of_run) = waiters.get_mut(&run) {
            of_run.retain(|waiter| !waiter.is_closed());
            if of_run.is_empty() {
                waiters.remove(&run);
            }
        }
    }
}

/// Digests of stored flows that are remembered. Bounds memory; forgetting costs one look-up in the store.
const MAX_REMEMBERED_FLOWS: usize = 10_000;
