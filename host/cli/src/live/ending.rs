//! How a run ended, and why.

use std::fmt::Write;

use stepcell_core::{Failure, FailureKind, StepId, event::CapabilityDenied, run::RunState};

use super::step_line;
use crate::text;

/// `order-intake succeeded in 1.2s: 8 steps, 41.2M fuel`.
pub(super) fn summary(flow: &str, state: &RunState) -> String {
    let spent = state.finished_at.map(|end| text::span(state.created_at, end)).unwrap_or_default();
    let fuel = state.steps.values().fold(0_u64, |sum, step| sum.saturating_add(step.receipt.fuel));
    let ran = state.steps.values().filter(|step| step.attempts > 0).count();
    let noun = if ran == 1 { "step" } else { "steps" };
    format!(
        "{flow} {} in {}: {ran} {noun}, {} fuel",
        step_line::run_style(state.status).apply_to(state.status),
        text::duration(spent),
        text::fuel(fuel),
    )
}

/// Whose fault it is, what happened, what to do, and for each refusal the lines that would allow it.
pub(super) fn reason(state: &RunState, denied: &[(Option<StepId>, CapabilityDenied)]) -> Option<String> {
    let error = state.error.as_ref()?;
    let mut out = headline(error, state.failed_step.as_ref());
    let hint = error.hint.as_deref().unwrap_or_default();
    if !hint.is_empty() {
        push_block(&mut out, "hint: ", hint);
    }
    let refused = denied.iter().filter(|(step, _)| *step == state.failed_step);
    for (_, refusal) in refused.filter(|(_, refusal)| !hint.contains(refusal.allow.trim())) {
        push_block(&mut out, "", &format!("to allow it, in stepcell.yaml:\n{}", refusal.allow.trim_end()));
    }
    Some(out)
}

/// The step that says no is told apart from the host that could not run it.
fn headline(error: &Failure, step: Option<&StepId>) -> String {
    let mut out = String::from(match error.kind {
        FailureKind::Business => "error: ",
        FailureKind::System => "system error: ",
    });
    // Writing to a string does not fail.
    if let Some(step) = step {
        let _ = write!(out, "step `{step}`: ");
    }
    out.push_str(&error.message);
    if let Some(code) = &error.code {
        let _ = write!(out, " ({code})");
    }
    out.push('\n');
    out
}

/// A text of several lines, indented as one block.
fn push_block(out: &mut String, label: &str, text: &str) {
    for (index, line) in text.lines().enumerate() {
        let label = if index == 0 { label } else { "  " };
        let _ = writeln!(out, "  {label}{line}");
    }
}

#[cfg(test)]
mod tests;
