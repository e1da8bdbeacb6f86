//! A run's state: a fold over its events.
//!
//! The fold decides nothing. It refuses what can not follow, so that a damaged log or a mistake of the engine
//! is found where it happens and not three events later.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::{
    Digest, Event, EventKind, Failure, Json, StepId,
    event::{Payload, Receipt, RetryOf, RunCreated, StepResumed, StepWaiting, Wait},
};

mod status;
mod step;
#[cfg(test)]
mod tests;

pub use status::{RunStatus, StepStatus, UnknownStatus};
pub use step::{FannedOut, StepState};

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
    /// When the run fails, if it has not ended before.
    pub deadline: Option<Timestamp>,
    /// The run that this one tries again.
    pub retry_of: Option<RetryOf>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    /// Events, by name and id, that its steps were resumed with. Each counts once in a run.
    pub heard: BTreeSet<(String, String)>,
    /// Over how many items its steps fanned out, all together.
    pub items: u64,
    /// In the order in which the log first names them. A step that no event names yet is not in here: the
    /// fold does not know the flow. Items of a fan-out are ordinary entries.
    pub steps: IndexMap<StepId, StepState>,
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
        let RunCreated { flow, flow_digest, input, idempotency_key, plugins, deadline, retry_of } =
            created.clone();
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
            deadline,
            retry_of,
            created_at: first.at,
            finished_at: None,
            heard: BTreeSet::new(),
            items: 0,
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

    /// What all its steps have used.
    pub fn receipt(&self) -> Receipt {
        let mut sum = Receipt::default();
        self.steps.values().for_each(|step| sum += step.receipt);
        sum
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
        if !step::fits(&event.kind, status) {
            return Err(FoldError::Step { seq: event.seq, kind, step: id.clone(), status });
        }
        if let EventKind::StepResumed(StepResumed { event: Some(heard), .. }) = &event.kind {
            let name = self.steps.get(id).and_then(StepState::awaits);
            self.heard.extend(name.map(|name| (name.to_owned(), heard.clone())));
        }
        if let EventKind::StepWaiting(StepWaiting { wait: Wait::Items { count, .. }, .. }) = &event.kind {
            // Another attempt has the same items once more.
            let before = self.steps.get(id).and_then(|step| step.items).unwrap_or(0);
            self.items = self.items.saturating_sub(before).saturating_add(*count);
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
