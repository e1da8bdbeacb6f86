//! A run as it goes, on stderr: a tree at a terminal, plain lines elsewhere.

mod ending;
mod step_line;
mod tree;

use std::time::Duration;

use indexmap::IndexMap;
use indicatif::MultiProgress;
use stepcell_core::{
    Event, EventKind, StepId,
    event::{CapabilityDenied, Wait},
    run::{FoldError, RunState},
};

use self::{step_line::Labels, tree::Tree};
use crate::{output::note, text};

/// A flow with more steps than fit between the heading and the prompt is shown as lines, not as a tree.
const ROWS_KEPT_FREE: usize = 4;

/// How often the spinners and clocks move.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Follows one run, event by event, and shows what changes.
#[derive(Debug)]
pub(crate) struct Live {
    flow: String,
    labels: Labels,
    /// What the events so far amount to; none before the first.
    state: Option<RunState>,
    denied: Vec<(Option<StepId>, CapabilityDenied)>,
    verbose: bool,
    tree: Option<Tree>,
}

/// Whether an event within a fan-out is told to who does not ask for everything.
fn matters(kind: &EventKind) -> bool {
    match kind {
        EventKind::StepFailed(_) => true,
        EventKind::StepWaiting(waiting) => matches!(waiting.wait, Wait::Signal { .. }),
        _ => false,
    }
}

/// Where a tree can be drawn: `None` where stderr is no terminal.
pub(crate) fn terminal() -> Option<MultiProgress> {
    console::user_attended_stderr().then(MultiProgress::new)
}

impl Live {
    /// `kinds` names the steps with their types, in the order of the flow. With `verbose`, starts of steps and
    /// what they print are shown as well.
    pub(crate) fn new(
        flow: &str,
        kinds: IndexMap<StepId, String>,
        verbose: bool,
        terminal: Option<MultiProgress>,
    ) -> Self {
        let rows = usize::from(console::Term::stderr().size().0);
        let fits = kinds.len() + ROWS_KEPT_FREE <= rows;
        let labels = Labels::new(kinds);
        let flow = text::line(flow);
        let tree = terminal.filter(|_| fits).map(|terminal| Tree::new(&flow, &labels, terminal));
        Self { flow, labels, state: None, denied: Vec::new(), verbose, tree }
    }

    /// Shows what an event changes. Events come in order, from the first.
    pub(crate) fn event(&mut self, event: &Event) {
        if let Err(error) = self.apply(event) {
            // Only the display is behind; the run itself goes on untouched.
            tracing::warn!(%error, seq = event.seq, "event does not fit the run as shown");
            return;
        }
        match &event.kind {
            EventKind::StepLog(log) => self.printed(event.step.as_ref(), &log.text),
            EventKind::CapabilityDenied(denied) => self.denied.push((event.step.clone(), denied.clone())),
            kind => {
                if let Some(step) = &event.step {
                    self.step(step, kind);
                }
            }
        }
    }

    /// Moves the spinners and clocks of the tree.
    pub(crate) fn tick(&self) {
        if let Some(tree) = &self.tree {
            tree.tick();
        }
    }

    /// What the events so far amount to.
    pub(crate) fn state(&self) -> Option<&RunState> {
        self.state.as_ref()
    }

    /// Writes a line, above the tree where there is one.
    pub(crate) fn say(&self, line: &str) {
        match &self.tree {
            Some(tree) => tree.above(line),
            None => note(line),
        }
    }

    /// Leaves the terminal to somebody else, until [`unhide`](Self::unhide).
    pub(crate) fn hide(&self) {
        if let Some(tree) = &self.tree {
            tree.hide();
        }
    }

    /// Draws the tree again.
    pub(crate) fn unhide(&self) {
        if let Some(tree) = &self.tree {
            tree.unhide();
        }
    }

    /// What the run was refused so far, with the step that asked.
    pub(crate) fn denied(&self) -> &[(Option<StepId>, CapabilityDenied)] {
        &self.denied
    }

    /// Leaves the last picture where it is, and writes below it how the run ended and why.
    pub(crate) fn finish(self) {
        if let Some(tree) = self.tree {
            tree.finish();
        }
        if let Some(state) = &self.state {
            note(&ending::summary(&self.flow, state));
            if let Some(reason) = ending::reason(state, &self.denied) {
                note(text::safe(&reason).trim_end());
            }
        }
    }

    fn apply(&mut self, event: &Event) -> Result<(), FoldError> {
        match &mut self.state {
            None => self.state = Some(RunState::new(event)?),
            Some(state) => state.apply(event)?,
        }
        Ok(())
    }

    fn step(&self, id: &StepId, kind: &EventKind) {
        let Some(step) = self.state.as_ref().and_then(|state| state.steps.get(id)) else { return };
        match &self.tree {
            Some(tree) => tree.update(id, step),
            None => {
                // A fan-out may have thousands of steps: of those it is told what somebody has to know.
                let told = self.verbose || !id.as_str().contains('[') || matters(kind);
                if let Some(line) = step_line::news(&self.labels.label(id), step, kind, self.verbose)
                    && told
                {
                    note(&line);
                }
            }
        }
    }

    fn printed(&self, step: Option<&StepId>, printed: &str) {
        if !self.verbose {
            return;
        }
        let name = step.map_or("", StepId::as_str);
        for line in text::safe(printed).lines() {
            self.say(&format!("{name} | {line}"));
        }
    }
}
