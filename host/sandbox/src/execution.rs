//! One execution in a fresh cell, from instantiation to result.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use stepcell_core::{Failure, event::CapabilityDenied};
use stepcell_engine::{
    meter::{Exhausted, Resource},
    runner::Outcome,
};
use wasmtime::Store;

use crate::{
    bindings::{exports::stepcell::step::control, stepcell::step::types},
    capability::Usage,
    cell::{self, CellState, NewCell, Stopped},
    lanes::{self, Turn},
    limits::Effective,
    outcome::Check,
    plugin::{Brevity, Exports, Plugin},
    trap::{self, Circumstances},
};

/// Which function to call, with what.
pub(crate) enum Entry {
    Describe,
    Execute { config: String, context: String },
    Resume { config: String, context: String, signal: String },
}

/// One execution, ready to start.
pub(crate) struct Execution {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) entry: Entry,
    pub(crate) cell: NewCell,
    pub(crate) limits: Effective,
    /// The step's type, for messages.
    pub(crate) kind: Arc<str>,
    /// Room in the pool, given back when the cell is gone.
    pub(crate) room: tokio::sync::OwnedSemaphorePermit,
}

/// How an execution ended.
pub(crate) struct Ended {
    pub(crate) result: Result<Returned, Failure>,
    pub(crate) fuel: u64,
    /// Time spent waiting in host calls.
    pub(crate) host: Duration,
    pub(crate) usage: Usage,
    pub(crate) log: String,
    pub(crate) log_dropped_bytes: u64,
    pub(crate) denied: Vec<CapabilityDenied>,
}

/// What a guest gave.
pub(crate) enum Returned {
    /// The catalog entry, as text.
    Description(String),
    Outcome(Outcome),
}

/// What came out of the guest, before anything of it was checked.
enum Raw {
    Description(String),
    Handler(Result<String, types::Failure>),
    Control(Result<control::Outcome, types::Failure>),
}

/// Why nothing came out.
enum Broken {
    Error(wasmtime::Error),
    Panic,
}

impl Execution {
    /// Runs in the lanes; every way to end is an [`Ended`].
    pub(crate) async fn run(self) -> Ended {
        let fuel = self.cell.fuel;
        let turn = Arc::clone(&self.cell.turn);
        let started = Instant::now();
        let mut store = match cell::store(self.plugin.engine(), self.cell) {
            Ok(store) => store,
            Err(error) => return Ended::before_start(no_cell(&error)),
        };
        let (raw, host) = {
            let call = pin!(call(&self.plugin, &self.entry, &mut store));
            drive(call, &turn, self.plugin.brevity()).await
        };
        let result = match raw {
            Ok(raw) => {
                let refused = store.data().limiter.refused();
                let check = Check { limits: &self.limits, kind: &self.kind, refused };
                check_raw(&check, raw)
            }
            Err(Broken::Panic) => Err(trap::host_panic()),
            Err(Broken::Error(error)) => {
                let CellState { limiter, session, .. } = store.data();
                let waits_for = session.ledger.waits_for();
                let limits = &self.limits;
                Err(trap::failure(&error, &Circumstances { limits, limiter, kind: &self.kind, waits_for }))
            }
        };
        let left = store.get_fuel().unwrap_or_default();
        // With the look at what it gave, which is done on the same thread.
        self.plugin.brevity().took(started.elapsed().saturating_sub(host), fuel.saturating_sub(left));
        let state = store.data_mut();
        state.session.end();
        let (log, log_dropped_bytes) = state.wasi.take_log();
        let denied = state.session.ledger.take_denied();
        let (usage, fuel) = (state.session.ledger.usage(), fuel.saturating_sub(left));
        let meter = Arc::clone(&state.session.caller.meter);
        lanes::drop_later(Box::new((store, self.room)));
        let charged = meter.take(Resource::Fuel, fuel);
        let result = match (result, charged) {
            // It was stopped by what the run had left, not by its own limit.
            (Err(failure), _) if failure.is_code("fuel_exhausted") && fuel < self.limits.fuel.value => {
                // One unit more than there is, so that the run knows.
                let _ = meter.take(Resource::Fuel, 1);
                Err(meter.overdrawn().map_or(failure, Exhausted::failure))
            }
            (result, _) => result,
        };
        Ended { result, fuel, host, usage, log, log_dropped_bytes, denied }
    }
}

impl Ended {
    /// An execution that came to its end without a cell.
    pub(crate) fn before_start(failure: Failure) -> Self {
        Self {
            result: Err(failure),
            fuel: 0,
            host: Duration::ZERO,
            usage: Usage::default(),
            log: String::new(),
            log_dropped_bytes: 0,
            denied: Vec::new(),
        }
    }
}

fn no_cell(error: &wasmtime::Error) -> Failure {
    Failure::system(stepcell_core::Fault::Unavailable, "no_cell", format!("no cell could be made: {error}"))
        .retryable()
}

async fn call(plugin: &Plugin, entry: &Entry, store: &mut Store<CellState>) -> wasmtime::Result<Raw> {
    let instance = plugin.pre().instantiate_async(&mut *store).await?;
    match plugin.exports() {
        Exports::Handler(indices) => {
            let guest = indices.load(&mut *store, &instance)?;
            match entry {
                Entry::Describe => guest.call_describe(store).await.map(Raw::Description),
                Entry::Execute { config, context } => {
                    guest.call_execute(store, config, context).await.map(Raw::Handler)
                }
                Entry::Resume { .. } => wasmtime::bail!("a handler can not be resumed"),
            }
        }
        Exports::Control(indices) => {
            let guest = indices.load(&mut *store, &instance)?;
            match entry {
                Entry::Describe => guest.call_describe(store).await.map(Raw::Description),
                Entry::Execute { config, context } => {
                    guest.call_execute(store, config, context).await.map(Raw::Control)
                }
                Entry::Resume { config, context, signal } => {
                    guest.call_resume(store, config, context, signal).await.map(Raw::Control)
                }
            }
        }
    }
}

/// Polls a call to its end, or until it is stopped, and measures how long it waited in host calls.
async fn drive<F>(mut call: Pin<&mut F>, turn: &Turn, brevity: &Brevity) -> (Result<Raw, Broken>, Duration)
where
    F: Future<Output = wasmtime::Result<Raw>>,
{
    let mut host = Duration::ZERO;
    let mut waiting_since: Option<Instant> = None;
    let result = poll_fn(|context| {
        if let Some(since) = waiting_since.take() {
            host += since.elapsed();
            turn.has_waited();
        }
        let visits = turn.visits();
        let polled = poll_once(call.as_mut(), turn, context);
        if visits && !turn.visits() {
            brevity.disappointed();
        }
        if polled.is_pending() && !turn.take_gave_way() {
            waiting_since = Some(Instant::now());
        }
        polled
    })
    .await;
    // The waker is the task's own, and the turn lives in the task: kept there, neither would ever be freed.
    drop(turn.stop.waker.take());
    (result, host)
}

fn poll_once<F>(call: Pin<&mut F>, turn: &Turn, context: &mut Context<'_>) -> Poll<Result<Raw, Broken>>
where
    F: Future<Output = wasmtime::Result<Raw>>,
{
    turn.stop.waker.register(context.waker());
    if let Some(reason) = turn.stop.reason() {
        return Poll::Ready(Err(Broken::Error(Stopped(reason).into())));
    }
    match catch_unwind(AssertUnwindSafe(|| call.poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(result)) => Poll::Ready(result.map_err(Broken::Error)),
        Err(_) => {
            tracing::error!("a cell panicked in the host");
            Poll::Ready(Err(Broken::Panic))
        }
    }
}

fn check_raw(check: &Check<'_>, raw: Raw) -> Result<Returned, Failure> {
    match raw {
        Raw::Description(text) => Ok(Returned::Description(text)),
        Raw::Handler(returned) => check.handler(returned).map(Returned::Outcome),
        Raw::Control(returned) => check.control(returned).map(Returned::Outcome),
    }
}
