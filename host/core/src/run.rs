//! A run's state: a fold over its events.
//!
//! The fold decides nothing. It refuses what can not follow, so that a damaged log or a mistake of the engine
//! is found where it happens and not three events later.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::{
    Digest, Event, EventKind, Failure, Json, StepId,
    event::{
        Handled, Payload, Receipt, RunCreated, StepFailed, StepLog, StepRetrying, StepRouted, StepStarted,
        StepSucceeded, Wait,
    },
};

mod status;
#[cfg(test)]
mod tests;

pub use status::{RunStatus, StepStatus, UnknownStatus};

/// All there is to know of a run, read off its events.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// The last event that is in here.
    pub seq: u64,
    pub status: RunStatus,
    pub flow: String,
    /// The flow's definition is a blob of this digest.
    pub flow_digest: Digest,
    pub input: Json,
    pub output: Option<Payload>,
    pub error: Option<Failure>,
    pub failed_step: Option<StepId>,
    /// Why it was cancelled, where somebody said so.
    pub cancel_reason: Option<String>,
    /// What the run pins: for each step type, the components that may serve it.
    pub plugins: BTreeMap<String, Vec<Digest>>,
    pub idempotency_key: Option<String>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    /// In the order in which the log first names them. A step that no event names yet is not in here: the
    /// fold does not know the flow. Items of a fan-out are ordinary entries.
    pub steps: IndexMap<StepId, StepState>,
}

/// All there is to know of a step of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepState {
    pub status: StepStatus,
    /// The number of the last attempt that started; a step that runs again after a crash keeps its number.
    pub attempts: u32,
    /// The component that serves it.
    pub routed: Option<StepRouted>,
    pub idempotency_key: Option<String>,
    /// What it gave, or what `on_error` put in its place.
    pub output: Option<Payload>,
    /// Why it failed; of a step between two attempts, why the last one did. Kept where `on_error` handled it.
    pub error: Option<Failure>,
    /// How the flow went on after the failure.
    pub handled: Option<Handled>,
    pub port: Option<String>,
    /// What a parked step waits for, and only while it does.
    pub wait: Option<Wait>,
    /// What ended its last wait: the argument of `resume`, also when that runs again after a crash.
    pub signal: Option<Json>,
    /// When the next attempt starts, of a step between two attempts.
    pub retry_at: Option<Timestamp>,
    pub skip_reason: Option<String>,
    /// Of the first attempt.
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Of all attempts together.
    pub receipt: Receipt,
    /// Bytes of log that were kept.
    pub log_bytes: u64,
}

/// Why an event can not follow what is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    #[error("the log has no events")]
    Empty,
    #[error("the log starts with `{kind}`, not with `run.created`")]
    NotCreated { kind: &'static str },
    #[error("event {found} (`{kind}`) comes where event {expected} should be")]
    Gap { expected: u64, found: u64, kind: &'static str },
    #[error("event {seq} (`{kind}`) comes after the end: the run is `{status}`")]
    AfterEnd { seq: u64, kind: &'static str, status: RunStatus },
    #[error("event {seq} (`{kind}`) does not fit a run that is `{status}`")]
    Run { seq: u64, kind: &'static str, status: RunStatus },
    #[error("event {seq} (`{kind}`) does not fit step `{step}`, which is `{status}`")]
    Step { seq: u64, kind: &'static str, step: StepId, status: StepStatus },
    #[error("event {seq} (`{kind}`) names no step")]
    NoStep { seq: u64, kind: &'static str },
}

impl RunState {
    /// Starts from a run's first event.
    pub fn new(first: &Event) -> Result<Self, FoldError> {
        let EventKind::RunCreated(created) = &first.kind else {
            return Err(FoldError::NotCreated { kind: first.kind.name() });
        };
        if first.seq != 1 {
            return Err(FoldError::Gap { expected: 1, found: first.seq, kind: first.kind.name() });
        }
        let RunCreated { flow, flow_digest, input, idempotency_key, plugins } = created.clone();
        Ok(Self {
            seq: 1,
            status: RunStatus::Queued,
            flow,
            flow_digest,
            input,
            output: None,
            error: None,
            failed_step: None,
            cancel_reason: None,
            plugins,
            idempotency_key,
            created_at: first.at,
            finished_at: None,
            steps: IndexMap::new(),
        })
    }

    /// Folds a whole log.
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Self, FoldError> {
        let mut events = events.into_iter();
        let mut state = Self::new(events.next().ok_or(FoldError::Empty)?)?;
        for event in events {
            state.apply(event)?;
        }
        Ok(state)
    }

    /// Takes in the next event. An error leaves the state as it was.
    pub fn apply(&mut self, event: &Event) -> Result<(), FoldError> {
        let kind = event.kind.name();
        if event.seq != self.seq + 1 {
            return Err(FoldError::Gap { expected: self.seq + 1, found: event.seq, kind });
        }
        if self.is_final() {
            return Err(FoldError::AfterEnd { seq: event.seq, kind, status: self.status });
        }
        match &event.kind {
            EventKind::RunCreated(_)
            | EventKind::RunStarted
            | EventKind::RunWaiting
            | EventKind::RunSucceeded(_)
            | EventKind::RunFailed(_)
            | EventKind::RunCancelled(_) => self.apply_to_run(event)?,
            // Names a step where a cell was refused something; the log shows it, the state does not need it.
            EventKind::CapabilityDenied(_) => {}
            _ => self.apply_to_step(event)?,
        }
        self.seq = event.seq;
        Ok(())
    }

    /// Whether no event can follow.
    pub fn is_final(&self) -> bool {
        self.status.is_final()
    }

    /// The state of a step; none where no event named it yet.
    pub fn step(&self, id: &str) -> Option<&StepState> {
        self.steps.get(id)
    }

    fn apply_to_run(&mut self, event: &Event) -> Result<(), FoldError> {
        match (&event.kind, self.status) {
            (EventKind::RunStarted, RunStatus::Queued) => self.status = RunStatus::Running,
            (EventKind::RunWaiting, RunStatus::Running) => self.status = RunStatus::Waiting,
            (EventKind::RunSucceeded(data), RunStatus::Running) => {
                self.output = Some(data.output.clone());
                self.finish(RunStatus::Succeeded, event.at);
            }
            // A run can fail or be cancelled before its first step starts.
            (EventKind::RunFailed(data), _) => {
                self.error = Some(data.error.clone());
                self.failed_step.clone_from(&data.failed_step);
                self.finish(RunStatus::Failed, event.at);
            }
            (EventKind::RunCancelled(data), _) => {
                self.cancel_reason.clone_from(&data.reason);
                self.finish(RunStatus::Cancelled, event.at);
            }
            (kind, status) => {
                return Err(FoldError::Run { seq: event.seq, kind: kind.name(), status });
            }
        }
        Ok(())
    }

    /// Steps keep their status at the end of a run: what is cancelled with it says so in an event of its own.
    fn finish(&mut self, status: RunStatus, at: Timestamp) {
        self.status = status;
        self.finished_at = Some(at);
    }

    fn apply_to_step(&mut self, event: &Event) -> Result<(), FoldError> {
        let kind = event.kind.name();
        let Some(id) = &event.step else { return Err(FoldError::NoStep { seq: event.seq, kind }) };
        let status = self.steps.get(id).map_or(StepStatus::Pending, |step| step.status);
        if !fits(&event.kind, status) {
            return Err(FoldError::Step { seq: event.seq, kind, step: id.clone(), status });
        }
        // Two look-ups for a step that is there cost less than a clone of the id for `entry`.
        match self.steps.get_mut(id) {
            Some(step) => step.apply(event),
            None => self.steps.entry(id.clone()).or_default().apply(event),
        }
        if !matches!(event.kind, EventKind::StepLog(_)) {
            self.status = RunStatus::Running;
        }
        Ok(())
    }
}

impl StepState {
    /// What `steps.X` shows to others. A skipped, cancelled or unhandled failed step shows nothing.
    pub fn output_for_steps(&self) -> Option<&Payload> {
        match (self.status, &self.handled) {
            (StepStatus::Succeeded, _) | (StepStatus::Failed, Some(Handled::Continue)) => self.output.as_ref(),
            _ => None,
        }
    }

    /// Whether steps that need this one may run: it succeeded, or its failure was handled.
    pub fn lets_go_on(&self) -> bool {
        self.output_for_steps().is_some()
    }

    fn apply(&mut self, event: &Event) {
        match &event.kind {
            EventKind::StepRouted(data) => self.routed = Some(data.clone()),
            EventKind::StepStarted(data) => self.start(data, event.at),
            EventKind::StepSucceeded(data) => self.succeed(data, event.at),
            EventKind::StepFailed(data) => self.fail(data, event.at),
            EventKind::StepRetrying(data) => self.retry(data),
            EventKind::StepWaiting(data) => {
                self.status = StepStatus::Waiting;
                self.wait = Some(data.wait.clone());
                self.signal = None;
            }
            EventKind::StepResumed(data) => {
                self.status = StepStatus::Running;
                self.wait = None;
                self.signal = Some(data.signal.clone());
            }
            EventKind::StepSkipped(data) => {
                self.skip_reason = Some(data.reason.clone());
                self.finish(StepStatus::Skipped, event.at);
            }
            EventKind::StepBranched(data) => self.port = Some(data.port.clone()),
            EventKind::StepCancelled => self.finish(StepStatus::Cancelled, event.at),
            EventKind::StepLog(StepLog { text, .. }) => self.log_bytes += text.len() as u64,
            EventKind::RunCreated(_)
            | EventKind::RunStarted
            | EventKind::RunWaiting
            | EventKind::RunSucceeded(_)
            | EventKind::RunFailed(_)
            | EventKind::RunCancelled(_)
            | EventKind::CapabilityDenied(_) => {}
        }
    }

    fn start(&mut self, data: &StepStarted, at: Timestamp) {
        self.status = StepStatus::Running;
        self.attempts = data.attempt;
        self.idempotency_key = Some(data.idempotency_key.clone());
        self.retry_at = None;
        self.started_at.get_or_insert(at);
    }

    fn succeed(&mut self, data: &StepSucceeded, at: Timestamp) {
        self.output = Some(data.output.clone());
        // The failures of earlier attempts are in the log; a step that succeeded shows none.
        self.error = None;
        self.add(data.receipt);
        self.finish(StepStatus::Succeeded, at);
    }

    /// `continue` leaves the step failed and shows its error to others; with `use` the value stands for the
    /// step, which counts as succeeded, and `error` tells that it is a substitute.
    fn fail(&mut self, data: &StepFailed, at: Timestamp) {
        self.error = Some(data.error.clone());
        self.handled = Some(data.handled.clone());
        self.add(data.receipt);
        let status = match &data.handled {
            Handled::Fail => StepStatus::Failed,
            Handled::Continue => {
                self.output = Some(Payload::Value(Json::from(serde_json::json!({ "error": data.error }))));
                StepStatus::Failed
            }
            Handled::Use(value) => {
                self.output = Some(Payload::Value(value.clone()));
                StepStatus::Succeeded
            }
        };
        self.finish(status, at);
    }

    /// Between two attempts a step counts as running.
    fn retry(&mut self, data: &StepRetrying) {
        self.error = Some(data.error.clone());
        self.retry_at = Some(data.at);
        // The next attempt starts from `execute`, not from where this one was resumed.
        self.signal = None;
        self.port = None;
        self.add(data.receipt);
    }

    fn finish(&mut self, status: StepStatus, at: Timestamp) {
        self.status = status;
        self.wait = None;
        self.retry_at = None;
        self.finished_at = Some(at);
    }

    fn add(&mut self, receipt: Receipt) {
        let sum = &mut self.receipt;
        sum.fuel = sum.fuel.saturating_add(receipt.fuel);
        sum.total_us = sum.total_us.saturating_add(receipt.total_us);
        sum.host_us = sum.host_us.saturating_add(receipt.host_us);
    }
}

/// Whether an event may happen to a step that is where `status` says.
///
/// A step in flight at a crash starts again, so `step.started` follows itself; a config that can not be made
/// fails a step that never started; a deadline or a broken component fails a parked one.
fn fits(kind: &EventKind, status: StepStatus) -> bool {
    use StepStatus::{Pending, Running, Waiting};
    match kind {
        EventKind::StepLog(_) => true,
        EventKind::StepRouted(_) | EventKind::StepStarted(_) => matches!(status, Pending | Running),
        EventKind::StepSucceeded(_)
        | EventKind::StepBranched(_)
        | EventKind::StepRetrying(_)
        | EventKind::StepWaiting(_) => status == Running,
        EventKind::StepFailed(_) | EventKind::StepCancelled => matches!(status, Pending | Running | Waiting),
        EventKind::StepResumed(_) => status == Waiting,
        EventKind::StepSkipped(_) => status == Pending,
        _ => false,
    }
}
