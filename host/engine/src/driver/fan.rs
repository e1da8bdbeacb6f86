//! Fan-out: a graph walked once for each item, in the same run.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use stepcell_core::{
    EventKind, Failure, Fault, Json, StepId,
    event::{Handled, Payload, Receipt, StepFailed, StepResumed, StepStarted, StepSucceeded, Wait},
    plan::{Body, BodyKind},
    run::StepStatus,
};

use super::{
    Driver, MAX_INLINE_RESULT_BYTES, MAX_LOADED_BYTES, Work,
    finish::of_problems,
    scope::{At, Scope, ScopeId},
    values::{too_much_to_load, unreadable},
};
use crate::{Error, context::idempotency_key, payload, prepared::Graph};

/// The most items of a run, over all its fan-outs. Bounds its log and its state, some two kilobytes for each.
const MAX_ITEMS: u64 = 50_000;
/// Steps of all items that are under way together; past it each fan-out has one item at a time. Bounds the memory of their
/// graphs where bodies are long, or stand in each other.
const MAX_OPEN_STEPS: usize = 65_536;
/// Items of one fan-out that may be under way at the same time, whatever it asks for. Bounds the memory of their graphs.
const MAX_CONCURRENCY: u32 = 256;
/// The same where it does not say.
const DEFAULT_CONCURRENCY: u32 = 64;
/// How deep fan-outs may stand in each other. Bounds what one event can set off.
const MAX_DEPTH: usize = 16;

/// What a step asked to be run for each item.
pub(super) struct FanOut {
    pub(super) items: Json,
    pub(super) body: Json,
    pub(super) concurrency: Option<u32>,
    pub(super) keep_going: bool,
}

/// A fan-out that is under way.
#[derive(Debug)]
pub(super) struct Fan {
    graph: Arc<Graph>,
    kind: BodyKind,
    /// An array.
    items: Json,
    count: usize,
    concurrency: usize,
    keep_going: bool,
    /// The next item to start; those before have ended or are open.
    next: usize,
    open: BTreeMap<usize, ScopeId>,
    /// Of the results so far.
    bytes: u64,
}

impl Fan {
    /// The graph of an item that is under way.
    pub(super) fn item(&self, index: usize) -> Option<ScopeId> {
        self.open.get(&index).copied()
    }

    /// The graphs of all items that are under way.
    pub(super) fn into_items(self) -> impl Iterator<Item = ScopeId> {
        self.open.into_values()
    }
}

impl Driver {
    /// A step fans out. `kept` is what the log has of the items and of the body.
    pub(super) fn fans_out(
        &mut self,
        at: At,
        fan_out: FanOut,
        kept: (Payload, Payload),
        receipt: Receipt,
    ) -> Result<(), Error> {
        let FanOut { items, body, concurrency, keep_going } = fan_out;
        let concurrency = concurrency.unwrap_or(DEFAULT_CONCURRENCY).clamp(1, MAX_CONCURRENCY);
        if let Err(failure) = self.may_fan_out(at, &kept) {
            return self.fail(at, failure, receipt);
        }
        match self.fan(at, items, &body, concurrency, keep_going) {
            Ok(fan) => {
                let (items, body) = kept;
                let count = fan.count as u64;
                let wait = Wait::Items { count, concurrency, keep_going, items, body };
                if self.waits(at, wait, receipt)? {
                    self.fans.insert(at, fan);
                    self.todo.push_back(Work::Feed(at));
                }
                Ok(())
            }
            Err(failure) => self.fail(at, failure, receipt),
        }
    }

    /// The items of a step have the same names each time: a second fan-out would be given the results of the first.
    /// Another attempt of the step may find them, if it asks for the same.
    fn may_fan_out(&self, at: At, (items, body): &(Payload, Payload)) -> Result<(), Failure> {
        let Some((seen, before)) = self.seen(at).and_then(|seen| Some((seen, seen.fanned_out?))) else {
            return Ok(());
        };
        if before.attempt == seen.attempts {
            return Err(fans_out_again("it fans out a second time"));
        }
        if (before.items, before.body) != (items.digest(), body.digest()) {
            let message = format!(
                "attempt {} fans out over other items, or with another body, than attempt {}",
                seen.attempts, before.attempt
            );
            return Err(fans_out_again(message));
        }
        Ok(())
    }

    /// Takes up a fan-out that the log says was under way.
    pub(super) async fn reopen(&mut self, at: At) -> Result<(), Error> {
        let seen = self.scopes.step_id(at).and_then(|id| self.state.steps.get(id));
        let Some(Wait::Items { concurrency, keep_going, items, body, .. }) =
            seen.and_then(|seen| seen.wait.clone())
        else {
            return Ok(());
        };
        let items = payload::whole(&*self.engine.store, &items).await?;
        let body = payload::whole(&*self.engine.store, &body).await?;
        match self.fan(at, items, &body, concurrency, keep_going) {
            Ok(fan) => {
                self.fans.insert(at, fan);
                self.todo.push_back(Work::Feed(at));
                Ok(())
            }
            Err(failure) => self.fail(at, failure, Receipt::default()),
        }
    }

    fn fan(
        &self,
        at: At,
        items: Json,
        body: &Json,
        concurrency: u32,
        keep_going: bool,
    ) -> Result<Fan, Failure> {
        let count = items.value().as_array().ok_or_else(no_list)?.len();
        let own = self.seen(at).and_then(|seen| seen.items).unwrap_or(0);
        let others = self.state.items.saturating_sub(own);
        if others.saturating_add(count as u64) > MAX_ITEMS {
            return Err(too_many_items(count, others));
        }
        if self.depth(at.scope) >= MAX_DEPTH {
            return Err(too_deep());
        }
        let graph = self.body(at, body)?;
        let kind = graph.kind.unwrap_or(BodyKind::Flow);
        let concurrency = concurrency as usize;
        Ok(Fan {
            graph,
            kind,
            items,
            count,
            concurrency,
            keep_going,
            next: 0,
            open: BTreeMap::new(),
            bytes: 0,
        })
    }

    /// The graph of a body. One that stands in the flow is the flow's own text; one that a plugin has made of data is
    /// checked now, and may name no secret.
    fn body(&self, at: At, body: &Json) -> Result<Arc<Graph>, Failure> {
        let no_such_step = || Failure::system(Fault::Failed, "invalid_body", "the step is gone");
        let scope = self.scopes.get(at.scope).ok_or_else(no_such_step)?;
        let (planned, bounds) =
            scope.planned(at.index).zip(scope.bounds(at.index)).ok_or_else(no_such_step)?;
        let written = |of: &Body| body.value().get(key_of(of.kind)) == Some(&of.source);
        let known = planned.bodies.iter().zip(&bounds.bodies).find(|(of, _)| written(of));
        if let Some((_, graph)) = known {
            return Ok(graph.clone());
        }
        let outer = self.scopes.ancestors(at).map(|(name, _)| name.as_str()).collect();
        let made = Body::build(body, &self.prepared.types, &self.prepared.schemas, &outer);
        let made = made.map_err(|problems| of_problems("invalid_body", "what it asks to run", &problems))?;
        Ok(Arc::new(Graph::of_body(&made, bounds)))
    }

    fn depth(&self, scope: ScopeId) -> usize {
        let outwards = std::iter::successors(self.scopes.get(scope), |within| {
            self.scopes.get(within.item.as_ref()?.of.scope)
        });
        outwards.count()
    }

    /// Starts as many items as may be under way; where all have ended, the step goes on.
    pub(super) fn feed(&mut self, of: At) -> Result<(), Error> {
        while let Some(fan) = self.fans.get(&of) {
            let index = fan.next;
            if index >= fan.count {
                break;
            }
            if fan.open.len() >= fan.concurrency || (self.is_crowded(fan) && !self.has_begun(of, index)) {
                return Ok(());
            }
            if let Some(fan) = self.fans.get_mut(&of) {
                fan.next += 1;
            }
            self.begin_item(of, index)?;
        }
        match self.fans.get(&of) {
            Some(fan) if fan.open.is_empty() => self.join(of),
            _ => Ok(()),
        }
    }

    /// Whether another item has to wait until one of its own fan-out has ended. One is always let in: what is deepest
    /// goes on, so that there is room again.
    fn is_crowded(&self, fan: &Fan) -> bool {
        !fan.open.is_empty() && self.scopes.steps_of_items() + fan.graph.steps.len() > MAX_OPEN_STEPS
    }

    /// Whether the log has the item under way, or over. What is in there may be waited for, or resumed, at any time.
    fn has_begun(&self, of: At, index: usize) -> bool {
        let item = self.scopes.step_id(of).map(|id| id.item(index, None));
        item.is_some_and(|item| self.state.steps.contains_key(&item))
    }

    fn join(&mut self, of: At) -> Result<(), Error> {
        let Some(fan) = self.fans.remove(&of) else { return Ok(()) };
        // The results are in the log already: what resumes the step is made of them when it is called.
        let signal = json!({"kind": "items", "count": fan.count}).into();
        self.emit_for(of, EventKind::StepResumed(StepResumed { signal, event: None }))?;
        self.ready.push_back(of);
        Ok(())
    }

    /// Starts an item, or goes on with it where the log is.
    fn begin_item(&mut self, of: At, index: usize) -> Result<(), Error> {
        let Some((fan, outer)) = self.fans.get(&of).zip(self.scopes.get(of.scope)) else { return Ok(()) };
        let Some(id) = outer.ids.get(of.index) else { return Ok(()) };
        let item = id.item(index, None);
        let status = self.state.steps.get(&item).map_or(StepStatus::Pending, |seen| seen.status);
        if status.is_final() {
            return self.had_ended(of, &item);
        }
        let value = fan.items.value().get(index).cloned().unwrap_or_default();
        let scope = Scope::of_item(fan.graph.clone(), fan.kind, (of, id, index), value.into(), outer);
        let (one_step, input) = (scope.is_one_step(), scope.input.clone());
        let checked = match fan.kind {
            BodyKind::Flow => scope.graph.check_input(&input),
            BodyKind::Step | BodyKind::Steps => Ok(()),
        };
        let scope = self.scopes.add(scope);
        if let Some(fan) = self.fans.get_mut(&of) {
            fan.open.insert(index, scope);
        }
        if !one_step && status == StepStatus::Pending {
            let idempotency_key = idempotency_key(self.run, &item);
            let started = StepStarted { attempt: 1, idempotency_key };
            self.emit(Some(item), EventKind::StepStarted(started))?;
        }
        match checked {
            Ok(()) => self.take_up(scope),
            Err(problems) => {
                self.fail_item(scope, of_problems("input_invalid", "the input of the flow", &problems))
            }
        }
    }

    /// An item whose end is in the log.
    fn had_ended(&mut self, of: At, item: &StepId) -> Result<(), Error> {
        let Some(seen) = self.state.steps.get(item) else { return Ok(()) };
        let lost = seen
            .error
            .clone()
            .filter(|_| seen.status == StepStatus::Failed && seen.output_for_steps().is_none());
        match lost {
            // The host stopped between the item's end and that of the fan-out.
            Some(error) => self.fail_fan(of, item, error),
            None => self.counts(of, item),
        }
    }

    /// Every step of an item has ended: its result is made.
    pub(super) async fn finish_item(&mut self, scope: ScopeId) -> Result<(), Error> {
        let Some(within) = self.scopes.get(scope) else { return Ok(()) };
        let Some(item) = within.item.clone() else { return Ok(()) };
        if within.is_one_step() {
            return self.item_over(scope);
        }
        let made = match self.result_of(scope).await {
            Ok(result) => {
                let kept =
                    payload::keep(&*self.engine.store, self.run, result, MAX_INLINE_RESULT_BYTES, &[]).await;
                kept.map_err(|error| unreadable(&error))
            }
            Err(failure) => Err(failure),
        };
        match made {
            Ok(output) => {
                let done = StepSucceeded { output, receipt: Receipt::default(), kept: None };
                self.emit(Some(item.id), EventKind::StepSucceeded(done))?;
                self.item_over(scope)
            }
            Err(failure) => self.fail_item(scope, failure),
        }
    }

    /// A step of an item has failed for good, or its result could not be made. For items of several steps.
    pub(super) fn fail_item(&mut self, scope: ScopeId, error: Failure) -> Result<(), Error> {
        let Some(item) = self.scopes.get(scope).and_then(|within| within.item.clone()) else {
            return Ok(());
        };
        let keeps_going = self.keeps_going(item.of);
        self.stop_scope(scope)?;
        let handled = if keeps_going { Handled::Continue } else { Handled::Fail };
        let failed = StepFailed { error: error.clone(), handled, receipt: Receipt::default() };
        self.emit(Some(item.id.clone()), EventKind::StepFailed(failed))?;
        if !keeps_going {
            return self.fail_fan(item.of, &item.id, error);
        }
        self.leaves(item.of, item.index, &item.id)
    }

    /// An item has failed, and the others need not go on.
    pub(super) fn fail_fan(&mut self, of: At, item: &StepId, error: Failure) -> Result<(), Error> {
        let Some(fan) = self.fans.remove(&of) else { return Ok(()) };
        for scope in fan.into_items() {
            let one_step = self.scopes.get(scope).is_none_or(Scope::is_one_step);
            let id = self.scopes.get(scope).and_then(|within| Some(within.item.as_ref()?.id.clone()));
            self.stop_scope(scope)?;
            if !one_step && let Some(id) = id {
                self.cancel_step(id)?;
            }
        }
        let message = format!("`{item}` failed: {}", error.message);
        self.fail(of, Failure { message, ..error }, Receipt::default())
    }

    /// Whether a failed item of this fan-out stops no other.
    pub(super) fn keeps_going(&self, of: At) -> bool {
        self.fans.get(&of).is_some_and(|fan| fan.keep_going)
    }

    fn item_over(&mut self, scope: ScopeId) -> Result<(), Error> {
        let Some(item) = self.scopes.close(scope).and_then(|within| within.item) else { return Ok(()) };
        self.leaves(item.of, item.index, &item.id)
    }

    fn leaves(&mut self, of: At, index: usize, item: &StepId) -> Result<(), Error> {
        if let Some(fan) = self.fans.get_mut(&of) {
            fan.open.remove(&index);
        }
        self.todo.push_back(Work::Feed(of));
        self.counts(of, item)
    }

    /// The results of all items are in one text when the step is resumed.
    fn counts(&mut self, of: At, item: &StepId) -> Result<(), Error> {
        let bytes = self.bytes_of([item]);
        let Some(fan) = self.fans.get_mut(&of) else { return Ok(()) };
        fan.bytes += bytes;
        let all = fan.bytes;
        if all > MAX_LOADED_BYTES { self.fail_fan(of, item, too_much_to_load(all)) } else { Ok(()) }
    }

    /// What `resume` gets of a fan-out that is over.
    pub(super) async fn item_results(&mut self, at: At, count: u64) -> Result<Json, Failure> {
        let Some(id) = self.scopes.step_id(at).cloned() else { return Ok(Json::null()) };
        let mut text = String::from(r#"{"kind":"items","results":["#);
        for index in 0..usize::try_from(count).unwrap_or(usize::MAX) {
            if index > 0 {
                text.push(',');
            }
            let seen = self.state.steps.get(&id.item(index, None));
            match seen.and_then(|seen| seen.output_for_steps()) {
                Some(Payload::Value(value)) => text.push_str(value.text()),
                Some(output) => {
                    let whole = payload::whole(&*self.engine.store, output).await;
                    text.push_str(whole.map_err(|error| unreadable(&error))?.text());
                }
                // Its `if` was false.
                None => text.push_str("null"),
            }
        }
        text.push_str("]}");
        Json::parse(text).map_err(|error| {
            let message = format!("the results of its items together are no JSON value: {error}");
            Failure::system(Fault::Limit, "results_invalid", message)
        })
    }
}

/// What a body of this kind stands under.
fn key_of(kind: BodyKind) -> &'static str {
    match kind {
        BodyKind::Step => "step",
        BodyKind::Steps => "steps",
        BodyKind::Flow => "flow",
    }
}

fn too_many_items(found: usize, others: u64) -> Failure {
    let message = format!(
        "it fans out over {found} items, and the run has {others} others: {MAX_ITEMS} at most, those within items \
         counted with them"
    );
    Failure::system(Fault::Limit, "too_many_items", message)
        .with_hint("start a run for each part of them: `POST /api/v1/runs` takes `inputs`")
}

fn fans_out_again(message: impl Into<String>) -> Failure {
    Failure::system(Fault::Failed, "fans_out_again", message).with_hint(
        "let it fan out once, over what its config and context give; for another round use another step",
    )
}

fn no_list() -> Failure {
    Failure::system(Fault::Config, "items_invalid", "what it fans out over is no list")
}

fn too_deep() -> Failure {
    let message = format!("fan-outs stand in each other more than {MAX_DEPTH} deep");
    Failure::system(Fault::Limit, "too_deep", message)
}
