//! The values that templates read.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use stepcell_core::{
    Failure, Fault, Json, StepId,
    event::Payload,
    plan::PlannedStep,
    template::{Scope, Steps, Template, TemplateError},
};

use super::{At, Driver, MAX_LOADED_BYTES, launch::with_hint_of, scope::ScopeId};
use crate::{context, payload};

impl Driver {
    /// What `input` stands for in a graph.
    pub(super) fn input(&self, scope: ScopeId) -> &Json {
        self.scopes.get(scope).map_or(&self.state.input, |within| &within.input)
    }

    /// What `secret.NAME` stands for in a step's config: placeholders, never a secret.
    pub(super) fn placeholders(&self, at: At, planned: &PlannedStep) -> Option<Json> {
        let id = self.scopes.step_id(at)?;
        let placeholder =
            |name: &String| (name.clone(), Value::from(self.engine.runner.placeholder(self.run, id, name)));
        let all: Map<_, _> = planned.config.references().secret_names().map(placeholder).collect();
        (!all.is_empty()).then(|| Value::Object(all).into())
    }

    pub(super) fn resolve(&self, scope: ScopeId, template: &Template) -> Result<Json, TemplateError> {
        self.resolve_with(scope, template, None)
    }

    pub(super) fn resolve_with(
        &self,
        scope: ScopeId,
        template: &Template,
        secrets: Option<Json>,
    ) -> Result<Json, TemplateError> {
        let within = self.scopes.get(scope).and_then(|within| within.item.as_ref());
        let variables = within.map(|item| item.variables.as_slice()).unwrap_or_default();
        let steps = &Outputs { driver: self, scope };
        let input = self.input(scope);
        match secrets {
            None => template.resolve(&Scope { input, steps, extra: variables }),
            Some(secrets) => {
                let extra = [variables, &[("secret", secrets)]].concat();
                template.resolve(&Scope { input, steps, extra: &extra })
            }
        }
    }

    /// Templates read whole values: what is kept as a blob is fetched before they are resolved.
    pub(super) async fn load_wholes(&mut self, at: At, planned: &PlannedStep) -> Result<(), Failure> {
        let templates = planned.condition.iter().chain([&planned.config]);
        let ids = templates.flat_map(|template| self.blobs_of(at.scope, template)).collect();
        self.load(ids).await
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
    pub(super) fn blobs_of(&self, scope: ScopeId, template: &Template) -> BTreeSet<StepId> {
        let names = template.references().steps.keys();
        let ids = names.filter_map(|name| self.scopes.named(scope, name));
        ids.filter(|id| self.is_blob(id)).cloned().collect()
    }

    /// Whether the output of a step is a blob.
    pub(super) fn is_blob(&self, id: &StepId) -> bool {
        let output = self.state.steps.get(id).and_then(|seen| seen.output_for_steps());
        matches!(output, Some(Payload::Blob { .. }))
    }
}

/// What templates see of the run.
struct Outputs<'a> {
    driver: &'a Driver,
    scope: ScopeId,
}

impl Steps for Outputs<'_> {
    fn output(&self, name: &str) -> Option<Json> {
        let id = self.driver.scopes.named(self.scope, name)?;
        if let Some(whole) = self.driver.wholes.get(id) {
            return Some(whole.clone());
        }
        let output = self.driver.state.steps.get(id)?.output_for_steps()?;
        Some(context::seen_by_cells(output).clone())
    }

    fn names(&self) -> Vec<String> {
        let driver = self.driver;
        let has_output =
            |id: &StepId| driver.state.steps.get(id).is_some_and(|seen| seen.output_for_steps().is_some());
        let visible = driver.scopes.seen_from(self.scope);
        let steps = visible.flat_map(|within| within.graph.ids.iter().zip(within.ids.iter()));
        steps.filter(|(_, id)| has_output(id)).map(|(name, _)| name.to_string()).collect()
    }
}

pub(super) fn too_much_to_load(bytes: u64) -> Failure {
    let message = format!("the outputs that it reads are {bytes} bytes together, {MAX_LOADED_BYTES} at most");
    Failure::system(Fault::Limit, "outputs_exceeded", message)
        .with_hint("read fewer of them at a time, or let a step that may read blobs fetch them")
}

/// The run goes on with a failed step: stopping it would run again what is done.
pub(super) fn unreadable(error: &stepcell_store::Error) -> Failure {
    let message = format!("an output that it reads could not be fetched: {error}");
    with_hint_of(Failure::system(Fault::Failed, "output_unreadable", message), error)
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
