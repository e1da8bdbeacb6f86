//! A step's part of the fold.

use jiff::Timestamp;

use super::StepStatus;
use crate::{
    Digest, Event, EventKind, Failure, Json, RunId,
    event::{
        Handled, Payload, Receipt, StepFailed, StepLog, StepRetrying, StepRouted, StepStarted, StepSucceeded,
        Wait,
    },
};

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
    /// Over how many items it fanned out.
    pub items: Option<u64>,
    /// Its last fan-out.
    pub fanned_out: Option<FannedOut>,
    /// How often it was parked.
    pub waits: u32,
    /// What ended its last wait: the argument of `resume`, also when that runs again after a crash.
    pub signal: Option<Json>,
    /// The id of the event that it was, where it was one.
    pub event: Option<String>,
    /// When the next attempt starts, of a step between two attempts.
    pub retry_at: Option<Timestamp>,
    pub skip_reason: Option<String>,
    /// The earlier run that its result was taken over from.
    pub kept_from: Option<RunId>,
    /// Of the first attempt.
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Of all attempts together.
    pub receipt: Receipt,
    /// Bytes of log that were kept.
    pub log_bytes: u64,
}

/// What a step fanned out over. Its items have the same names each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FannedOut {
    pub attempt: u32,
    pub items: Digest,
    pub body: Digest,
}

impl StepState {
    /// What `steps.X` shows to others. A skipped, cancelled or unhandled failed step shows nothing.
    pub fn output_for_steps(&self) -> Option<&Payload> {
        match (self.status, &self.handled) {
            (StepStatus::Succeeded, _) | (StepStatus::Failed, Some(Handled::Continue)) => {
                self.output.as_ref()
            }
            _ => None,
        }
    }

    /// Whether steps that need this one may run: it succeeded, or its failure was handled.
    pub fn lets_go_on(&self) -> bool {
        self.output_for_steps().is_some()
    }

    pub(super) fn apply(&mut self, event: &Event) {
        match &event.kind {
            EventKind::StepRouted(data) => self.routed = Some(data.clone()),
            EventKind::StepStarted(data) => self.start(data, event.at),
            EventKind::StepSucceeded(data) => self.succeed(data, event.at),
            EventKind::StepFailed(data) => self.fail(data, event.at),
            EventKind::StepRetrying(data) => self.retry(data),
            EventKind::StepWaiting(data) => {
                self.status = StepStatus::Waiting;
                if let Wait::Items { count, items, body, .. } = &data.wait {
                    self.items = Some(*count);
                    let (items, body) = (items.digest(), body.digest());
                    self.fanned_out = Some(FannedOut { attempt: self.attempts, items, body });
                }
                self.wait = Some(data.wait.clone());
                self.signal = None;
                self.waits += 1;
                self.add(data.receipt);
            }
            EventKind::StepResumed(data) => {
                self.status = StepStatus::Running;
                self.wait = None;
                self.signal = Some(data.signal.clone());
                self.event.clone_from(&data.event);
            }
            EventKind::StepSkipped(data) => {
                self.skip_reason = Some(data.reason.clone());
                self.finish(StepStatus::Skipped, event.at);
            }
            EventKind::StepBranched(data) => self.port = Some(data.port.clone()),
            EventKind::StepCancelled => self.finish(StepStatus::Cancelled, event.at),
            EventKind::StepLog(StepLog { text, receipt, .. }) => {
                self.log_bytes += text.len() as u64;
                self.add(receipt.unwrap_or_default());
            }
            EventKind::RunCreated(_)
            | EventKind::RunStarted
            | EventKind::RunWaiting
            | EventKind::RunSucceeded(_)
            | EventKind::RunFailed(_)
            | EventKind::RunCancelled(_)
            | EventKind::CapabilityDenied(_) => {}
        }
    }

    /// The name of the signals that it waits for, if it does.
    pub(super) fn awaits(&self) -> Option<&str> {
        match &self.wait {
            Some(Wait::Signal { name, .. }) => Some(name),
            _ => None,
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
        if let Some(kept) = &data.kept {
            self.port.clone_from(&kept.port);
            self.kept_from = Some(kept.run);
        }
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
        self.receipt += receipt;
    }
}

/// Whether an event may happen to a step that is where `status` says.
///
/// A step in flight at a crash starts again, so `step.started` follows itself; a config that can not be made
/// fails a step that never started; a deadline or a broken component fails a parked one.
pub(super) fn fits(kind: &EventKind, status: StepStatus) -> bool {
    use StepStatus::{Pending, Running, Waiting};
    match kind {
        EventKind::StepLog(_) => true,
        EventKind::StepRouted(_) | EventKind::StepStarted(_) => matches!(status, Pending | Running),
        // A result that is taken over needs no attempt.
        EventKind::StepSucceeded(data) => status == Running || (data.kept.is_some() && status == Pending),
        EventKind::StepBranched(_) | EventKind::StepRetrying(_) | EventKind::StepWaiting(_) => {
            status == Running
        }
        EventKind::StepFailed(_) | EventKind::StepCancelled => matches!(status, Pending | Running | Waiting),
        EventKind::StepResumed(_) => status == Waiting,
        EventKind::StepSkipped(_) => status == Pending,
        _ => false,
    }
}
