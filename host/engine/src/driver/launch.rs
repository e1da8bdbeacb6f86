//! From a step that may start to a call of its plugin.

use std::sync::Arc;

use serde_json::{Map, Value};
use stepcell_core::{
    EventKind, Failure, Fault, Json, RunId,
    catalog::{Describe, Provider},
    event::{Receipt, StepRouted, StepSkipped, StepStarted},
    plan::PlannedStep,
    template::truthy,
};

use super::{
    At, Driver, Ended, MAX_BYTES_IN_FLIGHT, MAX_CONTEXT_BYTES, MAX_STEPS_IN_FLIGHT, Made, Written,
    earlier::config_name, values::template_failure,
};
use crate::{
    Call, Entry, Error, Outcome,
    context::{self, Parts, idempotency_key},
    engine::Inner,
    meter::{Meter, Resource},
    payload,
    runner::LimitsRequest,
};

/// A call that is made once the events before it are where they must be.
struct Launch {
    step: At,
    call: Call,
    provider: Arc<Provider>,
}

impl Driver {
    /// Starts what may start, as far as there is room and until others have to get the thread.
    pub(super) async fn launch_ready(&mut self) -> Result<(), Error> {
        let mut launches = Vec::new();
        while self.in_flight.len() + launches.len() < MAX_STEPS_IN_FLIGHT
            && self.in_flight_bytes < MAX_BYTES_IN_FLIGHT
            && !self.state.is_final()
            && !self.engine.draining.is_cancelled()
        {
            let Some(step) = self.ready.pop_front() else { break };
            launches.extend(self.prepare(step).await?);
            if self.has_had_its_turn() {
                break;
            }
        }
        // Whole values are big: they are fetched again rather than kept for the life of the run.
        self.wholes.clear();
        if self.state.is_final() {
            return Ok(());
        }
        // A pure result may be computed again, so that a pure step need not wait for the disk. An effect
        // happens once: what led to it must be there first.
        if launches.iter().any(|launch| !launch.provider.pure_step) {
            self.outbox.flush(&self.engine, &self.state);
        }
        for launch in launches {
            self.start(launch);
        }
        Ok(())
    }

    fn start(&mut self, launch: Launch) {
        let Launch { step, call, provider } = launch;
        let (run, id, bytes) = (self.run, call.step.clone(), bytes_of_call(&call));
        let (engine, meter) = (self.engine.clone(), self.meter.clone());
        let before = (!provider.pure_step).then(|| self.outbox.last());
        self.in_flight.push(Box::pin(async move {
            let turn = async {
                if let Some(before) = before {
                    before.await?;
                }
                Ok::<_, stepcell_store::Error>(engine.slots.take(&call.kind, &engine.draining).await)
            };
            // What is stopped stands in no line.
            let slot = tokio::select! {
                biased;
                () = call.cancel.cancelled() => None,
                slot = turn => slot?,
            };
            let Some(_slot) = slot else { return Ok(Ended { step, id, bytes, made: None }) };
            let mut completion = engine.runner.run(call).await;
            if let Ok(Outcome::Done(output) | Outcome::Branch { output, .. }) = &completion.result {
                count_tokens(&provider.describe, output, &meter, &mut completion.receipt);
            }
            let written = match &completion.result {
                Ok(outcome) => write_down(&engine, run, &provider.describe, outcome).await,
                Err(_) => Ok(Written::Nothing),
            };
            let written = written.unwrap_or_else(|error| {
                completion.result = Err(not_kept(&error));
                Written::Nothing
            });
            Ok(Ended { step, id, bytes, made: Some(Made { completion, written }) })
        }));
    }

    /// Everything before the call. A step that ends here, skipped or failed, gives none.
    async fn prepare(&mut self, at: At) -> Result<Option<Launch>, Error> {
        let Some(graph) = self.scopes.get(at.scope).map(|within| within.graph.clone()) else {
            return Ok(None);
        };
        let Some(planned) = graph.steps.get(at.index) else { return Ok(None) };
        if let Err(failure) = self.load_wholes(at, planned).await {
            self.fail(at, failure, Receipt::default())?;
            return Ok(None);
        }
        let first = self.seen(at).is_none_or(|seen| seen.attempts == 0);
        if first && !self.condition_holds(at, planned)? {
            return Ok(None);
        }
        let configured = match self.configure(at, planned) {
            Ok((config, provider)) => self.entry(at).await.map(|entry| (config, provider, entry)),
            Err(failure) => Err(failure),
        };
        let (config, provider, entry) = match configured {
            Ok(configured) => configured,
            Err(failure) => {
                self.fail(at, failure, Receipt::default())?;
                return Ok(None);
            }
        };
        if first {
            let routed = self.routed(at, planned, &config, &provider);
            if self.takes_over(at, &routed).await? {
                return Ok(None);
            }
            self.emit_for(at, EventKind::StepRouted(routed))?;
        }
        let call = self.call(at, planned, config, provider.clone(), entry)?;
        if call.context.len() > MAX_CONTEXT_BYTES {
            self.fail(at, context_too_big(call.context.len()), Receipt::default())?;
            return Ok(None);
        }
        self.in_flight_bytes += bytes_of_call(&call);
        Ok(Some(Launch { step: at, call, provider }))
    }

    fn condition_holds(&mut self, at: At, planned: &PlannedStep) -> Result<bool, Error> {
        let Some(condition) = &planned.condition else { return Ok(true) };
        match self.resolve(at.scope, condition) {
            Ok(value) if truthy(value.value()) => return Ok(true),
            Ok(_) => {
                let reason = "its `if` is false".to_owned();
                self.emit_for(at, EventKind::StepSkipped(StepSkipped { reason }))?;
                let within = self.scopes.get_mut(at.scope);
                let decisions = within.map(|within| within.skipped(at.index)).unwrap_or_default();
                self.decide(at.scope, decisions)?;
            }
            Err(error) => self.fail(at, template_failure(&error, "if"), Receipt::default())?,
        }
        Ok(false)
    }

    /// Which function is called, with what ended the step's wait.
    async fn entry(&mut self, at: At) -> Result<Entry, Failure> {
        let Some(signal) = self.seen(at).and_then(|seen| seen.signal.clone()) else {
            return Ok(Entry::Execute);
        };
        let Some(count) = items_of(&signal) else { return Ok(Entry::Resume { signal }) };
        Ok(Entry::Resume { signal: self.item_results(at, count).await? })
    }

    /// The resolved config and the plugin that serves it.
    fn configure(&self, at: At, planned: &PlannedStep) -> Result<(Json, Arc<Provider>), Failure> {
        let config = self.resolve_with(at.scope, &planned.config, self.placeholders(at, planned));
        let config = config.map_err(|error| template_failure(&error, "config"))?;
        let kind = &planned.step.kind;
        let provider = self.prepared.types.get(kind).and_then(|kind| kind.route(config.value()));
        let provider = provider.ok_or_else(|| unserved(kind, config.value()))?;
        if !planned.config.is_static() {
            self.check_config(provider, config.value())?;
        }
        Ok((config, provider.clone()))
    }

    /// Which plugin serves the step with which config, for the log.
    fn routed(&self, at: At, planned: &PlannedStep, config: &Json, provider: &Provider) -> StepRouted {
        let names = planned.config.references().secret_names();
        let by_name: Map<_, _> = names.map(|name| (name.clone(), Value::from(name.as_str()))).collect();
        // A placeholder is another one in each run, a secret's name is not.
        let same_in_all_runs = (!by_name.is_empty())
            .then(|| self.resolve_with(at.scope, &planned.config, Some(Value::Object(by_name).into())).ok())
            .flatten();
        StepRouted {
            plugin: provider.file.clone(),
            digest: provider.digest,
            why: why_routed(provider),
            config: Some(config_name(
                same_in_all_runs.as_ref().unwrap_or(config),
                &self.rests_on(at, planned),
            )),
        }
    }

    /// A config without templates was checked with the flow.
    fn check_config(&self, provider: &Provider, config: &Value) -> Result<(), Failure> {
        let Some(schema) = self.prepared.schemas.get(&provider.digest) else { return Ok(()) };
        let errors = schema.check(config);
        if errors.is_empty() {
            return Ok(());
        }
        let list: Vec<_> =
            errors.iter().map(|error| format!("`config{}`: {}", error.path, error.message)).collect();
        let message = format!("the resolved config does not fit its schema: {}", list.join("; "));
        Err(Failure::system(Fault::Config, "config_invalid", message))
    }

    fn call(
        &mut self,
        at: At,
        planned: &PlannedStep,
        config: Json,
        provider: Arc<Provider>,
        entry: Entry,
    ) -> Result<Call, Error> {
        let gone = || Error::Damaged { run: self.run, reason: "a step of it is gone".to_owned() };
        let id = self.scopes.step_id(at).ok_or_else(gone)?.clone();
        let attempt = self.state.steps.get(&id).map_or(1, next_attempt);
        let key = idempotency_key(self.run, &id);
        // A resumed step goes on with the attempt that parked it, and says so: the cell's clock is in the log, and
        // a second driver of the same run is found out before the step reaches outside.
        let started = StepStarted { attempt, idempotency_key: key.clone() };
        let started_at = self.emit_for(at, EventKind::StepStarted(started))?;
        let context = self.context(at, planned, &provider, attempt, &key);
        let within = self.scopes.get(at.scope);
        let cancel = within.map_or_else(|| self.cancel.child_token(), |within| within.cancel.child_token());
        let bounds = within.and_then(|within| within.bounds(at.index));
        let limits = bounds.map(|bounds| bounds.limits).unwrap_or_default();
        Ok(Call {
            run: self.run,
            step: id,
            kind: planned.step.kind.clone(),
            attempt,
            started_at,
            provider,
            entry,
            config: config.text().to_owned(),
            context,
            limits: LimitsRequest {
                fuel: limits.fuel,
                memory: limits.memory,
                time: limits.time,
                output: limits.output,
                request: limits.request,
                response: limits.response,
                requests: limits.requests,
                timeout: planned.step.timeout,
            },
            grants: bounds.map(|bounds| bounds.grants.clone()).unwrap_or_default(),
            secrets: planned.config.references().secret_names().cloned().collect(),
            meter: self.meter.clone(),
            blobs: self.blobs.clone(),
            cancel,
        })
    }

    fn context(&self, at: At, planned: &PlannedStep, provider: &Provider, attempt: u32, key: &str) -> String {
        let outputs = self
            .scopes
            .ancestors(at)
            .filter_map(|(name, id)| Some((name, self.state.steps.get(id)?.output_for_steps()?)));
        context::build(Parts {
            need: provider.describe.context,
            input: self.input(at.scope),
            steps: outputs,
            id: self.scopes.step_id(at).unwrap_or(&planned.step.id),
            attempt,
            idempotency_key: key,
            ports: (!provider.describe.ports.is_empty()).then_some(&planned.used_ports),
        })
    }
}

/// What the log gets of an outcome: what is too big for it is kept as a blob.
async fn write_down(
    engine: &Inner,
    run: RunId,
    describe: &Describe,
    outcome: &Outcome,
) -> Result<Written, stepcell_store::Error> {
    let store = &*engine.store;
    match outcome {
        Outcome::Done(output) | Outcome::Branch { output, .. } => {
            let (most, fields) = (describe.max_output_bytes, &describe.context_fields);
            Ok(Written::Output(payload::keep(store, run, output.clone(), most, fields).await?))
        }
        Outcome::FanOut { items, body, .. } => {
            let most = describe.max_output_bytes;
            let items = payload::keep(store, run, items.clone(), most, &[]).await?;
            Ok(Written::FanOut { items, body: payload::keep(store, run, body.clone(), most, &[]).await? })
        }
        Outcome::WaitTimer { .. } | Outcome::WaitSignal { .. } => Ok(Written::Nothing),
    }
}

/// How many items' results a signal stands for, if it is one that ends a fan-out.
fn items_of(signal: &Json) -> Option<u64> {
    let signal = signal.value();
    signal.get("kind").filter(|kind| *kind == "items")?;
    signal.get("count")?.as_u64()
}

fn bytes_of_call(call: &Call) -> usize {
    let signal = match &call.entry {
        Entry::Execute => 0,
        Entry::Resume { signal } => signal.len(),
    };
    call.config.len() + call.context.len() + signal
}

/// The tokens that a step says it used count like everything else that it used.
fn count_tokens(describe: &Describe, output: &Json, meter: &Meter, receipt: &mut Receipt) {
    if describe.tokens.is_some() {
        receipt.tokens = describe.tokens_in(output.value());
        // Where it was too much, the run ends when the attempt is looked at.
        let _ = meter.take(Resource::Tokens, receipt.tokens);
    }
}

/// The attempt that a step makes now: the first, the one that a crash cut short, or the one after a failure.
fn next_attempt(seen: &stepcell_core::run::StepState) -> u32 {
    if seen.retry_at.is_some() { seen.attempts + 1 } else { seen.attempts.max(1) }
}

fn context_too_big(bytes: usize) -> Failure {
    let message = format!(
        "its input and the outputs of its ancestors are {bytes} bytes together, {MAX_CONTEXT_BYTES} at most"
    );
    Failure::system(Fault::Limit, "context_exceeded", message).with_hint(
        "hand over what it needs by templates in its config, to a step type whose `context` is `none`",
    )
}

fn why_routed(provider: &Provider) -> String {
    let matches = &provider.describe.matches;
    if matches.is_empty() {
        return "the only component of its type".to_owned();
    }
    let pairs: Vec<_> = matches.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("its match fits: {}", pairs.join(", "))
}

fn unserved(kind: &str, config: &Value) -> Failure {
    let keys = config.as_object().map(|config| config.keys().cloned().collect::<Vec<_>>().join(", "));
    let keys = keys.unwrap_or_default();
    let message = format!("no component of step type `{kind}` matches this config (keys: {keys})");
    Failure::system(Fault::Config, "no_matching_plugin", message)
        .with_hint("`GET /api/v1/catalog/steps` shows under `providers` what each component matches")
}

fn not_kept(error: &stepcell_store::Error) -> Failure {
    let message = format!("it is done, and its output could not be kept: {error}");
    with_hint_of(Failure::system(Fault::Failed, "output_not_kept", message), error)
}

pub(super) fn with_hint_of(failure: Failure, error: &stepcell_store::Error) -> Failure {
    match error.hint() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}
