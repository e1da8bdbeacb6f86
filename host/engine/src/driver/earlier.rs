//! Results of the run that this one tries again: taken over where nothing that they rest on has changed.
//!
//! A result rests on the resolved config, on the component, on the input, which both runs share, and on what each step
//! before it gave. An approval is a result like any other.

use stepcell_core::{
    Digest, EventKind, Json, RunId, StepId,
    event::{Kept, Payload, Receipt, RetryOf, StepRouted, StepSucceeded},
    run::{RunState, StepState, StepStatus},
};

use super::{Driver, scope::At};
use crate::{Error, load};

/// Hex digits of the digest that name a config in the log: two configs of one step do not share them by chance.
const CONFIG_NAME_DIGITS: usize = 16;

/// The run that this one tries again.
#[derive(Debug)]
pub(super) struct Earlier {
    run: RunId,
    state: RunState,
    /// This step and what depends on it runs anew.
    from: Option<StepId>,
}

impl Driver {
    /// Reads the earlier run, if there is one. Where it is gone, the steps that have no result yet run anew.
    pub(super) async fn look_back(&mut self) -> Result<(), Error> {
        let Some(RetryOf { run, from }) = self.state.retry_of.clone() else { return Ok(()) };
        match load::state(&self.engine, run).await {
            Ok(state) => self.earlier = Some(Earlier { run, state, from }),
            Err(Error::NoSuchRun(_)) => {
                tracing::warn!(run_id = %self.run, retry_of = %run, "the earlier run is gone: nothing is taken over");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes over the result of a step, if the earlier run has one that still holds; gives whether it did.
    pub(super) fn takes_over(&mut self, at: At, routed: &StepRouted) -> Result<bool, Error> {
        let Some((output, kept)) = self.kept(at, routed) else { return Ok(false) };
        if let Payload::Blob { digest, .. } = &output {
            self.outbox.holds(*digest);
        }
        let port = kept.port.clone();
        self.emit_for(at, EventKind::StepRouted(routed.clone()))?;
        let done = StepSucceeded { output, receipt: Receipt::default(), kept: Some(kept) };
        self.emit_for(at, EventKind::StepSucceeded(done))?;
        self.goes_on(at, port)?;
        Ok(true)
    }

    fn kept(&self, at: At, routed: &StepRouted) -> Option<(Payload, Kept)> {
        let earlier = self.earlier.as_ref()?;
        let id = self.scopes.step_id(at)?;
        let then = earlier.state.steps.get(id)?;
        let same = then.routed.as_ref().is_some_and(|then| is_same(then, routed));
        if !gave_a_result(then) || !same || self.runs_anew(at, earlier) {
            return None;
        }
        let output = |state: &RunState, id: &StepId| {
            state.steps.get(id).and_then(|seen| seen.output_for_steps()).cloned()
        };
        let mut before = self.scopes.ancestors(at);
        if before.any(|(_, id)| output(&self.state, id) != output(&earlier.state, id)) {
            return None;
        }
        Some((then.output.clone()?, Kept { run: earlier.run, port: then.port.clone() }))
    }

    /// Whether it was asked that a step runs again: it is the one that was named, or comes after it, or stands within
    /// one that does.
    fn runs_anew(&self, at: At, earlier: &Earlier) -> bool {
        let Some(from) = &earlier.from else { return false };
        let outermost = self.scopes.outermost(at);
        let names_it = self.scopes.step_id(outermost) == Some(from);
        names_it || self.scopes.ancestors(outermost).any(|(_, id)| id == from)
    }
}

/// What names a resolved config in the log.
pub(super) fn config_name(config: &Json) -> String {
    let mut name = Digest::of(config.text().as_bytes()).to_string();
    name.truncate(CONFIG_NAME_DIGITS);
    name
}

fn is_same(then: &StepRouted, now: &StepRouted) -> bool {
    then.digest == now.digest && then.config.is_some() && then.config == now.config
}

/// A value that `on_error` put in the place of a failure is no result.
fn gave_a_result(step: &StepState) -> bool {
    step.status == StepStatus::Succeeded && step.error.is_none()
}
