//! Runs executions: finds room for a cell, puts it on the lanes, and ends it when its time is over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use async_task::FallibleTask;
use stepcell_core::{Failure, Fault, Limits};
use stepcell_engine::{meter::Resource, runner::LimitsRequest};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep_until,
};
use tokio_util::sync::CancellationToken;
use wasmtime::{Engine, component::Linker};

use crate::{
    access::Access,
    capability::{Caller, Services, Session},
    cell::{CellState, NewCell, StopReason},
    error::Error,
    execution::{Ended, Entry, Execution},
    lanes::{Lanes, Turn},
    limits::Effective,
    machine::{self, CELLS_MAX},
    plugin::Plugin,
    trap,
    wasi::{Attempt, Folders},
};

/// How much later than its cell a request ends: so that it is the cell's own limit that is told, and not a
/// request that took too long.
const REQUEST_GRACE: Duration = Duration::from_secs(1);

/// Executions on callers' threads after which one of them lets others have its thread. Bounds what other runs
/// wait behind a row of short steps, to about a millisecond. Fewer cost more: each time wakes the other thread, and
/// while two run, each change of a cell's memory interrupts them both. With 8, a step of a row takes a tenth longer.
const VISITS_IN_A_ROW: u32 = 32;

/// Everything that all cells share.
pub(crate) struct Cells {
    engine: Engine,
    linker: Linker<CellState>,
    lanes: Arc<Lanes>,
    room: Arc<Semaphore>,
    services: Arc<Services>,
    /// Executions that started on their callers' threads.
    visits: AtomicU32,
}

/// One execution that is asked for.
pub(crate) struct Job {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) entry: Entry,
    /// The step's type.
    pub(crate) kind: Arc<str>,
    pub(crate) limits: Effective,
    pub(crate) access: Arc<Access>,
    pub(crate) caller: Caller,
    pub(crate) attempt: Attempt,
    pub(crate) folders: Folders,
    pub(crate) cancel: CancellationToken,
}

impl Cells {
    /// Reserves the pool and starts the threads. Host calls use the runtime it is called in.
    pub(crate) fn start(engine: Engine, services: Services) -> Result<Self, Error> {
        let linker = machine::linker(&engine).map_err(|error| Error::Engine(format!("{error:#}")))?;
        let lanes = Lanes::start(&engine, &tokio::runtime::Handle::current()).map_err(Error::Threads)?;
        let room = Arc::new(Semaphore::new(CELLS_MAX as usize));
        Ok(Self {
            engine,
            linker,
            lanes: Arc::new(lanes),
            room,
            services: Arc::new(services),
            visits: AtomicU32::new(0),
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn linker(&self) -> &Linker<CellState> {
        &self.linker
    }

    /// Runs an execution to its end. Dropping the future ends the cell too.
    pub(crate) async fn run(&self, job: Job) -> Ended {
        let asked_at = Instant::now();
        // A step's own timeout counts from when it was asked for; the operator's limit is on the cell itself,
        // since a queue is nothing that a step can answer for.
        let timeout = job.limits.timeout.map(|timeout| asked_at + timeout);
        let room = match self.find_room(&job, timeout).await {
            Ok(room) => room,
            Err(reason) => return Ended::before_start(trap::stopped(reason, &job.limits, &job.kind)),
        };
        let (reason, deadline) = deadline(Instant::now() + job.limits.time.value, timeout);
        let cancel = job.cancel.clone();
        let turn = self.lanes.turn();
        let mut guard = StopOnDrop { lanes: &self.lanes, turn: &turn, armed: true };
        let plugin = Arc::clone(&job.plugin);
        let execution = self.execution(job, Arc::clone(&turn), deadline, room);
        let mut task = self.start_execution(&plugin, &turn, execution).await;
        let ended = tokio::select! {
            biased;
            ended = &mut task => ended,
            () = cancel.cancelled() => {
                self.lanes.stop(&turn, StopReason::Cancelled);
                task.await
            }
            () = sleep_until(deadline.into()) => {
                self.lanes.stop(&turn, reason);
                task.await
            }
        };
        guard.armed = false;
        ended.unwrap_or_else(|| Ended::before_start(self.lost()))
    }

    pub(crate) fn services(&self) -> &Services {
        &self.services
    }

    /// Cells of the common size that could be made now.
    #[cfg(test)]
    pub(crate) fn free_room(&self) -> usize {
        self.room.available_permits()
    }

    /// For measuring what a call costs by itself.
    pub(crate) fn bare_state(&self) -> CellState {
        let access = Arc::new(Access::new(Arc::from("bare"), Arc::default()));
        let limits = Effective::new(&Limits::default(), None, &LimitsRequest::default());
        let services = Arc::clone(&self.services);
        let session = Session::new(services, access, Caller::none(), limits, Instant::now());
        CellState::bare(session, self.lanes.turn())
    }

    fn execution(
        &self,
        mut job: Job,
        turn: Arc<Turn>,
        deadline: Instant,
        room: OwnedSemaphorePermit,
    ) -> Execution {
        let deadline = deadline + REQUEST_GRACE;
        // What the run has left may be less than what one execution may use; it is told as the budget's end then.
        let fuel = job.limits.fuel.value.min(job.caller.meter.left(Resource::Fuel));
        let services = Arc::clone(&self.services);
        let session = Session::new(services, job.access, job.caller, job.limits, deadline);
        for missing in std::mem::take(&mut job.folders.missing) {
            session.ledger.deny(missing);
        }
        let cell = NewCell {
            session,
            attempt: job.attempt,
            folders: job.folders,
            fuel,
            memory: job.limits.memory.value,
            output: job.limits.output.value,
            turn,
        };
        Execution { plugin: job.plugin, entry: job.entry, cell, limits: job.limits, kind: job.kind, room }
    }

    /// On this thread where it is expected to be over before another one is awake, else in the lanes.
    async fn start_execution(
        &self,
        plugin: &Plugin,
        turn: &Arc<Turn>,
        execution: Execution,
    ) -> FallibleTask<Ended, Arc<Turn>> {
        let execution = Box::pin(execution.run());
        if !plugin.brevity().expected() {
            return self.lanes.spawn(Arc::clone(turn), execution);
        }
        // A caller with many such steps never waits for anything, and others have to get the thread too. Not
        // before each: giving way wakes another thread, which is what a visit saves.
        if self.visits.fetch_add(1, Relaxed).is_multiple_of(VISITS_IN_A_ROW) {
            tokio::task::yield_now().await;
        }
        self.lanes.visit(Arc::clone(turn), execution)
    }

    /// Waits in a queue where too many cells are alive.
    async fn find_room(
        &self,
        job: &Job,
        timeout: Option<Instant>,
    ) -> Result<OwnedSemaphorePermit, StopReason> {
        if job.cancel.is_cancelled() {
            return Err(StopReason::Cancelled);
        }
        let room = Arc::clone(&self.room);
        if let Ok(permit) = Arc::clone(&room).try_acquire_many_owned(job.plugin.room()) {
            return Ok(permit);
        }
        let far = Instant::now() + Duration::from_secs(365 * 24 * 3600);
        tokio::select! {
            permit = room.acquire_many_owned(job.plugin.room()) => permit.map_err(|_| StopReason::Cancelled),
            () = job.cancel.cancelled() => Err(StopReason::Cancelled),
            () = sleep_until(timeout.unwrap_or(far).into()) => Err(StopReason::StepTimeout),
        }
    }

    /// There is no result: the cell panicked on its way out, or the lanes were closed under it.
    fn lost(&self) -> Failure {
        if self.lanes.are_closed() {
            return Failure::system(Fault::Unavailable, "stopping", "the host stops").retryable();
        }
        trap::host_panic()
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        self.lanes.close();
    }
}

/// Which of the two is over first.
fn deadline(limit: Instant, timeout: Option<Instant>) -> (StopReason, Instant) {
    match timeout {
        Some(timeout) if timeout <= limit => (StopReason::StepTimeout, timeout),
        _ => (StopReason::TimeLimit, limit),
    }
}

/// Ends the cell when nobody waits for it any more.
struct StopOnDrop<'a> {
    lanes: &'a Lanes,
    turn: &'a Arc<Turn>,
    armed: bool,
}

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.lanes.stop(self.turn, StopReason::Cancelled);
        }
    }
}
