//! A step in one line.

use std::time::Duration;

use console::Style;
use jiff::Timestamp;
use stepcell_core::{
    EventKind, StepId,
    event::Wait,
    run::{RunStatus, StepState, StepStatus},
};

use crate::text;

/// The line for an event that is news to somebody who reads along, without a picture to look at.
pub(super) fn news(
    id: &StepId,
    type_name: &str,
    step: &StepState,
    kind: &EventKind,
    verbose: bool,
) -> Option<String> {
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
        let type_name = text::line(type_name);
        format!("  {status}  {id} {type_name}{}", details(step)).trim_end().to_owned()
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
        StepStatus::Failed => parts.extend(step.error.as_ref().map(|error| text::line(&error.message))),
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

fn waiting_for(wait: &Wait) -> String {
    match wait {
        Wait::Timer { until } => format!("until {}", clock(*until)),
        Wait::Signal { name, .. } => format!("for `{}`", text::line(name)),
        Wait::Items { count, .. } => format!("for {count} items"),
    }
}

/// The time of day in UTC, as log lines have it.
fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}
