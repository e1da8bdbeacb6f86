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
    run::StepStatus,
};

use super::{
    Driver, Ended, MAX_LOADED_BYTES,
    launch::{template_failure, too_much_to_load, unreadable},
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

/// The largest output of a run that is kept in its log rather than as a blob.
const MAX_INLINE_RUN_OUTPUT_BYTES: u64 = stepcell_core::catalog::DEFAULT_MAX_OUTPUT_BYTES;

impl Driver {
    /// An attempt is over.
    pub(super) fn ended(&mut self, ended: Ended) -> Result<(), Error> {
        let Ended { step, bytes, completion, payload } = ended;
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(bytes);
        self.engine.attempts.fetch_add(1, Ordering::Relaxed);
        if self.state.is_final() {
            return Ok(());
        }
        let Completion { result, receipt, log, log_dropped_bytes, denied } = completion;
        if !log.is_empty() || log_dropped_bytes > 0 {
            let attempt = self.seen_attempts(step);
            let log = StepLog { attempt, text: log, dropped_bytes: log_dropped_bytes };
            self.emit_for(step, EventKind::StepLog(log))?;
        }
        let result = result.map_err(|failure| of_the_host_where_denied(failure, &denied));
        for refusal in denied {
            self.emit_for(step, EventKind::CapabilityDenied(refusal))?;
        }
        if let Some(exhausted) = self.meter.overdrawn() {
            return self.exhausted(step, exhausted.failure(), receipt);
        }
        match (result, payload) {
            (Ok(Outcome::Done(_)), Some(output)) => self.succeeded(step, output, None, receipt),
            (Ok(Outcome::Branch { port, .. }), Some(output)) => self.branched(step, port, output, receipt),
            (Ok(Outcome::WaitTimer { seconds }), _) => match from_now(seconds) {
                Ok(until) => self.waits(step, Wait::Timer { until }, receipt),
                Err(failure) => self.fail(step, failure, receipt),
            },
            (Ok(Outcome::WaitSignal { name, form, matching, deadline_seconds }), _) => {
                match deadline_seconds.map(from_now).transpose() {
                    Ok(deadline) => {
                        let form = form.map(|form| form.value().clone());
                        let matching = matching.map(|matching| matching.value().clone());
                        self.waits(step, Wait::Signal { name, form, matching, deadline }, receipt)
                    }
                    Err(failure) => self.fail(step, failure, receipt),
                }
            }
            (Ok(Outcome::FanOut { .. }), _) => {
                let message = "the step fans out, which this version of the host does not serve";
                self.fail(step, Failure::system(Fault::Config, "fan_out_unserved", message), receipt)
            }
            (Ok(Outcome::Done(_) | Outcome::Branch { .. }), None) => {
                let message = "the output was lost between the cell and the log";
                self.fail(step, Failure::system(Fault::Failed, "output_lost", message), receipt)
            }
            (Err(failure), _) => self.failed(step, failure, receipt),
        }
    }

    fn succeeded(
        &mut self,
        step: usize,
        output: Payload,
        port: Option<String>,
        receipt: Receipt,
    ) -> Result<(), Error> {
        self.emit_for(step, EventKind::StepSucceeded(StepSucceeded { output, receipt, kept: None }))?;
        self.goes_on(step, port)
    }

    fn branched(
        &mut self,
        step: usize,
        port: String,
        output: Payload,
        receipt: Receipt,
    ) -> Result<(), Error> {
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

    fn waits(&mut self, step: usize, wait: Wait, receipt: Receipt) -> Result<(), Error> {
        let seen = self.step_id(step).and_then(|id| self.state.steps.get(id));
        if seen.is_some_and(|seen| seen.waits >= MAX_WAITS) {
            let message = format!("it asked to wait for the {MAX_WAITS}th time");
            return self.fail(step, Failure::system(Fault::Limit, "waits_exceeded", message), receipt);
        }
        if let Some(bytes) = too_big(&wait) {
            let message =
                format!("what it waits for is described in {bytes} bytes, {MAX_WAIT_BYTES} at most");
            return self.fail(step, Failure::system(Fault::Limit, "wait_too_big", message), receipt);
        }
        self.emit_for(step, EventKind::StepWaiting(StepWaiting { wait, receipt })).map(drop)
    }

    /// The run's budget is used up: neither `retry` nor `on_error` can give it more.
    fn exhausted(&mut self, step: usize, error: Failure, receipt: Receipt) -> Result<(), Error> {
        let failed = StepFailed { error: error.clone(), handled: Handled::Fail, receipt };
        self.emit_for(step, EventKind::StepFailed(failed))?;
        let failed_step = self.step_id(step).cloned();
        self.fail_run(error, failed_step)
    }

    /// A failed attempt: tried again, or the step has failed.
    fn failed(&mut self, step: usize, error: Failure, receipt: Receipt) -> Result<(), Error> {
        let attempt = self.seen_attempts(step);
        let retry =
            self.prepared.steps.get(step).map(|planned| planned.step.retry.clone()).unwrap_or_default();
        let Some(wait) = next_wait(&retry, attempt, &error, rand::random()) else {
            return self.fail(step, error, receipt);
        };
        let at = Timestamp::now() + wait;
        self.emit_for(
            step,
            EventKind::StepRetrying(StepRetrying { attempt: attempt + 1, at, error, receipt }),
        )?;
        self.retries.push((at, step));
        Ok(())
    }

    /// A step has failed for good.
    pub(super) fn fail(&mut self, step: usize, error: Failure, receipt: Receipt) -> Result<(), Error> {
        let on_error = self.prepared.steps.get(step).map(|planned| &planned.step.on_error);
        let handled = match on_error {
            None | Some(OnError::Fail) => Handled::Fail,
            Some(OnError::Continue) => Handled::Continue,
            Some(OnError::Use(value)) => Handled::Use(Json::from(value.clone())),
        };
        let fails_run = handled == Handled::Fail;
        self.emit_for(step, EventKind::StepFailed(StepFailed { error: error.clone(), handled, receipt }))?;
        if fails_run {
            let failed_step = self.step_id(step).cloned();
            return self.fail_run(error, failed_step);
        }
        self.goes_on(step, None)
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
        self.ready.clear();
        let open = |status| matches!(status, StepStatus::Running | StepStatus::Waiting);
        let under_way = self.state.steps.iter().filter(|(_, seen)| open(seen.status));
        for step in under_way.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.emit(Some(step), EventKind::StepCancelled)?;
        }
        Ok(())
    }

    /// What depends on the step may go on.
    fn goes_on(&mut self, step: usize, port: Option<String>) -> Result<(), Error> {
        let decisions = self.progress.ran(&self.prepared.clone(), step, port);
        self.decide(decisions)
    }

    /// Every step has ended: the run's output is made.
    pub(super) async fn succeed(&mut self) -> Result<(), Error> {
        let made = match self.output().await {
            Ok(output) => {
                let (store, most) = (&*self.engine.store, MAX_INLINE_RUN_OUTPUT_BYTES);
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

    async fn output(&mut self) -> Result<Json, Failure> {
        let prepared = self.prepared.clone();
        let Some(template) = &prepared.output else { return self.last_outputs().await };
        self.load(self.blobs_of(template)).await?;
        self.resolve(template).map_err(|error| Failure {
            code: Some("output_failed".to_owned()),
            ..template_failure(&error, "output")
        })
    }

    /// Without an `output`, a flow gives what its last steps gave: those that no other step needs. Where that is more
    /// than is loaded at a time, it gives references to the large ones.
    async fn last_outputs(&mut self) -> Result<Json, Failure> {
        let last: Vec<StepId> = self
            .prepared
            .steps
            .iter()
            .filter(|planned| planned.dependents.is_empty())
            .map(|planned| planned.step.id.clone())
            .collect();
        let blobs: BTreeSet<StepId> = last.iter().filter_map(|id| self.blob_step(id.as_str())).collect();
        let (all, of_blobs) = (self.bytes_of(&last), self.bytes_of(&blobs));
        if all <= MAX_LOADED_BYTES {
            self.load(blobs).await?;
        } else if all - of_blobs > MAX_LOADED_BYTES {
            return Err(too_much_to_load(all));
        }
        let mut outputs = Map::new();
        for id in last {
            let seen = self.state.steps.get(&id).and_then(|seen| seen.output_for_steps());
            let value: Option<Value> = match self.wholes.get(&id) {
                Some(whole) => Some(whole.value().clone()),
                None => seen.map(|payload| crate::context::seen_by_cells(payload).value().clone()),
            };
            if let Some(value) = value {
                outputs.insert(id.to_string(), value);
            }
        }
        Ok(json!(outputs).into())
    }

    fn seen_attempts(&self, step: usize) -> u32 {
        let seen = self.step_id(step).and_then(|id| self.state.steps.get(id));
        seen.map_or(1, |seen| seen.attempts)
    }

    /// The ports of the component that serves the step.
    fn ports(&self, step: usize) -> Vec<String> {
        let planned = self.prepared.steps.get(step);
        let types = planned.and_then(|planned| self.prepared.types.get(&planned.step.kind));
        let seen = planned.and_then(|planned| self.state.steps.get(&planned.step.id));
        let digest = seen.and_then(|seen| seen.routed.as_ref()).map(|routed| routed.digest);
        let provider =
            types.and_then(|kind| kind.providers.iter().find(|provider| Some(provider.digest) == digest));
        provider.map(|provider| provider.describe.ports.clone()).unwrap_or_default()
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
