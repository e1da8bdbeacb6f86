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
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    Catalog, Digest, Flow, Json, StepType, Template,
    flow::Step,
    parse::{Parsed, join},
    problem::Problem,
    schema::{Schema, SchemaError},
};

mod bits;
mod body;
mod builder;
mod code;
mod config;
mod graph;
mod outside;
mod references;
mod secrets;
mod types;

pub use crate::flow::BodyKind;
pub use bits::Ancestors;
pub use body::{Body, MAX_MADE_BYTES, MAX_MADE_NODES};

use builder::{Builder, Shared};
use secrets::Secrets;
use types::Types;

/// A flow, or the body of a fan-out, that passed validation. Cheap to run many times: nothing is compiled anew.
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
            pinned: false,
        };
        builder::build(parsed, Shared::new(types, Secrets::Known(&catalog.secrets), true))
    }

    /// Makes a flow ready again that a run pinned, with the step types that it pinned. What was validated
    /// once is not checked against the plugins and the secrets again, and there are no warnings.
    pub fn from_source(source: &Value, types: &BTreeMap<String, StepType>) -> Result<Self, Vec<Problem>> {
        let find = |kind: &str| types.get(kind);
        let shared = Shared::new(Types::pinned(&find, types), Secrets::Unchecked, false);
        builder::build(Parsed::from_source(source), shared)
    }

    /// The step of this id, as an index into [`steps`](Self::steps).
    pub fn index(&self, id: &str) -> Option<usize> {
        self.flow.steps.get_index_of(id)
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

#[cfg(test)]
mod tests;
