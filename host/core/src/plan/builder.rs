//! Checks one graph, a flow or a body in it, and makes a plan of it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use indexmap::IndexMap;

use super::{
    Body, Need, Plan, PlannedStep, graph,
    outside::{Named, Outside, Outward},
    secrets::Secrets,
    types::Types,
};
use crate::{
    Digest, StepId, Template,
    flow::{BodyKind, Step},
    parse::{Budget, Decoded, Parsed, Part, join},
    problem::{Problem, Problems},
    schema::{InvalidSchema, Schema},
};

const SCHEMA_TYPES: &str = "types are `object`, `array`, `string`, `number`, `integer`, `boolean` and `null`";

/// Makes the plan of a whole flow.
pub(super) fn build(parsed: Parsed, mut shared: Shared<'_>) -> Result<Plan, Vec<Problem>> {
    let (decoded, spans, problems) = parsed.into_parts();
    shared.problems = problems;
    shared.steps = decoded.flow.steps.len();
    let (plan, _) = Builder::new(spans.part(), decoded, &mut shared, None).build();
    let mut plan = plan.ok_or_else(|| shared.problems.into_vec())?;
    plan.warnings = shared.warnings.into_vec();
    Ok(plan)
}

/// What the graphs of a flow have in common.
pub(super) struct Shared<'t> {
    pub(super) types: Types<'t>,
    pub(super) secrets: Secrets<'t>,
    pub(super) problems: Problems,
    pub(super) warnings: Problems,
    /// Check against the plugins, and warn.
    pub(super) thorough: bool,
    /// Config schemas that are compiled already, by plugin.
    pub(super) lent: Option<&'t HashMap<Digest, Schema>>,
    /// The others; none where one can not be used, which was said when it was loaded.
    pub(super) schemas: HashMap<Digest, Option<Schema>>,
    /// How much the bodies may still hold, all together. One within another is kept once for each around it, so that
    /// their size could grow with the square of the text.
    pub(super) room: Budget,
    /// The steps of all graphs.
    pub(super) steps: usize,
}

impl<'t> Shared<'t> {
    pub(super) fn new(types: Types<'t>, secrets: Secrets<'t>, thorough: bool) -> Self {
        Self {
            types,
            secrets,
            problems: Problems::default(),
            warnings: Problems::default(),
            thorough,
            lent: None,
            schemas: HashMap::new(),
            room: Budget::new(),
            steps: 0,
        }
    }
}

/// What is known of a graph while it is checked.
pub(super) struct Builder<'b, 't> {
    pub(super) part: Part<'b>,
    pub(super) decoded: Decoded,
    pub(super) shared: &'b mut Shared<'t>,
    /// Of a body.
    pub(super) outside: Option<Outside<'b>>,
    pub(super) outward: Outward,
}

/// A step as far as it is checked.
#[derive(Default)]
pub(super) struct Draft {
    config: Option<Template>,
    condition: Option<Template>,
    pub(super) needs: Vec<Need>,
    pub(super) bodies: Vec<Arc<Body>>,
    /// The steps outside of its bodies that code in them names.
    pub(super) code: Vec<Named>,
}

impl<'b, 't> Builder<'b, 't> {
    pub(super) fn new(
        part: Part<'b>,
        decoded: Decoded,
        shared: &'b mut Shared<'t>,
        outside: Option<Outside<'b>>,
    ) -> Self {
        Self { part, decoded, shared, outside, outward: Outward::default() }
    }

    /// The plan, unless there are mistakes, here or in what was looked at before.
    pub(super) fn build(mut self) -> (Option<Plan>, Outward) {
        let input = self.input();
        self.own_ids();
        let mut drafts: Vec<Draft> =
            (0..self.decoded.flow.steps.len()).map(|index| self.step(index)).collect();
        let output = self.output();
        if self.decoded.kind == BodyKind::Flow {
            self.granted_secrets("");
        }
        let graph = graph::Graph::of(drafts.iter().map(|draft| draft.needs.as_slice()));
        self.cycles(&graph);
        if !self.shared.problems.is_empty() {
            return (None, self.outward);
        }
        let ancestors = graph.ancestors();
        if self.shared.thorough {
            self.warn(&mut drafts, &ancestors);
        }
        let flow = self.decoded.flow;
        let used_ports = used_ports(&drafts);
        let graphed = drafts.into_iter().zip(graph.dependents).zip(ancestors).zip(used_ports);
        let plan = |(step, (((draft, dependents), ancestors), used_ports)): (&Step, (((Draft, _), _), _))| {
            Some(PlannedStep {
                step: step.clone(),
                config: draft.config?,
                condition: draft.condition,
                needs: draft.needs,
                dependents,
                ancestors,
                bodies: draft.bodies,
                used_ports,
            })
        };
        let steps = flow.steps.values().zip(graphed).filter_map(plan).collect();
        let plan = Plan { digest: flow.digest(), steps, output, warnings: Vec::new(), input, flow };
        (Some(plan), self.outward)
    }

    /// The step of this graph that has an id; the only one of a body has none that could be named.
    pub(super) fn own(&self, id: &str) -> Option<usize> {
        match self.decoded.kind {
            BodyKind::Step => None,
            BodyKind::Steps | BodyKind::Flow => self.decoded.flow.steps.get_index_of(id),
        }
    }

    /// Names that stand for a value, besides `input`, `steps` and `secret`.
    pub(super) fn roots(&self) -> &'static [&'static str] {
        match self.decoded.kind {
            BodyKind::Step | BodyKind::Steps => &["item", "index"],
            BodyKind::Flow => &[],
        }
    }

    fn input(&mut self) -> Option<Schema> {
        let schema = Schema::compile(self.decoded.flow.input.as_ref()?);
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

    /// Reports ids that a step outside has too: a template could mean either.
    fn own_ids(&mut self) {
        let Some(outside) = self.outside.filter(|_| self.decoded.kind == BodyKind::Steps) else { return };
        let twice: Vec<_> = self
            .decoded
            .flow
            .steps
            .keys()
            .enumerate()
            .filter(|(_, id)| outside.has(id.as_str()))
            .map(|(index, id)| (join(&self.decoded.step_path(index), "id"), id.clone()))
            .collect();
        for (path, id) in twice {
            let message = format!("step `{id}` is already there, outside of this body");
            self.report_with(&path, "duplicate_step", message, || {
                Some("give it another id: in a body the steps around it have names too".to_owned())
            });
        }
    }

    fn step(&mut self, index: usize) -> Draft {
        let Some(step) = self.decoded.flow.steps.get_index(index).map(|(_, step)| step.clone()) else {
            return Draft::default();
        };
        let path = self.decoded.step_path(index);
        let providers = self.providers(&step, &path);
        let config = self.config(index, &step, &path, &providers);
        let condition = self.condition(index, &step, &path);
        self.granted_secrets(&path);
        let needs = self.after(index, &step, &path);
        let mut draft = Draft { config, condition, needs, ..Draft::default() };
        for template in draft.config.iter().chain(&draft.condition) {
            draft.needs.extend(self.needs_of(template, index));
        }
        self.bodies(index, &path, &providers, &mut draft);
        draft.needs.sort();
        draft.needs.dedup();
        draft
    }

    fn cycles(&mut self, graph: &graph::Graph) {
        for cycle in graph.cycles() {
            let Some(&first) = cycle.first() else { continue };
            let message = format!("the steps wait for each other: {}", way(&self.decoded.flow.steps, &cycle));
            self.report_with(&self.decoded.step_path(first), "cycle", message, || {
                Some("`a → b` means that `a` waits for `b`: remove one reference or `after` entry".to_owned())
            });
        }
    }

    pub(super) fn report(&mut self, path: &str, code: &'static str, message: impl Into<String>) {
        self.report_with(path, code, message, || None);
    }

    /// Reports a problem at a path within the graph; the hint is made only where the problem is kept.
    pub(super) fn report_with(
        &mut self,
        path: &str,
        code: &'static str,
        message: impl Into<String>,
        hint: impl FnOnce() -> Option<String>,
    ) {
        let (full_path, at) = (self.part.full_path(path), self.part.locate(path));
        self.shared.problems.add(full_path, at, code, message).hint_with(hint);
    }
}

/// A cycle as its author would draw it.
fn way(steps: &IndexMap<StepId, Step>, cycle: &[usize]) -> String {
    /// More of a long cycle says no more.
    const SHOWN: usize = 20;
    let name = |index: &usize| steps.get_index(*index).map(|(id, _)| id.as_str()).unwrap_or_default();
    let mut names: Vec<_> = cycle.iter().take(SHOWN).map(name).collect();
    if cycle.len() > SHOWN {
        names.push("…");
    }
    names.extend(cycle.first().map(name));
    names.join(" → ")
}

/// The ports that some `after` names, by step.
fn used_ports(drafts: &[Draft]) -> Vec<Vec<String>> {
    let mut ports = vec![BTreeSet::new(); drafts.len()];
    for need in drafts.iter().flat_map(|draft| &draft.needs) {
        if let (Some(ports), Some(port)) = (ports.get_mut(need.step), &need.port) {
            ports.insert(port.clone());
        }
    }
    ports.into_iter().map(|ports| ports.into_iter().collect()).collect()
}
