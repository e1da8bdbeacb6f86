//! Results of the run that this one tries again: taken over where nothing that they rest on has changed.
//!
//! A result rests on the resolved config, on the component, on what each step before it gave, and on the input: that of
//! the run, which both runs share, or that of the flow within the flow. That of a fan-out rests on the components of its
//! body as well. An approval is a result like any other.

use std::{collections::BTreeSet, sync::Arc};

use stepcell_core::{
    Digest, EventKind, Json, RunId, StepId,
    event::{Kept, Payload, Receipt, RetryOf, StepRouted, StepSucceeded},
    plan::PlannedStep,
    run::{RunState, StepState, StepStatus},
};

use super::{Driver, scope::At};
use crate::{Error, load};

/// Hex digits of the digest that name a config in the log: two configs of one step do not share them by chance.
const CONFIG_NAME_DIGITS: usize = 16;

/// Blobs of the earlier run that are looked up at a time.
const BLOBS_PER_READ: usize = 1_000;

/// The run that this one tries again.
#[derive(Debug)]
pub(super) struct Earlier {
    run: RunId,
    state: Arc<RunState>,
    /// This step and what depends on it runs anew.
    from: Option<StepId>,
    /// This run holds what that one holds.
    is_held: bool,
}

impl Driver {
    /// Reads the earlier run, if there is one. Where it is gone, the steps that have no result yet run anew.
    pub(super) async fn look_back(&mut self) -> Result<(), Error> {
        let Some(RetryOf { run, from }) = self.state.retry_of.clone() else { return Ok(()) };
        match load::seen(&self.engine, run).await {
            Ok(state) => self.earlier = Some(Earlier { run, state, from, is_held: false }),
            Err(Error::NoSuchRun(_)) => self.forget_earlier(run),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn forget_earlier(&mut self, earlier: RunId) {
        tracing::warn!(run_id = %self.run, retry_of = %earlier, "the earlier run is gone: nothing is taken over");
        self.earlier = None;
    }

    /// Takes over the result of a step, if the earlier run has one that still holds; gives whether it did.
    pub(super) async fn takes_over(&mut self, at: At, routed: &StepRouted) -> Result<bool, Error> {
        let Some((output, kept)) = self.kept(at, routed) else { return Ok(false) };
        if !self.hold_blobs().await? {
            return Ok(false);
        }
        let port = kept.port.clone();
        self.emit_for(at, EventKind::StepRouted(routed.clone()))?;
        let done = StepSucceeded { output, receipt: Receipt::default(), kept: Some(kept) };
        self.emit_for(at, EventKind::StepSucceeded(done))?;
        self.goes_on(at, port)?;
        Ok(true)
    }

    /// A result may name any blob of its run, in whatever words: this run holds all of them before it takes the first
    /// result over. Gives whether the earlier run is still there.
    async fn hold_blobs(&mut self) -> Result<bool, Error> {
        let Some(earlier) = &mut self.earlier else { return Ok(false) };
        if std::mem::replace(&mut earlier.is_held, true) {
            return Ok(true);
        }
        let (run, mut after) = (earlier.run, None);
        loop {
            let held = self.engine.store.blobs_of(run, after, BLOBS_PER_READ).await?;
            held.iter().for_each(|digest| self.outbox.holds(*digest));
            after = held.last().copied();
            if held.len() < BLOBS_PER_READ {
                break;
            }
        }
        // What it held goes after it, so that nothing was missed where it is there now.
        if self.engine.store.summary(run).await?.is_none() {
            self.forget_earlier(run);
        }
        Ok(self.earlier.is_some())
    }

    /// What a step rests on that neither its config nor the steps before it say.
    pub(super) fn rests_on(&self, at: At, planned: &PlannedStep) -> Vec<Digest> {
        let input = self.scopes.get(at.scope).and_then(|within| within.own_input);
        let kinds: BTreeSet<&str> = planned.bodies.iter().flat_map(|body| body.plan.kinds()).collect();
        let types = kinds.into_iter().filter_map(|kind| self.prepared.types.get(kind));
        let components: BTreeSet<Digest> =
            types.flat_map(|kind| &kind.providers).map(|provider| provider.digest).collect();
        input.into_iter().chain(components).collect()
    }

    fn kept(&self, at: At, routed: &StepRouted) -> Option<(Payload, Kept)> {
        let earlier = self.earlier.as_ref()?;
        let id = self.scopes.step_id(at)?;
        let then = earlier.state.steps.get(id)?;
        let same = then.routed.as_ref().is_some_and(|then| is_same(then, routed));
        if !gave_a_result(then) || !same || self.runs_anew(at, earlier) {
            return None;
        }
        // A body that the step made up itself may use any component that the run pins.
        let made_up = then.items.is_some() && self.scopes.planned(at)?.bodies.is_empty();
        if made_up && self.state.plugins != earlier.state.plugins {
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

/// What names a resolved config in the log, and what else the step rests on.
pub(super) fn config_name(config: &Json, rests_on: &[Digest]) -> String {
    let mut name = Digest::of(config.text().as_bytes());
    if !rests_on.is_empty() {
        let all: Vec<_> = [name].iter().chain(rests_on).map(|digest| *digest.as_bytes()).collect();
        name = Digest::of(all.as_flattened());
    }
    let mut name = name.to_string();
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
