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
    let mut message = error.message.trim_end().lines();
    out.push_str(message.next().unwrap_or_default());
    out.push('\n');
    push_block(&mut out, "  ", message);
    let hint = error.hint.as_deref().unwrap_or_default();
    push_block(&mut out, "hint: ", hint.lines());
    // A step may hand on the refusal in its own words, with the lines or without.
    let told = |refusal: &CapabilityDenied| {
        let allow = refusal.allow.trim();
        hint.contains(allow) || error.message.contains(allow)
    };
    let refused = denied.iter().filter(|(step, _)| *step == state.failed_step);
    for (_, refusal) in refused.filter(|(_, refusal)| !told(refusal)) {
        push_block(&mut out, "", std::iter::once("to allow it, in stepcell.yaml:"));
        push_block(&mut out, "  ", refusal.allow.trim_end().lines());
    }
    Some(out)
}

/// The step that says no is told apart from the host that could not run it.
fn headline(error: &Failure, step: Option<&StepId>) -> String {
    let (label, verb) = match error.kind {
        FailureKind::Business => ("error", "failed"),
        FailureKind::System => ("system error", "could not be run"),
    };
    let code = error.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    match step {
        Some(step) => format!("{label}: step `{step}` {verb}{code}: "),
        None => format!("{label}{code}: "),
    }
}

/// Lines, indented as one block behind a label.
fn push_block<'a>(out: &mut String, label: &str, lines: impl Iterator<Item = &'a str>) {
    let margin = " ".repeat(label.len());
    for (index, line) in lines.enumerate() {
        let label = if index == 0 { label } else { &margin };
        // Writing to a string does not fail.
        let _ = writeln!(out, "  {label}{line}");
    }
}

#[cfg(test)]
mod tests;
