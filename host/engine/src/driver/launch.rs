//! From a step that may start to a call of its plugin.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use stepcell_core::{
    EventKind, Failure, Fault, Json, StepId,
    catalog::{Describe, Provider},
    event::{Payload, Receipt, StepRouted, StepSkipped, StepStarted},
    plan::PlannedStep,
    template::{Scope, Steps, Template, TemplateError, truthy},
};

use super::{Driver, Ended, MAX_BYTES_IN_FLIGHT, MAX_CONTEXT_BYTES, MAX_LOADED_BYTES, MAX_STEPS_IN_FLIGHT};
use crate::{
    Call, Entry, Error, Outcome,
    context::{self, Parts, idempotency_key},
    meter::{Meter, Resource},
    payload,
    runner::LimitsRequest,
};

/// How long a driver may compute for one step before it lets others have the thread.
const LONG_PREPARATION: Duration = Duration::from_micros(500);

/// A call that is made once the events before it are where they must be.
struct Launch {
    step: usize,
    call: Call,
    provider: Arc<Provider>,
}

impl Driver {
    /// Starts what may start, as far as there is room.
    pub(super) async fn launch_ready(&mut self) -> Result<(), Error> {
        let mut launches = Vec::new();
        while self.in_flight.len() + launches.len() < MAX_STEPS_IN_FLIGHT
            && self.in_flight_bytes < MAX_BYTES_IN_FLIGHT
            && !self.state.is_final()
        {
            let Some(step) = self.ready.pop_front() else { break };
            let started = Instant::now();
            launches.extend(self.prepare(step).await?);
            // Templates are computed on this thread: after a long one, other runs get their turn.
            if started.elapsed() > LONG_PREPARATION {
                tokio::task::yield_now().await;
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
        let (run, bytes) = (self.run, call.config.len() + call.context.len());
        let (engine, meter) = (self.engine.clone(), self.meter.clone());
        let before = (!provider.pure_step).then(|| self.outbox.last());
        self.in_flight.push(Box::pin(async move {
            if let Some(before) = before {
                before.await?;
            }
            let mut completion = engine.runner.run(call).await;
            let output = match &completion.result {
                Ok(Outcome::Done(output) | Outcome::Branch { output, .. }) => Some(output.clone()),
                _ => None,
            };
            let describe = &provider.describe;
            let mut payload = None;
            if let Some(output) = output {
                count_tokens(describe, &output, &meter, &mut completion.receipt);
                let (most, fields) = (describe.max_output_bytes, &describe.context_fields);
                match payload::keep(&*engine.store, run, output, most, fields).await {
                    Ok(kept) => payload = Some(kept),
                    Err(error) => completion.result = Err(not_kept(&error)),
                }
            }
            Ok(Ended { step, bytes, completion, payload })
        }));
    }

    /// Everything before the call. A step that ends here, skipped or failed, gives none.
    async fn prepare(&mut self, index: usize) -> Result<Option<Launch>, Error> {
        let prepared = self.prepared.clone();
        let Some(planned) = prepared.steps.get(index) else { return Ok(None) };
        if let Err(failure) = self.load_wholes(planned).await {
            self.fail(index, failure, Receipt::default())?;
            return Ok(None);
        }
        let first = self.state.steps.get(&planned.step.id).is_none_or(|seen| seen.attempts == 0);
        if first && !self.condition_holds(index, planned)? {
            return Ok(None);
        }
        let (config, provider) = match self.configure(planned) {
            Ok(configured) => configured,
            Err(failure) => {
                self.fail(index, failure, Receipt::default())?;
                return Ok(None);
            }
        };
        let call = self.call(index, planned, config, provider.clone(), first)?;
        if call.context.len() > MAX_CONTEXT_BYTES {
            self.fail(index, context_too_big(call.context.len()), Receipt::default())?;
            return Ok(None);
        }
        self.in_flight_bytes += call.config.len() + call.context.len();
        Ok(Some(Launch { step: index, call, provider }))
    }

    fn condition_holds(&mut self, index: usize, planned: &PlannedStep) -> Result<bool, Error> {
        let Some(condition) = &planned.condition else { return Ok(true) };
        match self.resolve(condition) {
            Ok(value) if truthy(value.value()) => return Ok(true),
            Ok(_) => {
                let reason = "its `if` is false".to_owned();
                self.emit_for(index, EventKind::StepSkipped(StepSkipped { reason }))?;
                let decisions = self.progress.skipped(&self.prepared.clone(), index);
                self.decide(decisions)?;
            }
            Err(error) => self.fail(index, template_failure(&error, "if"), Receipt::default())?,
        }
        Ok(false)
    }

    /// The resolved config and the plugin that serves it.
    fn configure(&self, planned: &PlannedStep) -> Result<(Json, Arc<Provider>), Failure> {
        let secrets = self.placeholders(planned).map(|secrets| ("secret", secrets));
        let config = self.resolve_with(&planned.config, secrets.as_slice());
        let config = config.map_err(|error| template_failure(&error, "config"))?;
        let kind = &planned.step.kind;
        let provider = self.prepared.types.get(kind).and_then(|kind| kind.route(config.value()));
        let provider = provider.ok_or_else(|| unserved(kind, config.value()))?;
        if !planned.config.is_static() {
            self.check_config(provider, config.value())?;
        }
        Ok((config, provider.clone()))
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
        index: usize,
        planned: &PlannedStep,
        config: Json,
        provider: Arc<Provider>,
        first: bool,
    ) -> Result<Call, Error> {
        let id = &planned.step.id;
        let (attempt, signal) = match self.state.steps.get(id) {
            Some(seen) => (next_attempt(seen), seen.signal.clone()),
            None => (1, None),
        };
        let key = idempotency_key(self.run, id);
        if first {
            let routed = StepRouted {
                plugin: provider.file.clone(),
                digest: provider.digest,
                why: why_routed(&provider),
            };
            self.emit_for(index, EventKind::StepRouted(routed))?;
        }
        // A resumed step goes on with the attempt that parked it, and says so: the cell's clock is in the log, and
        // a second driver of the same run is found out before the step reaches outside.
        let started = StepStarted { attempt, idempotency_key: key.clone() };
        let started_at = self.emit_for(index, EventKind::StepStarted(started))?;
        let context = self.context(planned, &provider, attempt, &key);
        let (own, flow) = (planned.step.limits, self.prepared.flow.limits);
        Ok(Call {
            run: self.run,
            step: id.clone(),
            kind: planned.step.kind.clone(),
            attempt,
            started_at,
            provider,
            entry: signal.map_or(Entry::Execute, |signal| Entry::Resume { signal }),
            config: config.text().to_owned(),
            context,
            limits: LimitsRequest {
                fuel: smaller(own.fuel, flow.fuel),
                memory: smaller(own.memory, flow.memory),
                time: smaller(own.time, flow.time),
                output: smaller(own.output, flow.output),
                request: smaller(own.request, flow.request),
                response: smaller(own.response, flow.response),
                requests: smaller(own.requests, flow.requests),
                timeout: planned.step.timeout,
            },
            grants: self.prepared.narrowings.get(index).cloned().unwrap_or_default(),
            secrets: planned.config.references().secret_names().cloned().collect(),
            meter: self.meter.clone(),
            blobs: self.blobs.clone(),
            cancel: self.cancel.child_token(),
        })
    }

    fn context(&self, planned: &PlannedStep, provider: &Provider, attempt: u32, key: &str) -> String {
        let outputs = planned.ancestors.iter().filter_map(|ancestor| {
            let id = self.step_id(ancestor)?;
            Some((id, self.state.steps.get(id)?.output_for_steps()?))
        });
        context::build(Parts {
            need: provider.describe.context,
            input: &self.state.input,
            steps: outputs,
            id: &planned.step.id,
            attempt,
            idempotency_key: key,
        })
    }

    /// What `secret.NAME` stands for in a step's config: placeholders, never a secret.
    fn placeholders(&self, planned: &PlannedStep) -> Option<Json> {
        let placeholder = |name: &String| {
            (name.clone(), Value::from(self.engine.runner.placeholder(self.run, &planned.step.id, name)))
        };
        let all: Map<_, _> = planned.config.references().secret_names().map(placeholder).collect();
        (!all.is_empty()).then(|| Value::Object(all).into())
    }

    pub(super) fn resolve(&self, template: &Template) -> Result<Json, TemplateError> {
        self.resolve_with(template, &[])
    }

    fn resolve_with(&self, template: &Template, extra: &[(&str, Json)]) -> Result<Json, TemplateError> {
        template.resolve(&Scope { input: &self.state.input, steps: &Outputs(self), extra })
    }

    /// Templates read whole values: what is kept as a blob is fetched before they are resolved.
    async fn load_wholes(&mut self, planned: &PlannedStep) -> Result<(), Failure> {
        let templates = planned.condition.iter().chain([&planned.config]);
        let names = templates.flat_map(|template| self.blobs_of(template)).collect();
        self.load(names).await
    }

    /// Fetches the whole outputs of these steps, unless they are here.
    pub(super) async fn load(&mut self, names: BTreeSet<StepId>) -> Result<(), Failure> {
        let bytes = self.bytes_of(&names);
        if bytes > MAX_LOADED_BYTES {
            return Err(too_much_to_load(bytes));
        }
        let others = self.wholes.keys().filter(|name| !names.contains(*name));
        if bytes + self.bytes_of(others) > MAX_LOADED_BYTES {
            self.wholes.clear();
        }
        for name in names {
            if self.wholes.contains_key(&name) {
                continue;
            }
            let output = self.state.steps.get(&name).and_then(|seen| seen.output_for_steps());
            if let Some(output) = output {
                let value = payload::whole(&*self.engine.store, output).await;
                self.wholes.insert(name, value.map_err(|error| unreadable(&error))?);
            }
        }
        Ok(())
    }

    /// How large the whole outputs of these steps are together.
    pub(super) fn bytes_of<'i>(&self, names: impl IntoIterator<Item = &'i StepId>) -> u64 {
        let outputs = names.into_iter().filter_map(|name| self.state.steps.get(name)?.output_for_steps());
        let bytes = |output: &Payload| match output {
            Payload::Value(value) => value.len() as u64,
            Payload::Blob { bytes, .. } => *bytes,
        };
        outputs.map(bytes).sum()
    }

    /// The steps whose outputs a template reads and that are kept as blobs.
    pub(super) fn blobs_of(&self, template: &Template) -> BTreeSet<StepId> {
        let names = template.references().steps.keys();
        names.filter_map(|name| self.blob_step(name)).collect()
    }

    /// The step of this name, if its output is a blob.
    pub(super) fn blob_step(&self, name: &str) -> Option<StepId> {
        let (id, seen) = self.state.steps.get_key_value(name)?;
        matches!(seen.output_for_steps()?, Payload::Blob { .. }).then(|| id.clone())
    }
}

/// The tokens that a step says it used count like everything else that it used.
fn count_tokens(describe: &Describe, output: &Json, meter: &Meter, receipt: &mut Receipt) {
    if describe.tokens.is_some() {
        receipt.tokens = describe.tokens_in(output.value());
        // Where it was too much, the run ends when the attempt is looked at.
        let _ = meter.take(Resource::Tokens, receipt.tokens);
    }
}

/// What templates see of the run.
struct Outputs<'a>(&'a Driver);

impl Steps for Outputs<'_> {
    fn output(&self, id: &str) -> Option<Json> {
        if let Some(whole) = self.0.wholes.get(id) {
            return Some(whole.clone());
        }
        let output = self.0.state.steps.get(id)?.output_for_steps()?;
        Some(context::seen_by_cells(output).clone())
    }

    fn names(&self) -> Vec<String> {
        let steps = self.0.state.steps.iter();
        steps.filter(|(_, seen)| seen.output_for_steps().is_some()).map(|(id, _)| id.to_string()).collect()
    }
}

/// The attempt that a step makes now: the first, the one that a crash cut short, or the one after a failure.
fn next_attempt(seen: &stepcell_core::run::StepState) -> u32 {
    if seen.retry_at.is_some() { seen.attempts + 1 } else { seen.attempts.max(1) }
}

fn smaller<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

pub(super) fn too_much_to_load(bytes: u64) -> Failure {
    let message = format!("the outputs that it reads are {bytes} bytes together, {MAX_LOADED_BYTES} at most");
    Failure::system(Fault::Limit, "outputs_exceeded", message)
        .with_hint("read fewer of them at a time, or let a step that may read blobs fetch them")
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

/// The run goes on with a failed step: stopping it would run again what is done.
pub(super) fn unreadable(error: &stepcell_store::Error) -> Failure {
    let message = format!("an output that it reads could not be fetched: {error}");
    with_hint_of(Failure::system(Fault::Failed, "output_unreadable", message), error)
}

fn not_kept(error: &stepcell_store::Error) -> Failure {
    let message = format!("it is done, and its output could not be kept: {error}");
    with_hint_of(Failure::system(Fault::Failed, "output_not_kept", message), error)
}

fn with_hint_of(failure: Failure, error: &stepcell_store::Error) -> Failure {
    match error.hint() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

pub(super) fn template_failure(error: &TemplateError, place: &str) -> Failure {
    let place = if error.path.is_empty() { place.to_owned() } else { format!("{place}.{}", error.path) };
    let message = format!("`{place}`: `{}`: {}", error.expression, error.reason);
    let failure = Failure::system(Fault::Config, "template_failed", message);
    match &error.hint {
        Some(hint) => failure.with_hint(hint.clone()),
        None => failure,
    }
}
