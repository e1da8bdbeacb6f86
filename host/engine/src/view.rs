//! A run as people and programs see it.

use std::collections::HashMap;

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
    /// The run that this one tries again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<RunId>,
    /// In the order of the flow. The items of a fan-out are counted at its step: there may be thousands.
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
    pub wait: Option<WaitView>,
    /// Of a step that fans out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<ItemCounts>,
    /// The earlier run that the output was taken over from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_from: Option<RunId>,
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

/// What a parked step waits for, without the items of a fan-out.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum WaitView {
    /// As the log has it.
    Signal(Wait),
    Items {
        #[serde(rename = "for")]
        what: &'static str,
        count: u64,
        concurrency: u32,
        keep_going: bool,
    },
}

/// How far a fan-out has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ItemCounts {
    pub total: u64,
    /// An item whose `if` was false counts as well.
    pub succeeded: u64,
    pub failed: u64,
}

/// Some of the items of a step; serialises to the answer of `GET /runs/{id}/steps/{step}/items`.
#[derive(Debug, Clone, Serialize)]
pub struct ItemsPage {
    pub items: Vec<ItemView>,
    /// What to ask for the next page with; `None` on the last one.
    pub next: Option<u64>,
}

/// One item of a fan-out.
#[derive(Debug, Clone, Serialize)]
pub struct ItemView {
    pub index: u64,
    #[serde(flatten)]
    pub step: StepView,
    /// The steps of its body, where that has more than one, by their names in the log.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub steps: IndexMap<StepId, StepView>,
}

impl RunView {
    /// Whether nothing will change any more.
    pub fn is_final(&self) -> bool {
        self.status.is_final()
    }

    /// `outline` names the flow's steps with their types, in order.
    pub(crate) fn new(run_id: RunId, state: &RunState, outline: &[(StepId, String)]) -> Self {
        let counts = count_items(state);
        let mut steps = IndexMap::with_capacity(outline.len());
        for (id, kind) in outline {
            let mut view = StepView::new(kind, state.steps.get(id), state.status);
            view.items = counts.get(id.as_str()).copied();
            steps.insert(id.clone(), view);
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
            retry_of: state.retry_of.as_ref().map(|retry| retry.run),
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
            items: None,
            kept_from: None,
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
            view.wait = step.wait.as_ref().filter(|_| step.status == StepStatus::Waiting).map(WaitView::from);
            view.kept_from = step.kept_from;
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

impl ItemsPage {
    /// The items of step `id` from number `from` on, at most `limit`; `None` for a step that did not fan out.
    pub(crate) fn new(state: &RunState, id: &StepId, from: u64, limit: usize) -> Option<Self> {
        let total = state.steps.get(id)?.items?;
        let until = from.saturating_add(limit as u64).min(total);
        let item = |index: u64| {
            let step = id.item(usize::try_from(index).ok()?, None);
            let step = StepView::new("", state.steps.get(&step), state.status);
            Some(ItemView { index, step, steps: IndexMap::new() })
        };
        let mut items: Vec<ItemView> = (from..until).filter_map(item).collect();
        for (name, step) in &state.steps {
            let Some((index, inner)) = item_of(id.as_str(), name.as_str()) else { continue };
            let position = index.checked_sub(from).and_then(|position| usize::try_from(position).ok());
            let Some(item) = position.and_then(|position| items.get_mut(position)) else { continue };
            // What stands deeper is listed at the step that fans out there.
            if !inner.is_empty() && !inner.contains('[') {
                item.steps.insert(name.clone(), StepView::new("", Some(step), state.status));
            }
        }
        Some(Self { items, next: (until < total).then_some(until) })
    }
}

/// The number of the item of step `of` that a name belongs to, and what follows in the name.
fn item_of<'n>(of: &str, name: &'n str) -> Option<(u64, &'n str)> {
    let (index, inner) = name.strip_prefix(of)?.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().ok()?, inner))
}

/// How far each fan-out of the flow has come, by the step's name.
fn count_items(state: &RunState) -> HashMap<&str, ItemCounts> {
    let mut counts: HashMap<&str, ItemCounts> = HashMap::new();
    for (id, step) in &state.steps {
        if let Some(total) = step.items.filter(|_| !id.as_str().contains('[')) {
            counts.entry(id.as_str()).or_default().total = total;
        }
        let Some((of, rest)) = id.as_str().split_once('[') else { continue };
        // A step within an item is no item.
        if rest.find(']') != rest.len().checked_sub(1) {
            continue;
        }
        let counts = counts.entry(of).or_default();
        match step.status {
            StepStatus::Succeeded | StepStatus::Skipped => counts.succeeded += 1,
            StepStatus::Failed => counts.failed += 1,
            _ => {}
        }
    }
    counts
}

impl From<&Wait> for WaitView {
    fn from(wait: &Wait) -> Self {
        match wait {
            Wait::Items { count, concurrency, keep_going, .. } => {
                let (count, concurrency, keep_going) = (*count, *concurrency, *keep_going);
                Self::Items { what: "items", count, concurrency, keep_going }
            }
            other => Self::Signal(other.clone()),
        }
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
