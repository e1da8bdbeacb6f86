//! A run as people and programs see it.

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use stepcell_core::{
    Failure, Json, RunId, StepId,
    event::{Payload, Wait},
    run::{RunState, RunStatus, StepState, StepStatus},
};

/// A run with all its steps; serialises to the answer of `GET /runs/{id}`.
#[derive(Debug, Clone, Serialize)]
pub struct RunView {
    pub run_id: RunId,
    pub flow: String,
    pub status: RunStatus,
    pub input: Json,
    pub output: Option<Json>,
    pub error: Option<RunFailure>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    /// In the order of the flow, then items and the like in the order in which they started.
    pub steps: IndexMap<StepId, StepView>,
}

/// Why a run failed.
#[derive(Debug, Clone, Serialize)]
pub struct RunFailure {
    #[serde(flatten)]
    pub failure: FailureView,
    /// The step that failed the run, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
}

/// A failure with its details as a tree, so that it can stand beside other keys.
#[derive(Debug, Clone, Serialize)]
pub struct FailureView {
    pub fault: stepcell_core::Fault,
    pub kind: stepcell_core::FailureKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    pub message: String,
    pub retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

/// One step of a run.
#[derive(Debug, Clone, Serialize)]
pub struct StepView {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: StepStatus,
    pub attempts: u32,
    /// A big output is shown as what cells see of it, with the blob's digest under `$blob.sha256`.
    pub output: Option<Json>,
    pub error: Option<FailureView>,
    /// The port that a branching step took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// What a waiting step waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<Wait>,
    /// Why a step was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the next attempt starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Fuel of all attempts together.
    pub fuel: u64,
    /// Microseconds of all attempts together, without the waits between them.
    pub duration_us: u64,
}

impl RunView {
    /// Whether nothing will change any more.
    pub fn is_final(&self) -> bool {
        self.status.is_final()
    }

    /// `outline` names the flow's steps with their types, in order.
    pub(crate) fn new(run_id: RunId, state: &RunState, outline: &[(StepId, String)]) -> Self {
        let mut steps = IndexMap::with_capacity(outline.len());
        for (id, kind) in outline {
            steps.insert(id.clone(), StepView::new(kind, state.steps.get(id), state.status));
        }
        for (id, step) in &state.steps {
            if !steps.contains_key(id) {
                steps.insert(id.clone(), StepView::new("", Some(step), state.status));
            }
        }
        Self {
            run_id,
            flow: state.flow.clone(),
            status: state.status,
            input: state.input.clone(),
            output: state.output.as_ref().map(shown),
            error: state
                .error
                .as_ref()
                .map(|error| RunFailure { failure: error.into(), step: state.failed_step.clone() }),
            created_at: state.created_at,
            finished_at: state.finished_at,
            steps,
        }
    }
}

impl StepView {
    fn new(kind: &str, step: Option<&StepState>, run: RunStatus) -> Self {
        let mut view = Self {
            kind: kind.to_owned(),
            status: StepStatus::Pending,
            attempts: 0,
            output: None,
            error: None,
            port: None,
            wait: None,
            reason: None,
            retry_at: None,
            plugin: None,
            started_at: None,
            finished_at: None,
            fuel: 0,
            duration_us: 0,
        };
        if let Some(step) = step {
            view.status = step.status;
            view.attempts = step.attempts;
            view.output = step.output_for_steps().map(shown);
            view.error = step.error.as_ref().map(FailureView::from);
            view.port.clone_from(&step.port);
            view.wait = step.wait.clone().filter(|_| step.status == StepStatus::Waiting);
            view.reason.clone_from(&step.skip_reason);
            view.retry_at = step.retry_at;
            view.plugin = step.routed.as_ref().map(|routed| routed.plugin.clone());
            view.started_at = step.started_at;
            view.finished_at = step.finished_at;
            view.fuel = step.receipt.fuel;
            view.duration_us = step.receipt.total_us;
        }
        // A run that has ended starts no more steps; its log does not spend an event on each of those.
        if run.is_final() && view.status == StepStatus::Pending {
            view.status = StepStatus::Cancelled;
            view.reason = Some(format!("it never started: the run ended as {run}"));
        }
        view
    }
}

impl From<&Failure> for FailureView {
    fn from(failure: &Failure) -> Self {
        let Failure { fault, kind, code, message, retryable, retry_after_ms, hint, details } =
            failure.clone();
        let details = details.map(|details| details.value().clone());
        Self { fault, kind, code, message, retryable, retry_after_ms, hint, details }
    }
}

fn shown(payload: &Payload) -> Json {
    crate::context::seen_by_cells(payload).clone()
}
