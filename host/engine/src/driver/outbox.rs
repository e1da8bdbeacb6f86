//! Events on their way to the store.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use jiff::Timestamp;
use stepcell_core::{
    Digest, Event, EventKind, RunId, StepId,
    event::Wait,
    run::{FoldError, RunState},
};
use stepcell_store::{Append, BlobRef, Error, RunSummary, TimerChange};
use tokio::time::Instant;

use crate::engine::Inner;

/// How long events of pure steps may wait for company before they are written. Bounds how far a live view
/// lags, and what a crash computes again.
const LINGER: Duration = Duration::from_millis(10);

/// Events of one run that are decided and not yet handed to the store.
pub(crate) struct Outbox {
    run: RunId,
    events: Vec<Event>,
    timers: Vec<TimerChange>,
    /// Blobs that the events name and the run does not hold yet.
    blobs: Vec<BlobRef>,
    /// A timer was set by this driver: each append tells the task that serves them.
    sets_timers: bool,
    /// The last event that the store was given.
    stored: u64,
    /// When the oldest event in here must be written at the latest.
    due: Option<Instant>,
    /// Done when everything that the store was given is on the disk.
    last: Synced,
}

/// Can be waited for by several: the driver, and each step that must not start before.
pub(crate) type Synced = Shared<BoxFuture<'static, Result<(), Error>>>;

impl Outbox {
    /// For a run whose log ends at `stored`.
    pub(crate) fn new(run: RunId, stored: u64) -> Self {
        let nothing: BoxFuture<'static, Result<(), Error>> = Box::pin(async { Ok(()) });
        Self {
            run,
            events: Vec::new(),
            timers: Vec::new(),
            blobs: Vec::new(),
            sets_timers: false,
            stored,
            due: None,
            last: nothing.shared(),
        }
    }

    /// Takes the event that a new run begins with, and the blobs that it names; the state is made of it.
    pub(crate) fn begin(run: RunId, created: Event, blobs: Vec<BlobRef>) -> Self {
        let mut outbox = Self { blobs, ..Self::new(run, 0) };
        outbox.push(created);
        outbox
    }

    /// Applies an event to the state and keeps it for the store; gives when it happened.
    pub(crate) fn emit(
        &mut self,
        state: &mut RunState,
        step: Option<StepId>,
        kind: EventKind,
    ) -> Result<Timestamp, FoldError> {
        self.change_timers(state, step.as_ref(), &kind);
        let at = Timestamp::now();
        let event = Event { seq: state.seq + 1, at, step, kind };
        state.apply(&event)?;
        self.push(event);
        Ok(at)
    }

    /// The next append names a blob that another run put.
    pub(crate) fn holds(&mut self, digest: Digest) {
        self.blobs.push(BlobRef { digest, bytes: None });
    }

    /// Hands everything to the store, which takes it in order; does not wait.
    pub(crate) fn flush(&mut self, engine: &Arc<Inner>, state: &RunState) {
        self.due = None;
        if self.events.is_empty() {
            return;
        }
        let append = Append {
            run: self.run,
            expected: self.stored,
            events: std::mem::take(&mut self.events),
            summary: RunSummary {
                flow: state.flow.clone(),
                status: state.status,
                created_at: state.created_at,
                finished_at: state.finished_at,
                seq: state.seq,
            },
            timers: std::mem::take(&mut self.timers),
            blobs: std::mem::take(&mut self.blobs),
        };
        self.stored = state.seq;
        let appended = engine.store.append(append);
        self.last = if self.sets_timers {
            let engine = engine.clone();
            let told = async move {
                appended.await?;
                engine.timers.changed();
                Ok(())
            };
            told.boxed().shared()
        } else {
            appended.shared()
        };
    }

    /// Hands everything to the store and waits until it is on the disk.
    pub(crate) async fn synced(&mut self, engine: &Arc<Inner>, state: &RunState) -> Result<(), Error> {
        self.flush(engine, state);
        self.last.clone().await
    }

    /// Fails where an append is known to have failed.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.last.peek().cloned().unwrap_or(Ok(()))
    }

    /// Whether the oldest event has waited long enough.
    pub(crate) fn is_overdue(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }

    /// What a step that can reach outside waits for.
    pub(crate) fn last(&self) -> Synced {
        self.last.clone()
    }

    /// Done when an append has failed; never otherwise.
    pub(crate) async fn failed(&self) -> Error {
        if let Some(Ok(())) = self.last.peek() {
            return pending().await;
        }
        match self.last.clone().await {
            Err(error) => error,
            Ok(()) => pending().await,
        }
    }

    /// Done when the oldest event has waited long enough; never where there is none.
    pub(crate) async fn lingered(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => pending().await,
        }
    }

    fn push(&mut self, event: Event) {
        self.due.get_or_insert_with(|| Instant::now() + LINGER);
        self.events.push(event);
    }

    /// A step that parks sets its timer; one that goes on, or is cancelled, clears it.
    fn change_timers(&mut self, state: &RunState, step: Option<&StepId>, kind: &EventKind) {
        let Some(step) = step else { return };
        match kind {
            EventKind::StepWaiting(waiting) => {
                if let Some(due) = due(&waiting.wait) {
                    self.timers.push(TimerChange::Set { step: step.clone(), due });
                    self.sets_timers = true;
                }
            }
            EventKind::StepResumed(_) | EventKind::StepCancelled | EventKind::StepFailed(_) => {
                let wait = state.steps.get(step).and_then(|step| step.wait.as_ref());
                if let Some(due) = wait.and_then(due) {
                    self.timers.push(TimerChange::Clear { step: step.clone(), due });
                }
            }
            _ => {}
        }
    }
}

fn due(wait: &Wait) -> Option<Timestamp> {
    match wait {
        Wait::Timer { until } => Some(*until),
        Wait::Signal { deadline, .. } => *deadline,
        Wait::Items { .. } => None,
    }
}
