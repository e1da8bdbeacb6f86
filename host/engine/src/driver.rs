//! One active run: a task that owns the run's state, starts what is ready, and writes down what happens.
//!
//! Everything the driver decides is first an event, applied to the state and queued for the store. Pure steps
//! go on without waiting for the store; a step that can reach outside waits until all that led to it is
//! synced, and so does every acknowledgement (ARCHITECTURE.md, invariants 3 and 4).

mod earlier;
mod fan;
mod finish;
mod launch;
mod outbox;
mod scope;
mod signals;
mod values;
mod waits;

use std::{
    collections::{HashMap, VecDeque},
    future::poll_fn,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use jiff::Timestamp;
use stepcell_core::{
    EventKind, Json, RunId, StepId,
    event::{Payload, Wait},
    run::{RunState, RunStatus, StepState, StepStatus},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    Blobs, Completion, Error, Resume, blobs::RunBlobs, engine::Inner, events::Delivery, load, meter::Meter,
    prepared::Prepared, progress::Decision, view::RunView,
};
use earlier::Earlier;
use fan::Fan;
pub(crate) use outbox::{Outbox, Synced};
pub(crate) use scope::At;
use scope::{ScopeId, Scopes};
use waits::Looks;

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
/// The largest output of a run, and the largest result of an item, that is kept in the log rather than as a blob.
const MAX_INLINE_RESULT_BYTES: u64 = stepcell_core::catalog::DEFAULT_MAX_OUTPUT_BYTES;

/// How long a driver may go on before it lets others have the thread, and hears what has come for the run.
const LONG_TURN: Duration = Duration::from_micros(500);

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
    /// A timer of a step is due, or the run's deadline where there is none. Answered when the store no longer holds
    /// the timer; not at all where it goes on to, since there is no room for the step.
    Timer {
        step: Option<StepId>,
        answer: oneshot::Sender<()>,
    },
    /// Somebody's word to a waiting step.
    Resume {
        resume: Resume,
        answer: oneshot::Sender<Result<RunView, Error>>,
    },
    /// An event for a waiting step. Answered with whether the step goes on because of it.
    Hear {
        step: StepId,
        event: Arc<Delivery>,
        answer: oneshot::Sender<Result<bool, stepcell_store::Error>>,
    },
}

/// An attempt that is over.
struct Ended {
    step: At,
    id: StepId,
    /// What it counted for in `in_flight_bytes`.
    bytes: usize,
    /// None where it was not made: its item was stopped before, or the engine drains.
    made: Option<Made>,
}

/// How an attempt ended, with its output kept where it is too big for the log.
struct Made {
    completion: Completion,
    written: Written,
}

/// What the log gets of what a step gave.
enum Written {
    Nothing,
    Output(Payload),
    FanOut { items: Payload, body: Payload },
}

/// What is left to do before the next steps can start.
enum Work {
    /// Goes on with a fan-out: items may start, or all of them have ended.
    Feed(At),
    /// Takes up a fan-out that is in the log.
    Reopen(At),
    /// Every step of an item has ended.
    Result(ScopeId),
}

type InFlight = FuturesUnordered<BoxFuture<'static, Result<Ended, stepcell_store::Error>>>;

pub(crate) struct Driver {
    engine: Arc<Inner>,
    run: RunId,
    prepared: Arc<Prepared>,
    state: RunState,
    scopes: Scopes,
    /// By the step that fans out.
    fans: HashMap<At, Fan>,
    todo: VecDeque<Work>,
    /// The run that this one tries again, while it is there.
    earlier: Option<Earlier>,
    outbox: Outbox,
    mailbox: mpsc::UnboundedReceiver<Command>,
    /// Steps that may start, and could not yet because too many are in flight.
    ready: VecDeque<At>,
    in_flight: InFlight,
    /// Steps that wait in memory for their next attempt; the log holds the same, for a restart.
    retries: Vec<(Timestamp, At)>,
    /// Of steps that wait, at events that came before.
    looks: Looks,
    /// Whole values of outputs that are blobs, loaded for templates.
    wholes: HashMap<StepId, Json>,
    /// Bytes of config and context of the steps in flight.
    in_flight_bytes: usize,
    /// What the run may still use.
    meter: Arc<Meter>,
    blobs: Arc<dyn Blobs>,
    /// When the driver last gave way to others.
    turn: Instant,
    /// Cancels every attempt of the run.
    cancel: CancellationToken,
}

/// Why a driver's task ends.
enum Stop {
    /// The run has ended and that is on the disk.
    Final,
    /// Every step that is not done waits, or the engine starts no more; that is on the disk.
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
            scopes: Scopes::new(prepared.graph.clone(), state.input.clone(), cancel.clone()),
            fans: HashMap::new(),
            todo: VecDeque::new(),
            earlier: None,
            engine,
            run,
            prepared,
            state,
            outbox,
            mailbox,
            ready: VecDeque::new(),
            in_flight: FuturesUnordered::new(),
            in_flight_bytes: 0,
            retries: Vec::new(),
            looks: Looks::default(),
            wholes: HashMap::new(),
            turn: Instant::now(),
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
                Command::refuse_all(self.mailbox, &error);
            }
        }
    }

    async fn run_to_stop(&mut self) -> Result<Stop, Error> {
        self.refresh().await?;
        self.look_back().await?;
        self.catch_up()?;
        self.turn = Instant::now();
        loop {
            self.tend().await?;
            self.give_way().await?;
            self.launch_ready().await?;
            self.outbox.check()?;
            if self.outbox.is_overdue() {
                self.outbox.flush(&self.engine, &self.state);
            }
            if self.state.is_final() {
                self.outbox.synced(&self.engine, &self.state).await?;
                return Ok(Stop::Final);
            }
            if !self.todo.is_empty() || self.has_had_its_turn() {
                continue;
            }
            self.begin_looks();
            let draining = self.engine.draining.is_cancelled();
            if if draining { self.in_flight.is_empty() } else { self.is_idle() } {
                if self.scopes.get(ScopeId::ROOT).is_some_and(|root| root.progress.is_complete()) {
                    self.succeed().await?;
                    continue;
                }
                if self.park().await? {
                    return Ok(Stop::Parked);
                }
            }
            let (done, has_waited) = waited(self.next()).await;
            done?;
            if has_waited {
                self.turn = Instant::now();
            }
        }
    }

    /// Lets others have the thread where this run has had it for long. Steps that end before they start leave no other
    /// chance for that, nor to hear of a cancel. Not while fan-outs of the log are taken up: what is said to an item
    /// would find nobody.
    async fn give_way(&mut self) -> Result<(), Error> {
        if !self.has_had_its_turn() {
            return Ok(());
        }
        tokio::task::yield_now().await;
        self.turn = Instant::now();
        for _ in 0..self.mailbox.len() {
            let Ok(command) = self.mailbox.try_recv() else { break };
            self.command(command).await?;
        }
        Ok(())
    }

    fn has_had_its_turn(&self) -> bool {
        self.turn.elapsed() > LONG_TURN
    }

    /// Waits for the next thing that matters to the run, and handles it.
    async fn next(&mut self) -> Result<(), Error> {
        let draining = self.engine.draining.is_cancelled();
        let retry = self.retries.iter().map(|(at, _)| *at).min().filter(|_| !draining);
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
            look = self.looks.next() => self.looked(look?).await,
            () = sleep_until(retry), if retry.is_some() => {
                self.due_retries();
                Ok(())
            }
        }
    }

    /// Reads the log again where another driver of the run has begun and left since it was read. From here on nobody else
    /// writes to it.
    async fn refresh(&mut self) -> Result<(), Error> {
        let Some(read) = self.outbox.taken_up() else { return Ok(()) };
        let written = self.engine.store.summary(self.run).await?.map_or(read, |summary| summary.seq);
        if written > read {
            self.state = load::state(&self.engine, self.run).await?;
            self.outbox = Outbox::new(self.run, self.state.seq);
            let budget = self.engine.budget.narrowed_by(&self.prepared.flow.budget);
            self.meter = Arc::new(Meter::new(budget, &self.state.receipt()));
        }
        Ok(())
    }

    /// Brings the graphs to where the log is, and starts again what was under way when the host stopped.
    fn catch_up(&mut self) -> Result<(), Error> {
        if self.state.status == RunStatus::Queued {
            self.emit(None, EventKind::RunStarted)?;
        }
        self.look_again();
        self.take_up(ScopeId::ROOT)
    }

    /// Does what has come up before steps start: items that begin, and items that are over.
    async fn tend(&mut self) -> Result<(), Error> {
        while let Some(work) = self.todo.pop_front() {
            if self.state.is_final() {
                self.todo.clear();
                break;
            }
            match work {
                Work::Feed(at) => self.feed(at)?,
                Work::Reopen(at) => self.reopen(at).await?,
                Work::Result(scope) => self.finish_item(scope).await?,
            }
        }
        Ok(())
    }

    /// Brings one graph to where the log is.
    fn take_up(&mut self, scope: ScopeId) -> Result<(), Error> {
        let Some(within) = self.scopes.get_mut(scope) else { return Ok(()) };
        let decisions = within.replay(&self.state);
        let ids = within.ids.clone();
        for (index, id) in ids.iter().enumerate() {
            let Some(seen) = self.state.steps.get(id) else { continue };
            let at = At { scope, index };
            match (seen.status, seen.retry_at) {
                (StepStatus::Running, Some(retry_at)) => self.retry_at(retry_at, at),
                (StepStatus::Running, None) => self.ready.push_back(at),
                (StepStatus::Waiting, _) if is_fanned_out(seen) => self.todo.push_back(Work::Reopen(at)),
                _ => {}
            }
        }
        self.decide(scope, decisions)
    }

    /// Acts on what a graph says, and on what follows from it.
    fn decide(&mut self, scope: ScopeId, decisions: Vec<Decision>) -> Result<(), Error> {
        let mut todo: VecDeque<_> = decisions.into();
        while let Some(decision) = todo.pop_front() {
            match decision {
                Decision::Start(index) => self.ready.push_back(At { scope, index }),
                Decision::Skip(index, reason) => {
                    let skipped = stepcell_core::event::StepSkipped { reason };
                    self.emit_for(At { scope, index }, EventKind::StepSkipped(skipped))?;
                    let within = self.scopes.get_mut(scope);
                    todo.extend(within.map(|within| within.skipped(index)).unwrap_or_default());
                }
            }
        }
        let over = |within: &scope::Scope| within.item.is_some() && within.progress.is_complete();
        if self.scopes.get(scope).is_some_and(over) {
            self.todo.push_back(Work::Result(scope));
        }
        Ok(())
    }

    /// Whether nothing goes on by itself.
    fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.retries.is_empty() && self.ready.is_empty() && self.looks.is_empty()
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

    fn emit_for(&mut self, at: At, kind: EventKind) -> Result<Timestamp, Error> {
        let id = self.scopes.step_id(at).cloned();
        self.emit(id, kind)
    }

    /// Where a step stands that is under way, or may be.
    fn at(&self, id: &str) -> Option<At> {
        let (mut scope, mut rest) = (ScopeId::ROOT, id);
        loop {
            let end = rest.find('[').unwrap_or(rest.len());
            let (name, mut items) = rest.split_at_checked(end)?;
            let mut at = At { scope, index: self.scopes.get(scope)?.graph.index(name)? };
            loop {
                let Some(inner) = items.strip_prefix('[') else { return items.is_empty().then_some(at) };
                let (index, after) = inner.split_once(']')?;
                scope = self.fans.get(&at)?.item(index.parse().ok()?)?;
                if let Some(inside) = after.strip_prefix('.') {
                    rest = inside;
                    break;
                }
                // The item is the one step of its graph, and may fan out in its turn.
                at = At { scope, index: 0 };
                items = after;
                self.scopes.get(scope).filter(|within| within.is_one_step())?;
            }
        }
    }

    fn seen(&self, at: At) -> Option<&StepState> {
        self.state.steps.get(self.scopes.step_id(at)?)
    }

    fn view(&self) -> RunView {
        RunView::new(self.run, &self.state, &self.prepared.outline)
    }
}

fn is_fanned_out(seen: &StepState) -> bool {
    matches!(seen.wait, Some(Wait::Items { .. }))
}

/// Runs a future to its end; gives whether it let others have the thread.
async fn waited<F: Future>(future: F) -> (F::Output, bool) {
    let (mut future, mut polls) = (pin!(future), 0);
    let output = poll_fn(|context| {
        polls += 1;
        future.as_mut().poll(context)
    });
    (output.await, polls > 1)
}

/// The clock may jump: a wait is cut into parts, so that a jump is noticed within one.
async fn sleep_until(at: Option<Timestamp>) {
    let Some(at) = at else { return };
    let left = at.duration_since(Timestamp::now());
    if let Ok(left) = Duration::try_from(left) {
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
    }
}

/// How late a jump of the wall clock may be noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
