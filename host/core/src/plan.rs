//! A flow made ready to run: its graph, its templates, its input schema.
//!
//! # When a step runs
//!
//! A step waits until all its needs have ended, and is decided then, once:
//!
//! - A [`NeedKind::Reference`] (a template, a `$from` or an `if` names the step) is hard: where that step was
//!   skipped there is no value, so this step is skipped.
//! - The [`NeedKind::After`] entries are one group: the step is skipped where it has such entries and *none* of
//!   them came true. An entry comes true when its step was not skipped and, where the entry names a port, took
//!   that port. So `after: [a.true, b]` joins two paths, and runs if either was walked.
//! - A step that failed under `on_error: continue` or `{use: …}` has an output: it counts as run.
//!
//! The `if` is looked at only after that.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    Catalog, Digest, Flow, Json, StepType, Template,
    flow::Step,
    parse::{Parsed, join},
    problem::{Problem, Problems},
    schema::{InvalidSchema, Schema, SchemaError},
};

mod bits;
mod body;
mod code;
mod config;
mod graph;
mod references;
mod secrets;
mod types;

pub use bits::Ancestors;
pub use body::{Body, BodyKind};

use types::Types;

/// A flow that passed validation. Cheap to run many times: nothing is compiled anew.
#[derive(Debug)]
pub struct Plan {
    pub flow: Flow,
    /// Of the flow's source as JSON text: the name of its blob.
    pub digest: Digest,
    /// In the order of the file.
    pub steps: Vec<PlannedStep>,
    /// The flow's `output`, if it has one.
    pub output: Option<Template>,
    /// What may be a mistake, and need not be one.
    pub warnings: Vec<Problem>,
    input: Option<Schema>,
    by_id: HashMap<String, usize>,
}

/// A step with all that the engine asks of it.
#[derive(Debug)]
pub struct PlannedStep {
    pub step: Step,
    pub config: Template,
    /// The step's `if`.
    pub condition: Option<Template>,
    /// What it waits for: each step, port and kind once.
    pub needs: Vec<Need>,
    /// The steps that need this one, each once, in the order of the file.
    pub dependents: Vec<usize>,
    /// All steps that come before it: the needs of its needs as well.
    pub ancestors: Ancestors,
    /// What its config has to run for items, in the order of its deferred keys.
    pub bodies: Vec<Arc<Body>>,
    /// Those of its ports that the `after` of some step names.
    pub used_ports: Vec<String>,
}

/// Something that a step waits for. The module's head says what follows from it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    pub step: usize,
    pub kind: NeedKind,
    /// Of an `after` entry that names one.
    pub port: Option<String>,
}

/// Why a step waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NeedKind {
    /// It reads that step's output.
    Reference,
    /// Its `after` says so.
    After,
}

impl Plan {
    /// Validates a flow against the step types of now. On failure gives every mistake there is, those of
    /// reading included, in the order of the text.
    pub fn build(parsed: Parsed, catalog: &Catalog) -> Result<Self, Vec<Problem>> {
        let find = |kind: &str| catalog.types.get(kind);
        let types = Types {
            find: &find,
            names: catalog.types.keys().map(String::as_str).collect(),
            folders: &catalog.folders,
            loading: &catalog.loading,
            secrets: &catalog.secrets,
        };
        Builder::new(parsed, types, true).build()
    }

    /// Makes a flow ready again that a run pinned, with the step types that it pinned. What was validated
    /// once is not checked against the plugins and the secrets again, and there are no warnings.
    pub fn from_source(source: &Value, types: &BTreeMap<String, StepType>) -> Result<Self, Vec<Problem>> {
        let find = |kind: &str| types.get(kind);
        let types = Types {
            find: &find,
            names: types.keys().map(String::as_str).collect(),
            folders: &[],
            loading: &[],
            secrets: &BTreeSet::new(),
        };
        Builder::new(Parsed::from_source(source), types, false).build()
    }

    /// The step of this id, as an index into [`steps`](Self::steps).
    pub fn index(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The step types that a run of it may need, those of bodies included.
    pub fn kinds(&self) -> BTreeSet<&str> {
        let mut kinds = BTreeSet::new();
        let mut open = vec![self];
        while let Some(plan) = open.pop() {
            kinds.extend(plan.steps.iter().map(|planned| planned.step.kind.as_str()));
            open.extend(plan.steps.iter().flat_map(|planned| &planned.bodies).map(|body| &*body.plan));
        }
        kinds
    }

    /// Why an input does not fit the flow's input schema; paths begin with `input`, without line and column.
    pub fn check_input(&self, input: &Json) -> Result<(), Vec<Problem>> {
        let errors = self.input.as_ref().map(|schema| schema.check(input.value())).unwrap_or_default();
        if errors.is_empty() {
            return Ok(());
        }
        let problem = |error: SchemaError| Problem {
            path: join("input", &error.path),
            line: 0,
            column: 0,
            code: "input_invalid",
            message: error.message,
            hint: None,
        };
        Err(errors.into_iter().map(problem).collect())
    }
}

const SCHEMA_TYPES: &str = "types are `object`, `array`, `string`, `number`, `integer`, `boolean` and `null`";

/// What is known of a flow while it is checked.
struct Builder<'t> {
    parsed: Parsed,
    types: Types<'t>,
    problems: Problems,
    /// Check against the plugins, and warn.
    thorough: bool,
    by_id: HashMap<String, usize>,
    /// Config schemas by plugin; none where one can not be used, which was said when it was loaded.
    schemas: HashMap<Digest, Option<Schema>>,
}

/// A step as far as it is checked.
#[derive(Default)]
struct Draft {
    config: Option<Template>,
    condition: Option<Template>,
    needs: Vec<Need>,
}

impl<'t> Builder<'t> {
    fn new(mut parsed: Parsed, types: Types<'t>, thorough: bool) -> Self {
        let problems = std::mem::take(&mut parsed.problems);
        let by_id =
            parsed.flow.steps.keys().enumerate().map(|(index, id)| (id.as_str().to_owned(), index)).collect();
        Self { parsed, types, problems, thorough, by_id, schemas: HashMap::new() }
    }

    fn build(mut self) -> Result<Plan, Vec<Problem>> {
        let input = self.input();
        let drafts: Vec<Draft> = (0..self.parsed.flow.steps.len()).map(|index| self.step(index)).collect();
        let output = self.output();
        self.granted_secrets("");
        let graph = graph::Graph::of(drafts.iter().map(|draft| draft.needs.as_slice()));
        self.cycles(&graph);
        if !self.problems.is_empty() {
            return Err(self.problems.into_vec());
        }
        let ancestors = graph.ancestors();
        let warnings = if self.thorough { self.warnings(&ancestors) } else { Vec::new() };
        let flow = self.parsed.flow;
        let digest = flow.digest();
        let graphed = drafts.into_iter().zip(graph.dependents).zip(ancestors);
        let steps =
            flow.steps.values().zip(graphed).filter_map(|(step, ((draft, dependents), ancestors))| {
                Some(PlannedStep {
                    step: step.clone(),
                    config: draft.config?,
                    condition: draft.condition,
                    needs: draft.needs,
                    dependents,
                    ancestors,
                    bodies: Vec::new(),
                    used_ports: Vec::new(),
                })
            });
        let steps = steps.collect();
        Ok(Plan { digest, steps, output, warnings, input, by_id: self.by_id, flow })
    }

    fn input(&mut self) -> Option<Schema> {
        let schema = Schema::compile(self.parsed.flow.input.as_ref()?);
        let refuse = |error: InvalidSchema| {
            let hint = error
                .path
                .rsplit('.')
                .next()
                .is_some_and(|key| key == "type")
                .then(|| SCHEMA_TYPES.to_owned());
            self.report_with(&join("input", &error.path), "schema_invalid", error.message, || hint);
        };
        schema.map_err(refuse).ok()
    }

    fn step(&mut self, index: usize) -> Draft {
        let Some(step) = self.parsed.flow.steps.get_index(index).map(|(_, step)| step.clone()) else {
            return Draft::default();
        };
        let path = self.parsed.step_path(index);
        let providers = self.providers(&step, &path);
        let config = self.config(index, &step, &path, &providers);
        let condition = self.condition(index, &step, &path);
        self.granted_secrets(&path);
        let mut needs = self.after(index, &step, &path);
        for template in config.iter().chain(&condition) {
            needs.extend(self.needs_of(template, index));
        }
        needs.sort();
        needs.dedup();
        Draft { config, condition, needs }
    }

    fn cycles(&mut self, graph: &graph::Graph) {
        let ids: Vec<_> = self.parsed.flow.steps.keys().cloned().collect();
        let name = |index: &usize| ids.get(*index).map(|id| id.as_str()).unwrap_or_default();
        for cycle in graph.cycles() {
            let Some(&first) = cycle.first() else { continue };
            /// More of a long cycle says no more.
            const SHOWN: usize = 20;
            let mut names: Vec<_> = cycle.iter().take(SHOWN).map(name).collect();
            if cycle.len() > SHOWN {
                names.push("…");
            }
            names.push(name(&first));
            let message = format!("the steps wait for each other: {}", names.join(" → "));
            let path = self.parsed.step_path(first);
            self.problems
                .add(self.parsed.spans.full_path(&path), self.parsed.spans.locate(&path), "cycle", message)
                .hint("`a → b` means that `a` waits for `b`: remove one reference or `after` entry");
        }
    }

    fn report(&mut self, path: &str, code: &'static str, message: impl Into<String>) {
        self.report_with(path, code, message, || None);
    }

    /// Reports a problem at a path within the flow; the hint is made only where the problem is kept.
    fn report_with(
        &mut self,
        path: &str,
        code: &'static str,
        message: impl Into<String>,
        hint: impl FnOnce() -> Option<String>,
    ) {
        let spans = &self.parsed.spans;
        self.problems.add(spans.full_path(path), spans.locate(path), code, message).hint_with(hint);
    }
}

#[cfg(test)]
mod tests;
