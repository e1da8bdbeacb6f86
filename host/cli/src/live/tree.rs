//! The picture of a run at a terminal: the flow, and under it a line for each step.

use std::cell::Cell;

use indexmap::IndexMap;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use stepcell_core::{
    StepId,
    run::{StepState, StepStatus},
};

use super::step_line::{Labels, details, step_style};

#[derive(Debug)]
pub(super) struct Tree {
    terminal: MultiProgress,
    heading: ProgressBar,
    rows: IndexMap<StepId, Row>,
    /// Somebody else writes to the terminal.
    hidden: Cell<bool>,
}

#[derive(Debug)]
struct Row {
    bar: ProgressBar,
    /// The id and the type, padded to the width of the widest.
    label: String,
}

/// How a row is drawn; the second also shows how long it has been so.
const STILL: &str = "{prefix:.dim}{msg}";
const MOVING: &str = "{prefix:.dim}{spinner:.cyan} {msg} {elapsed:.dim}";

impl Tree {
    pub(super) fn new(flow: &str, labels: &Labels, terminal: MultiProgress) -> Self {
        let heading = row(&terminal, String::new());
        set_style(&heading, STILL);
        heading.set_message(flow.to_owned());
        let last = labels.ids().len().saturating_sub(1);
        let rows = labels.ids().enumerate().map(|(index, id)| {
            let branch = if index == last { "└─ " } else { "├─ " };
            let bar = row(&terminal, branch.to_owned());
            let label = labels.label(id);
            show(&bar, &label, StepStatus::Pending, "");
            (id.clone(), Row { bar, label })
        });
        Self { rows: rows.collect(), heading, terminal, hidden: Cell::new(false) }
    }

    /// Draws a step anew. Steps that are not in the flow, such as the items of a fan-out, have no row.
    pub(super) fn update(&self, id: &StepId, step: &StepState) {
        if let Some(Row { bar, label }) = self.rows.get(id) {
            show(bar, label, step.status, &details(step));
        }
    }

    /// Writes a line above the tree.
    pub(super) fn above(&self, line: &str) {
        // A terminal that is gone takes the tree with it; the run goes on.
        let _ = self.terminal.println(line);
    }

    /// Takes the tree off the terminal. What changes meanwhile is drawn later.
    pub(super) fn hide(&self) {
        // A terminal that is gone has nothing to clear.
        let _ = self.terminal.clear();
        self.terminal.set_draw_target(ProgressDrawTarget::hidden());
        self.hidden.set(true);
    }

    /// Draws the tree again, where it was taken off.
    pub(super) fn unhide(&self) {
        if self.hidden.replace(false) {
            self.terminal.set_draw_target(ProgressDrawTarget::stderr());
            self.tick();
        }
    }

    pub(super) fn tick(&self) {
        self.rows.values().filter(|row| !row.bar.is_finished()).for_each(|row| row.bar.tick());
    }

    /// Draws the tree a last time and leaves it on the screen.
    pub(super) fn finish(self) {
        self.unhide();
        for row in self.rows.values() {
            set_style(&row.bar, STILL);
            row.bar.abandon();
        }
        self.heading.abandon();
    }
}

fn row(terminal: &MultiProgress, prefix: String) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_finish(ProgressFinish::Abandon).with_prefix(prefix);
    terminal.add(bar)
}

fn show(bar: &ProgressBar, label: &str, status: StepStatus, details: &str) {
    let word = step_style(status).apply_to(mark(status));
    if matches!(status, StepStatus::Running | StepStatus::Waiting) {
        set_style(bar, MOVING);
        bar.reset_elapsed();
        bar.set_message(format!("{label}{details}"));
    } else {
        set_style(bar, STILL);
        bar.set_message(format!("{word} {label}{details}"));
    }
}

/// A sign that needs no colour to be told from the others.
fn mark(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Pending => "·",
        StepStatus::Running => "▸",
        StepStatus::Waiting => "◷",
        StepStatus::Succeeded => "✔",
        StepStatus::Failed => "✘",
        StepStatus::Skipped => "↷",
        StepStatus::Cancelled => "⊘",
    }
}

fn set_style(bar: &ProgressBar, template: &str) {
    // The templates above are constants; a test draws with each.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}
