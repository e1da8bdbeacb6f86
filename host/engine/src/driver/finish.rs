//! What the end of an attempt means for the run.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use stepcell_core::{
    EventKind, Failure, FailureKind, Fault, Json, StepId,
    event::{
        CapabilityDenied, Handled, Payload, Receipt, RunFailed, RunSucceeded, StepBranched, StepFailed,
        StepLog, StepRetrying, StepSucceeded, StepWaiting, Wait,
    },
    flow::OnError,
    problem::Problem,
    run::StepStatus,
};

use super::{
    At, Driver, Ended, Fan, MAX_INLINE_RESULT_BYTES, MAX_LOADED_BYTES, Made, Written,
    fan::FanOut,
    scope::ScopeId,
    values::{template_failure, too_much_to_load, unreadable},
    waits::bad_form,
};
use crate::{Completion, Error, Outcome, backoff::next_wait, payload};

/// The longest a step may wait, for a timer or a signal: a hundred years. Keeps dates within the calendar.
const LONGEST_WAIT: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// How often one step may park. Bounds the log of a step that is never content with what it was sent.
const MAX_WAITS: u32 = 10_000;
/// The largest name, form and match of a wait together. Bounds an event, and what each view of the run shows.
const MAX_WAIT_BYTES: usize = 64 << 10;
/// How much of a port that there is not is shown.
const MAX_SHOWN_PORT_CHARS: usize = 64;
/// How many of the problems of a body are in its step's failure.
const MAX_SHOWN_PROBLEMS: usize = 5;

impl Driver {
    /// An attempt is over.
    pub(super) fn ended(&mut self, ended: Ended) -> Result<(), Error> {
        let Ended { step, id, bytes, made } = ended;
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(bytes);
        let Some(Made { completion, written }) = made else { return Ok(()) };
        self.engine.attempts.fetch_add(1, Ordering::Relaxed);
        // The log of a run that has ended takes no more.
        if self.state.is_final() {
            return Ok(());
        }
        if !self.scopes.contains(step.scope) {
            return self.ended_late(id, completion);
        }
        let Completion { result, receipt, log, log_dropped_bytes, denied } = completion;
        if !log.is_empty() || log_dropped_bytes > 0 {
            let attempt = self.seen_attempts(step);
            let log = StepLog { attempt, text: log, dropped_bytes: log_dropped_bytes, receipt: None };
            self.emit_for(step, EventKind::StepLog(log))?;
        }
        let result = result.map_err(|failure| of_the_host_where_denied(failure, &denied));
        for refusal in denied {
            self.emit_for(step, EventKind::CapabilityDenied(refusal))?;
        }
        if let Some(exhausted) = self.meter.overdrawn() {
            return self.exhausted(step, exhausted.failure(), receipt);
        }
        match (result, written) {
            (Ok(Outcome::Done(_)), Written::Output(output)) => self.succeeded(step, output, None, receipt),
            (Ok(Outcome::Branch { port, .. }), Written::Output(output)) => {
                self.branched(step, port, output, receipt)
            }
            (Ok(Outcome::WaitTimer { seconds }), _) => match from_now(seconds) {
                Ok(until) => self.waits(step, Wait::Timer { until }, receipt).map(drop),
                Err(failure) => self.fail(step, failure, receipt),
            },
            (Ok(Outcome::WaitSignal { name, form, matching, deadline_seconds }), _) => {
                match deadline_seconds.map(from_now).transpose() {
                    Ok(deadline) => {
                        let form = form.map(|form| form.value().clone());
                        let matching = matching.map(|matching| matching.value().clone());
                        self.waits(step, Wait::Signal { name, form, matching, deadline }, receipt).map(drop)
                    }
                    Err(failure) => self.fail(step, failure, receipt),
                }
            }
            (
                Ok(Outcome::FanOut { items, body, concurrency, keep_going }),
                Written::FanOut { items: kept_items, body: kept_body },
            ) => {
                let fan_out = FanOut { items, body, concurrency, keep_going };
                self.fans_out(step, fan_out, (kept_items, kept_body), receipt)
            }
            (Ok(Outcome::Done(_) | Outcome::Branch { .. } | Outcome::FanOut { .. }), _) => {
                let message = "the output was lost between the cell and the log";
                self.fail(step, Failure::system(Fault::Failed, "output_lost", message), receipt)
            }
            (Err(failure), _) => self.failed(step, failure, receipt),
        }
    }

    /// An attempt is over whose item was stopped meanwhile. The log says so of the step already; what was used is used.
    fn ended_late(&mut self, id: StepId, completion: Completion) -> Result<(), Error> {
        let Completion { receipt, log: text, log_dropped_bytes: dropped_bytes, denied, .. } = completion;
        let attempt = self.state.steps.get(&id).map_or(1, |seen| seen.attempts);
        let log = StepLog { attempt, text, dropped_bytes, receipt: Some(receipt) };
        self.emit(Some(id.clone()), EventKind::StepLog(log))?;
        for refusal in denied {
            self.emit(Some(id.clone()), EventKind::CapabilityDenied(refusal))?;
        }
        match self.meter.overdrawn() {
            Some(exhausted) => self.fail_run(exhausted.failure(), Some(id)),
            None => Ok(()),
        }
    }

    fn succeeded(
        &mut self,
        step: At,
        output: Payload,
        port: Option<String>,
        receipt: Receipt,
    ) -> Result<(), Error> {
        self.emit_for(step, EventKind::StepSucceeded(StepSucceeded { output, receipt, kept: None }))?;
        self.goes_on(step, port)
    }

    fn branched(&mut self, step: At, port: String, output: Payload, receipt: Receipt) -> Result<(), Error> {
        let ports = self.ports(step);
        if !ports.contains(&port) {
            let port: String = port.chars().take(MAX_SHOWN_PORT_CHARS).collect();
            let message = format!(
                "it took the port `{port}`, which its catalog entry does not list: {}",
                ports.join(", ")
            );
            return self.fail(step, Failure::system(Fault::Failed, "unknown_port", message), receipt);
        }
        self.emit_for(step, EventKind::StepBranched(StepBranched { port: port.clone() }))?;
        self.succeeded(step, output, Some(port), receipt)
    }

    /// Parks a step; gives whether it did.
    pub(super) fn waits(&mut self, step: At, wait: Wait, receipt: Receipt) -> Result<bool, Error> {
        if self.seen(step).is_some_and(|seen| seen.waits >= MAX_WAITS) {
            let message = format!("it asked to wait for the {MAX_WAITS}th time");
            self.fail(step, Failure::system(Fault::Limit, "waits_exceeded", message), receipt)?;
            return Ok(false);
        }
        if let Some(bytes) = too_big(&wait) {
            let message =
                format!("what it waits for is described in {bytes} bytes, {MAX_WAIT_BYTES} at most");
            self.fail(step, Failure::system(Fault::Limit, "wait_too_big", message), receipt)?;
            return Ok(false);
        }
        if let Some(failure) = bad_form(&wait) {
            self.fail(step, failure, receipt)?;
            return Ok(false);
        }
        self.emit_for(step, EventKind::StepWaiting(StepWaiting { wait, receipt }))?;
        self.look(step);
        Ok(true)
    }

    /// The run's budget is used up: neither `retry` nor `on_error` can give it more.
    fn exhausted(&mut self, step: At, error: Failure, receipt: Receipt) -> Result<(), Error> {
        let failed = StepFailed { error: error.clone(), handled: Handled::Fail, receipt };
        self.emit_for(step, EventKind::StepFailed(failed))?;
        let failed_step = self.scopes.step_id(step).cloned();
        self.fail_run(error, failed_step)
    }

    /// A failed attempt: tried again, or the step has failed.
    fn failed(&mut self, step: At, error: Failure, receipt: Receipt) -> Result<(), Error> {
        let attempt = self.seen_attempts(step);
        let now = Timestamp::now();
        let elapsed = self.seen(step).and_then(|seen| seen.started_at).map(|at| now.duration_since(at));
        let elapsed = elapsed.and_then(|elapsed| Duration::try_from(elapsed).ok()).unwrap_or_default();
        let retry = self.scopes.planned(step).map(|planned| &planned.step.retry);
        let wait = retry.and_then(|retry| next_wait(retry, attempt, elapsed, &error, rand::random()));
        let Some(wait) = wait else {
            return self.fail(step, error, receipt);
        };
        let at = now + wait;
        self.emit_for(
            step,
            EventKind::StepRetrying(StepRetrying { attempt: attempt + 1, at, error, receipt }),
        )?;
        self.retry_at(at, step);
        Ok(())
    }

    /// A step has failed for good.
    pub(super) fn fail(&mut self, step: At, error: Failure, receipt: Receipt) -> Result<(), Error> {
        let Some(scope) = self.scopes.get(step.scope) else { return Ok(()) };
        let (item, one_step) = (scope.item.clone(), scope.is_one_step());
        let kept_going = one_step && item.as_ref().is_some_and(|item| self.keeps_going(item.of));
        let handled = match self.scopes.planned(step).map(|planned| &planned.step.on_error) {
            Some(OnError::Use(value)) => Handled::Use(Json::from(value.clone())),
            Some(OnError::Continue) => Handled::Continue,
            _ if kept_going => Handled::Continue,
            None | Some(OnError::Fail) => Handled::Fail,
        };
        let fails = handled == Handled::Fail;
        self.emit_for(step, EventKind::StepFailed(StepFailed { error: error.clone(), handled, receipt }))?;
        match item {
            _ if !fails => self.goes_on(step, None),
            None => {
                let failed_step = self.scopes.step_id(step).cloned();
                self.fail_run(error, failed_step)
            }
            Some(item) if one_step => self.fail_fan(item.of, &item.id, error),
            Some(_) => {
                let id = self.scopes.step_id(step).map(ToString::to_string).unwrap_or_default();
                let message = format!("`{id}` failed: {}", error.message);
                self.fail_item(step.scope, Failure { message, ..error })
            }
        }
    }

    fn fail_run(&mut self, error: Failure, failed_step: Option<StepId>) -> Result<(), Error> {
        self.stop_steps()?;
        // Quoted: the words are a guest's, and a line break in them would forge a line of the log.
        tracing::info!(run_id = %self.run, error = ?error.message, step = ?failed_step, "run failed");
        self.emit(None, EventKind::RunFailed(RunFailed { error, failed_step })).map(drop)
    }

    /// Stops all that is under way, and says so in the log.
    pub(super) fn stop_steps(&mut self) -> Result<(), Error> {
        self.cancel.cancel();
        self.in_flight.clear();
        self.retries.clear();
        self.looks.clear();
        self.ready.clear();
        self.fans.clear();
        self.todo.clear();
        let open = |status| matches!(status, StepStatus::Running | StepStatus::Waiting);
        let under_way = self.state.steps.iter().filter(|(_, seen)| open(seen.status));
        for step in under_way.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.emit(Some(step), EventKind::StepCancelled)?;
        }
        Ok(())
    }

    /// Stops an item with everything below it, and says so in the log of each step. What the item itself came to is the
    /// caller's to say.
    pub(super) fn stop_scope(&mut self, scope: ScopeId) -> Result<(), Error> {
        let mut below = vec![scope];
        while let Some(closing) = below.pop() {
            let Some(within) = self.scopes.close(closing) else { continue };
            for (index, id) in within.ids.iter().enumerate() {
                let fan = self.fans.remove(&At { scope: closing, index });
                below.extend(fan.into_iter().flat_map(Fan::into_items));
                self.cancel_step(id.clone())?;
            }
            if let Some(item) = within.item.filter(|_| closing != scope) {
                self.cancel_step(item.id)?;
            }
        }
        let scopes = &self.scopes;
        self.ready.retain(|at| scopes.contains(at.scope));
        self.retries.retain(|(_, at)| scopes.contains(at.scope));
        Ok(())
    }

    /// Says that a step was stopped, if it was under way.
    pub(super) fn cancel_step(&mut self, id: StepId) -> Result<(), Error> {
        let status = self.state.steps.get(&id).map(|seen| seen.status);
        if matches!(status, Some(StepStatus::Running | StepStatus::Waiting)) {
            self.emit(Some(id), EventKind::StepCancelled)?;
        }
        Ok(())
    }

    /// What depends on the step may go on.
    pub(super) fn goes_on(&mut self, step: At, port: Option<String>) -> Result<(), Error> {
        let Some(within) = self.scopes.get_mut(step.scope) else { return Ok(()) };
        let decisions = within.ran(step.index, port);
        self.decide(step.scope, decisions)
    }

    /// Every step has ended: the run's output is made.
    pub(super) async fn succeed(&mut self) -> Result<(), Error> {
        let made = match self.result_of(ScopeId::ROOT).await {
            Ok(output) => {
                let (store, most) = (&*self.engine.store, MAX_INLINE_RESULT_BYTES);
                let kept = payload::keep(store, self.run, output, most, &[]).await;
                kept.map_err(|error| unreadable(&error))
            }
            Err(failure) => Err(failure),
        };
        self.wholes.clear();
        match made {
            Ok(output) => {
                tracing::debug!(run_id = %self.run, "run succeeded");
                self.emit(None, EventKind::RunSucceeded(RunSucceeded { output })).map(drop)
            }
            Err(failure) => self.fail_run(failure, None),
        }
    }

    /// What a graph gives when all its steps have ended: the flow's output, or an item's result.
    pub(super) async fn result_of(&mut self, scope: ScopeId) -> Result<Json, Failure> {
        let Some(graph) = self.scopes.get(scope).map(|within| within.graph.clone()) else {
            return Ok(Json::null());
        };
        let Some(template) = &graph.output else { return self.last_outputs(scope).await };
        self.load(self.blobs_of(scope, template)).await?;
        self.resolve(scope, template).map_err(|error| Failure {
            code: Some("output_failed".to_owned()),
            ..template_failure(&error, "output")
        })
    }

    /// Without an `output`, a flow gives what its last steps gave: those that no other step needs. Where that is more
    /// than is loaded at a time, it gives references to the large ones.
    async fn last_outputs(&mut self, scope: ScopeId) -> Result<Json, Failure> {
        let Some(within) = self.scopes.get(scope) else { return Ok(Json::null()) };
        let steps = within.graph.steps.iter().zip(within.ids.iter());
        let last: Vec<(StepId, StepId)> = steps
            .filter(|(planned, _)| planned.dependents.is_empty())
            .map(|(planned, id)| (planned.step.id.clone(), id.clone()))
            .collect();
        let ids = || last.iter().map(|(_, id)| id);
        let blobs: BTreeSet<StepId> = ids().filter(|id| self.is_blob(id)).cloned().collect();
        let (all, of_blobs) = (self.bytes_of(ids()), self.bytes_of(&blobs));
        if all <= MAX_LOADED_BYTES {
            self.load(blobs).await?;
        } else if all - of_blobs > MAX_LOADED_BYTES {
            return Err(too_much_to_load(all));
        }
        let mut outputs = Map::new();
        for (name, id) in last {
            let seen = self.state.steps.get(&id).and_then(|seen| seen.output_for_steps());
            let value: Option<Value> = match self.wholes.get(&id) {
                Some(whole) => Some(whole.value().clone()),
                None => seen.map(|payload| crate::context::seen_by_cells(payload).value().clone()),
            };
            if let Some(value) = value {
                outputs.insert(name.to_string(), value);
            }
        }
        Ok(json!(outputs).into())
    }

    fn seen_attempts(&self, step: At) -> u32 {
        self.seen(step).map_or(1, |seen| seen.attempts)
    }

    /// The ports of the component that serves the step.
    fn ports(&self, step: At) -> Vec<String> {
        let planned = self.scopes.planned(step);
        let types = planned.and_then(|planned| self.prepared.types.get(&planned.step.kind));
        let digest = self.seen(step).and_then(|seen| seen.routed.as_ref()).map(|routed| routed.digest);
        let provider =
            types.and_then(|kind| kind.providers.iter().find(|provider| Some(provider.digest) == digest));
        provider.map(|provider| provider.describe.ports.clone()).unwrap_or_default()
    }
}

/// What is wrong with a part of a flow that is known only now.
pub(super) fn of_problems(code: &str, what: &str, problems: &[Problem]) -> Failure {
    let list: Vec<_> = problems.iter().take(MAX_SHOWN_PROBLEMS).map(ToString::to_string).collect();
    let failure = Failure::system(Fault::Config, code, format!("{what} is not valid: {}", list.join("; ")));
    match problems.iter().find_map(|problem| problem.hint.clone()) {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

fn too_big(wait: &Wait) -> Option<usize> {
    let Wait::Signal { name, form, matching, .. } = wait else { return None };
    let values = form.iter().chain(matching).map(|value| value.to_string().len()).sum::<usize>();
    Some(name.len() + values).filter(|bytes| *bytes > MAX_WAIT_BYTES)
}

/// A step that was refused something hands the refusal on as its own failure. It is the host's word all the
/// same, and the line that would allow it is the advice.
fn of_the_host_where_denied(failure: Failure, denied: &[CapabilityDenied]) -> Failure {
    match denied.last() {
        Some(refusal) if failure.fault == Fault::Denied => {
            let hint = (!refusal.allow.is_empty()).then(|| refusal.allow.clone());
            Failure { kind: FailureKind::System, hint: failure.hint.or(hint), ..failure }
        }
        _ => failure,
    }
}

fn from_now(seconds: f64) -> Result<Timestamp, Failure> {
    let wait = Duration::try_from_secs_f64(seconds).ok().filter(|wait| *wait <= LONGEST_WAIT);
    wait.map(|wait| Timestamp::now() + wait).ok_or_else(|| {
        let message =
            format!("it asked to wait for {seconds} seconds: a wait is 0 or more and at most 100 years");
        Failure::system(Fault::Config, "wait_out_of_range", message)
    })
}
