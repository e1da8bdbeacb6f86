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
    run::{FoldError, RunState, StepState},
};
use stepcell_store::{Append, BlobRef, Claim, Error, RunSummary, TimerChange, WaitChange};
use tokio::time::Instant;

use crate::{engine::Inner, events::APPROVAL, timers};

/// How long events of pure steps may wait for company before they are written. Bounds how far a live view
/// lags, and what a crash computes again.
const LINGER: Duration = Duration::from_millis(10);

/// Events of one run that are decided and not yet handed to the store.
pub(crate) struct Outbox {
    run: RunId,
    events: Vec<Event>,
    timers: Vec<TimerChange>,
    waits: Vec<WaitChange>,
    /// Of a new run.
    claim: Option<Claim>,
    /// Blobs that the events name and the run does not hold yet.
    blobs: Vec<BlobRef>,
    /// A timer was set that is due before the task which serves them looks by itself.
    is_soon: bool,
    /// The last event that the store was given.
    stored: u64,
    /// Where the log ended when the run was taken up from it; 0 for a new run.
    read: u64,
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
            waits: Vec::new(),
            claim: None,
            blobs: Vec::new(),
            is_soon: false,
            stored,
            read: stored,
            due: None,
            last: nothing.shared(),
        }
    }

    /// Takes the event that a new run begins with, the blobs that it names and the key that it goes by; the state
    /// is made of it.
    pub(crate) fn begin(run: RunId, created: Event, blobs: Vec<BlobRef>, claim: Option<Claim>) -> Self {
        let mut outbox = Self { blobs, claim, ..Self::new(run, 0) };
        if let EventKind::RunCreated(created) = &created.kind {
            created.deadline.into_iter().for_each(|due| outbox.set_timer(None, due));
        }
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
        match &step {
            Some(step) => self.change_waits(state, step, &kind),
            None => self.change_deadline(state, &kind),
        }
        let at = Timestamp::now();
        let event = Event { seq: state.seq + 1, at, step, kind };
        state.apply(&event)?;
        self.push(event);
        Ok(at)
    }

    /// The last event that was read, of a run that was taken up from its log.
    pub(crate) fn taken_up(&self) -> Option<u64> {
        (self.read > 0).then_some(self.read)
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
            waits: std::mem::take(&mut self.waits),
            claim: self.claim.take(),
            blobs: std::mem::take(&mut self.blobs),
        };
        self.stored = state.seq;
        let appended = engine.store.append(append);
        self.last = appended.shared();
        if std::mem::take(&mut self.is_soon) {
            // On its own, since nobody waits for this append once another one has followed it.
            let (appended, told) = (self.last.clone(), engine.clone());
            engine.spawn(async move {
                if appended.await.is_ok() {
                    told.timers.changed();
                }
            });
        }
    }

    /// Sets a timer with the events that are on their way, or with the next ones.
    pub(super) fn set_timer(&mut self, step: Option<&StepId>, due: Timestamp) {
        self.timers.push(TimerChange::Set { step: step.cloned(), due });
        self.is_soon |= timers::is_soon(due);
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

    /// A step that parks sets its timer and the name that it waits for; one that goes on, or is cancelled, clears
    /// them. So does one that has waited for its next attempt.
    fn change_waits(&mut self, state: &RunState, step: &StepId, kind: &EventKind) {
        match kind {
            EventKind::StepWaiting(waiting) => {
                if let Some(due) = due(&waiting.wait) {
                    self.set_timer(Some(step), due);
                }
                if let Wait::Signal { name, matching, .. } = &waiting.wait
                    && name != APPROVAL
                {
                    let (name, matching) = (name.clone(), matching.clone());
                    self.waits.push(WaitChange::Set { name, step: step.clone(), matching });
                }
            }
            EventKind::StepStarted(_)
            | EventKind::StepResumed(_)
            | EventKind::StepCancelled
            | EventKind::StepFailed(_) => {
                let Some(seen) = state.steps.get(step) else { return };
                if let Some(due) = timer_of(seen) {
                    self.timers.push(TimerChange::Clear { step: Some(step.clone()), due });
                }
                if let Some(Wait::Signal { name, .. }) = &seen.wait
                    && name != APPROVAL
                {
                    self.waits.push(WaitChange::Clear { name: name.clone(), step: step.clone() });
                }
            }
            _ => {}
        }
    }

    /// A run that has ended needs no deadline.
    fn change_deadline(&mut self, state: &RunState, kind: &EventKind) {
        let ends =
            matches!(kind, EventKind::RunSucceeded(_) | EventKind::RunFailed(_) | EventKind::RunCancelled(_));
        if let Some(due) = state.deadline.filter(|_| ends) {
            self.timers.push(TimerChange::Clear { step: None, due });
        }
    }
}

/// When a step goes on that waits for a time: until a timer, a deadline, or its next attempt.
pub(super) fn timer_of(seen: &StepState) -> Option<Timestamp> {
    seen.wait.as_ref().and_then(due).or(seen.retry_at)
}

fn due(wait: &Wait) -> Option<Timestamp> {
    match wait {
        Wait::Timer { until } => Some(*until),
        Wait::Signal { deadline, .. } => *deadline,
        Wait::Items { .. } => None,
    }
}
