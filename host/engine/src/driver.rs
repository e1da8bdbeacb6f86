//! One active run: a task that owns the run's state, starts what is ready, and writes down what happens.
//!
//! Everything the driver decides is first an event, applied to the state and queued for the store. Pure steps
//! go on without waiting for the store; a step that can reach outside waits until all that led to it is
//! synced, and so does every acknowledgement (ARCHITECTURE.md, invariants 3 and 4).

mod finish;
mod launch;
mod outbox;
mod signals;

use std::{collections::HashMap, sync::Arc};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use jiff::Timestamp;
use stepcell_core::{
    EventKind, Json, RunId, StepId,
    event::Payload,
    run::{RunState, RunStatus, StepStatus},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    Blobs, Completion, Error,
    blobs::RunBlobs,
    engine::Inner,
    meter::Meter,
    prepared::Prepared,
    progress::{Decision, Progress},
    view::RunView,
};
pub(crate) use outbox::{Outbox, Synced};

/// Steps of one run that may be in cells or waiting for one at the same time. Bounds the memory of their
/// configs and contexts; the cells themselves are bounded by the sandbox for all runs together.
const MAX_STEPS_IN_FLIGHT: usize = 256;
/// Bytes of their configs and contexts together; one step may always start. Bounds the host's memory where many
/// steps have many ancestors.
const MAX_BYTES_IN_FLIGHT: usize = 32 << 20;
/// The largest context of one step. A cell would need several times as much memory to read it.
const MAX_CONTEXT_BYTES: usize = 16 << 20;

/// Whole outputs that the templates of one step read, or that make the output of a run. Bounds what the host holds of
/// them as text, as a tree and on their way into a config.
const MAX_LOADED_BYTES: u64 = 64 << 20;

/// What others ask of an active run.
pub(crate) enum Command {
    Cancel {
        reason: Option<String>,
        answer: oneshot::Sender<Result<RunView, Error>>,
    },
    /// Answered when all that was decided so far is on the disk.
    Sync {
        answer: oneshot::Sender<()>,
    },
    /// A timer of a parked step is due. Answered when the store no longer holds the timer.
    Timer {
        step: StepId,
        answer: oneshot::Sender<()>,
    },
}

/// How an attempt ended, with its output kept where it is too big for the log.
struct Ended {
    step: usize,
    /// What it counted for in `in_flight_bytes`.
    bytes: usize,
    completion: Completion,
    /// The output, if there is one.
    payload: Option<Payload>,
}

type InFlight = FuturesUnordered<BoxFuture<'static, Result<Ended, stepcell_store::Error>>>;

pub(crate) struct Driver {
    engine: Arc<Inner>,
    run: RunId,
    prepared: Arc<Prepared>,
    state: RunState,
    progress: Progress,
    outbox: Outbox,
    mailbox: mpsc::UnboundedReceiver<Command>,
    /// Steps that may start, and could not yet because too many are in flight.
    ready: std::collections::VecDeque<usize>,
    in_flight: InFlight,
    /// Steps that wait in memory for their next attempt; the log holds the same, for a restart.
    retries: Vec<(Timestamp, usize)>,
    /// Whole values of outputs that are blobs, loaded for templates.
    wholes: HashMap<StepId, Json>,
    /// Bytes of config and context of the steps in flight.
    in_flight_bytes: usize,
    /// What the run may still use.
    meter: Arc<Meter>,
    blobs: Arc<dyn Blobs>,
    /// Cancels every attempt of the run.
    cancel: CancellationToken,
}

/// Why a driver's task ends.
enum Stop {
    /// The run has ended and that is on the disk.
    Final,
    /// Every step that is not done waits, and that is on the disk.
    Parked,
}

impl Driver {
    pub(crate) fn new(
        engine: Arc<Inner>,
        run: RunId,
        prepared: Arc<Prepared>,
        state: RunState,
        outbox: Outbox,
        mailbox: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        let cancel = engine.stopping.child_token();
        let budget = engine.budget.narrowed_by(&prepared.flow.budget);
        Self {
            meter: Arc::new(Meter::new(budget, &state.receipt())),
            blobs: RunBlobs::new(engine.clone(), run),
            progress: Progress::new(&prepared),
            engine,
            run,
            prepared,
            state,
            outbox,
            mailbox,
            ready: Default::default(),
            in_flight: FuturesUnordered::new(),
            in_flight_bytes: 0,
            retries: Vec::new(),
            wholes: HashMap::new(),
            cancel,
        }
    }

    /// Drives the run until it ends, parks, or the engine stops.
    pub(crate) async fn drive(mut self) {
        let stopping = self.engine.stopping.clone();
        let end = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            end = self.run_to_stop() => end,
        };
        match end {
            Ok(Stop::Final) => self.engine.run_ended(self.run, self.view()),
            Ok(Stop::Parked) => {}
            Err(error) => {
                tracing::error!(run_id = %self.run, %error, "run stopped: it goes on from its log later");
                self.cancel.cancel();
                // What was decided before the mistake is still true: a result that is not written down would be
                // computed again. Where the store itself failed, this fails too and changes nothing.
                let _ = self.outbox.synced(&self.engine, &self.state).await;
                self.engine.run_broke(self.run, &error);
            }
        }
    }

    async fn run_to_stop(&mut self) -> Result<Stop, Error> {
        self.catch_up().await?;
        loop {
            self.launch_ready().await?;
            self.outbox.check()?;
            if self.outbox.is_overdue() {
                self.outbox.flush(&self.engine, &self.state);
            }
            if self.state.is_final() {
                self.outbox.synced(&self.engine, &self.state).await?;
                return Ok(Stop::Final);
            }
            if self.in_flight.is_empty() && self.retries.is_empty() && self.ready.is_empty() {
                if self.progress.is_complete() {
                    self.succeed().await?;
                    continue;
                }
                if self.park().await? {
                    return Ok(Stop::Parked);
                }
            }
            self.next().await?;
        }
    }

    /// Waits for the next thing that matters to the run, and handles it.
    async fn next(&mut self) -> Result<(), Error> {
        let retry = self.retries.iter().map(|(at, _)| *at).min();
        tokio::select! {
            biased;
            Some(command) = self.mailbox.recv() => self.command(command).await,
            Some(ended) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                self.ended(ended?)?;
                // Whatever else is done by now is handled in the same round, so that it shares an append.
                while let Some(Some(ended)) = self.in_flight.next().now_or_never() {
                    self.ended(ended?)?;
                }
                Ok(())
            }
            result = self.outbox.failed() => Err(result.into()),
            () = self.outbox.lingered() => {
                self.outbox.flush(&self.engine, &self.state);
                Ok(())
            }
            () = sleep_until(retry), if retry.is_some() => {
                self.due_retries();
                Ok(())
            }
        }
    }

    /// Brings the graph to where the log is, and starts again what was under way when the host stopped.
    async fn catch_up(&mut self) -> Result<(), Error> {
        if self.state.status == RunStatus::Queued {
            self.emit(None, EventKind::RunStarted)?;
        }
        let decisions = self.progress.replay(&self.prepared, &self.state);
        self.decide(decisions)?;
        for index in 0..self.prepared.steps.len() {
            let Some(seen) = self.step_id(index).and_then(|id| self.state.steps.get(id)) else { continue };
            if seen.status != StepStatus::Running {
                continue;
            }
            match seen.retry_at {
                Some(at) => self.retries.push((at, index)),
                None => self.ready.push_back(index),
            }
        }
        Ok(())
    }

    /// Acts on what the graph says, and on what follows from it.
    fn decide(&mut self, decisions: Vec<Decision>) -> Result<(), Error> {
        let mut todo: std::collections::VecDeque<_> = decisions.into();
        while let Some(decision) = todo.pop_front() {
            match decision {
                Decision::Start(step) => self.ready.push_back(step),
                Decision::Skip(step, reason) => {
                    self.emit_for(
                        step,
                        EventKind::StepSkipped(stepcell_core::event::StepSkipped { reason }),
                    )?;
                    todo.extend(self.progress.skipped(&self.prepared, step));
                }
            }
        }
        Ok(())
    }

    fn due_retries(&mut self) {
        let now = Timestamp::now();
        let (due, later) = std::mem::take(&mut self.retries).into_iter().partition(|(at, _)| *at <= now);
        self.retries = later;
        self.ready.extend(Vec::into_iter(due).map(|(_, step)| step));
    }

    /// Writes down that something happened to the run, or to one of its steps; gives when.
    fn emit(&mut self, step: Option<StepId>, kind: EventKind) -> Result<Timestamp, Error> {
        self.outbox
            .emit(&mut self.state, step, kind)
            .map_err(|error| Error::Damaged { run: self.run, reason: error.to_string() })
    }

    fn emit_for(&mut self, index: usize, kind: EventKind) -> Result<Timestamp, Error> {
        let id = self.step_id(index).cloned();
        self.emit(id, kind)
    }

    fn step_id(&self, index: usize) -> Option<&StepId> {
        self.prepared.steps.get(index).map(|planned| &planned.step.id)
    }

    fn view(&self) -> RunView {
        RunView::new(self.run, &self.state, &self.prepared.outline)
    }
}

/// The clock may jump: a wait is cut into parts, so that a jump is noticed within one.
async fn sleep_until(at: Option<Timestamp>) {
    let Some(at) = at else { return };
    let left = at.duration_since(Timestamp::now());
    if let Ok(left) = std::time::Duration::try_from(left) {
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
    }
}

/// How late a jump of the wall clock may be noticed.
const LONGEST_SLEEP: std::time::Duration = std::time::Duration::from_secs(5);
