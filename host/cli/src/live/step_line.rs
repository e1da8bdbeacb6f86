//! A step in one line.

use std::time::Duration;

use console::Style;
use indexmap::IndexMap;
use jiff::Timestamp;
use stepcell_core::{
    EventKind, StepId,
    event::Wait,
    run::{RunStatus, StepState, StepStatus},
};

use crate::{text, waiting::Waiting};

/// Steps with their types, each padded to the width of the widest.
#[derive(Debug)]
pub(super) struct Labels {
    kinds: IndexMap<StepId, String>,
    widest: usize,
    widest_kind: usize,
}

impl Labels {
    pub(super) fn new(kinds: IndexMap<StepId, String>) -> Self {
        let kinds: IndexMap<_, _> = kinds.into_iter().map(|(id, kind)| (id, text::line(&kind))).collect();
        let widest = kinds.keys().map(|id| id.as_str().len()).max().unwrap_or_default();
        let widest_kind =
            kinds.values().map(|kind| console::measure_text_width(kind)).max().unwrap_or_default();
        Self { kinds, widest, widest_kind }
    }

    /// The steps of the flow, in order.
    pub(super) fn ids(&self) -> impl ExactSizeIterator<Item = &StepId> {
        self.kinds.keys()
    }

    pub(super) fn label(&self, id: &StepId) -> String {
        let kind = self.kinds.get(id).map_or("", String::as_str);
        let kind = console::pad_str(kind, self.widest_kind, console::Alignment::Left, None);
        format!("{:<width$}  {kind}", id.as_str(), width = self.widest)
    }
}

/// The line for an event that is news to somebody who reads along, without a picture to look at.
pub(super) fn news(label: &str, step: &StepState, kind: &EventKind, verbose: bool) -> Option<String> {
    let shown = match kind {
        EventKind::StepStarted(_) => verbose,
        EventKind::StepSucceeded(_)
        | EventKind::StepFailed(_)
        | EventKind::StepRetrying(_)
        | EventKind::StepWaiting(_)
        | EventKind::StepSkipped(_)
        | EventKind::StepCancelled => true,
        _ => false,
    };
    shown.then(|| {
        let status = step_style(step.status).apply_to(format!("{:<9}", step.status.to_string()));
        format!("  {status}  {label}{}", details(step)).trim_end().to_owned()
    })
}

/// What there is to say of a step beside its name, each part after two spaces.
pub(super) fn details(step: &StepState) -> String {
    let mut parts = Vec::new();
    if let Some(port) = &step.port {
        parts.push(format!("→ {}", text::line(port)));
    }
    if step.attempts > 1 {
        parts.push(format!("attempt {}", step.attempts));
    }
    if step.receipt.total_us > 0 {
        parts.push(text::duration(Duration::from_micros(step.receipt.total_us)));
        parts.push(format!("{} fuel", text::fuel(step.receipt.fuel)));
    }
    match step.status {
        StepStatus::Waiting => parts.extend(step.wait.as_ref().map(waiting_for)),
        StepStatus::Skipped => parts.extend(step.skip_reason.as_deref().map(text::line)),
        // The first line is enough here: the whole reason stands below the steps.
        StepStatus::Failed => parts.extend(step.error.as_ref().and_then(|error| first_line(&error.message))),
        _ => parts.extend(step.retry_at.map(|at| format!("again at {}", clock(at)))),
    }
    parts.into_iter().map(|part| format!("  {part}")).collect()
}

pub(super) fn step_style(status: StepStatus) -> Style {
    let style = Style::new().for_stderr();
    match status {
        StepStatus::Succeeded => style.green(),
        StepStatus::Failed => style.red(),
        StepStatus::Waiting => style.yellow(),
        StepStatus::Running => style.cyan(),
        StepStatus::Pending | StepStatus::Skipped | StepStatus::Cancelled => style.dim(),
    }
}

pub(super) fn run_style(status: RunStatus) -> Style {
    let style = Style::new().for_stderr().bold();
    match status {
        RunStatus::Succeeded => style.green(),
        RunStatus::Failed => style.red(),
        _ => style.yellow(),
    }
}

fn first_line(message: &str) -> Option<String> {
    message.lines().next().map(text::line)
}

fn waiting_for(wait: &Wait) -> String {
    match wait {
        Wait::Timer { until } => format!("until {}", clock(*until)),
        Wait::Signal { .. } | Wait::Items { .. } => Waiting::from(wait).summary(),
    }
}

/// The time of day in UTC, as log lines have it.
fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}
