//! What a fan-out runs for each item.
//!
//! A body is read and planned with the flow that holds it, so that all its mistakes are told at once with those of
//! the flow. It is a graph of its own, and not a part of the one around it: how often it runs is known in the run
//! only. What it reads of the steps around it is a need of the step that has it, however deep it lies.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use serde_json::Value;

use super::{
    Builder, Plan,
    builder::{Draft, Shared},
    outside::{Names, Outside, Outward},
    secrets::Secrets,
    types::Types,
};
use crate::{
    Digest, Json, StepType,
    catalog::Provider,
    flow::{BodyKind, MAX_STEPS},
    parse::{Budget, Kind, Node, Part, decode_body, join},
    problem::{Position, Problem, Problems},
    schema::Schema,
};

/// The longest text of a body that a plugin makes. With the next: bounds how long the driver of a run, on whose thread
/// the body is planned, keeps other runs waiting.
pub const MAX_MADE_BYTES: usize = 128 << 10;

/// The most values in a body that a plugin makes, those of bodies within it counted with each.
pub const MAX_MADE_NODES: usize = 10_000;

/// What a fan-out runs for each of its items, made ready with the flow that holds it.
#[derive(Debug)]
pub struct Body {
    pub kind: BodyKind,
    /// The config value itself; `plan.flow.source` is `null`, and `plan.digest` that of `null`.
    pub source: Value,
    /// Of the kind [`BodyKind::Step`] it has one step, whose id is `item`.
    pub plan: Arc<Plan>,
}

impl Body {
    /// A body that a plugin made in a run: `{"step": …}`, `{"steps": …}` or `{"flow": …}`, where the paths of problems
    /// begin. `types` are those that the run pins, `schemas` their config schemas as far as they are compiled already,
    /// `outer` the steps whose outputs it may read. It can name no secret: those are for the text of the flow alone. It
    /// is at most [`MAX_MADE_BYTES`] long and has at most [`MAX_MADE_NODES`] values.
    pub fn build(
        source: &Json,
        types: &BTreeMap<String, StepType>,
        schemas: &HashMap<Digest, Schema>,
        outer: &BTreeSet<&str>,
    ) -> Result<Self, Vec<Problem>> {
        let find = |kind: &str| types.get(kind);
        let mut shared = Shared {
            lent: Some(schemas),
            room: Budget::of(MAX_MADE_NODES, MAX_MADE_BYTES),
            ..Shared::new(Types::pinned(&find, types), Secrets::Refused, true)
        };
        if source.len() > MAX_MADE_BYTES {
            too_large(&mut shared, "", Position::default());
            return Err(shared.problems.into_vec());
        }
        let Some((kind, key, value)) = made(source.value()) else {
            let message = "a body is a mapping with one key: `step`, `steps` or `flow`";
            shared.problems.add("", Position::default(), "wrong_type", message);
            return Err(shared.problems.into_vec());
        };
        let root = Node::from_value(value);
        let outside =
            Outside { names: Names::Set(outer), unread: &[], open: kind != BodyKind::Flow, around: None };
        let (body, _) = grow(kind, Part { root: &root, prefix: key }, &mut shared, outside);
        body.ok_or_else(|| shared.problems.into_vec())
    }
}

impl Builder<'_, '_> {
    /// The bodies in a step's config, with what they need of this graph.
    pub(super) fn bodies(
        &mut self,
        index: usize,
        path: &str,
        providers: &[Arc<Provider>],
        draft: &mut Draft,
    ) {
        let root = self.part.root;
        let Some(config) = self.decoded.step_node(root, index).and_then(|step| step.get("config")) else {
            return;
        };
        for key in deferred(providers) {
            let Some(entry) = config.value.get(&key).filter(|entry| entry.value.kind != Kind::Null) else {
                continue;
            };
            let prefix = self.part.full_path(&join(path, &format!("config.{key}")));
            let Some(outward) = self.body(Part { root: &entry.value, prefix: &prefix }, draft) else {
                continue;
            };
            draft.needs.extend(self.needs_of_body(index, outward.steps));
            draft.code.extend(outward.code);
        }
    }

    fn body(&mut self, part: Part<'_>, draft: &mut Draft) -> Option<Outward> {
        let Some(kind) = kind_of(part.root) else {
            no_body(part, &mut self.shared.problems);
            return None;
        };
        let outside = Outside {
            names: Names::of(&self.decoded),
            unread: &self.decoded.unread,
            open: kind != BodyKind::Flow,
            around: self.outside.as_ref(),
        };
        let (body, outward) = grow(kind, part, self.shared, outside);
        draft.bodies.extend(body.map(Arc::new));
        Some(outward)
    }
}

/// The config keys that hold bodies, each once, whichever plugin serves the step.
pub(super) fn deferred(providers: &[Arc<Provider>]) -> Vec<String> {
    let mut keys = Vec::new();
    for key in providers.iter().flat_map(|provider| &provider.describe.deferred) {
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    keys
}

/// Reads and plans a body; none where it, or something before it, has mistakes.
fn grow<'b>(
    kind: BodyKind,
    part: Part<'b>,
    shared: &'b mut Shared<'_>,
    outside: Outside<'b>,
) -> (Option<Body>, Outward) {
    if shared.room.take_tree(part.root).is_none() {
        too_large(shared, part.prefix, part.root.at);
        return (None, Outward::default());
    }
    let mut decoded = decode_body(kind, part.root, part.prefix, &mut shared.problems);
    shared.steps = shared.steps.saturating_add(decoded.flow.steps.len());
    if shared.steps > MAX_STEPS {
        let message = format!("with this body the flow has {} steps, the limit is {MAX_STEPS}", shared.steps);
        shared.problems.add(part.prefix, part.root.at, "too_large", message).hint("split the flow");
        return (None, Outward::default());
    }
    // Taken out first: the plan of a body has no use for its source, nor for the digest of it.
    let source = std::mem::take(&mut decoded.flow.source);
    let (plan, outward) = Builder::new(part, decoded, shared, Some(outside)).build();
    (plan.map(|plan| Body { kind, source, plan: Arc::new(plan) }), outward)
}

fn too_large(shared: &mut Shared<'_>, path: &str, at: Position) {
    let (nodes, bytes) = shared.room.most();
    let message = format!(
        "bodies have more than {nodes} values or {bytes} bytes of text, those within others counted with each"
    );
    let hint = "keep large data out of bodies: pass it as input or as items";
    shared.problems.add(path, at, "too_large", message).hint(hint);
}

fn kind_of(node: &Node) -> Option<BodyKind> {
    match &node.kind {
        Kind::Array(_) => Some(BodyKind::Steps),
        _ if node.get("type").is_some() => Some(BodyKind::Step),
        _ => node.get("steps").map(|_| BodyKind::Flow),
    }
}

fn no_body(part: Part<'_>, problems: &mut Problems) {
    let what = match part.root.kind {
        Kind::Object(_) => "a mapping with neither",
        _ => part.root.what(),
    };
    let message =
        format!("expected a step with `type`, a list of steps, or a flow with `steps`, found {what}");
    let file = matches!(&part.root.kind, Kind::Text(text) if !text.contains("{{"));
    let hint = "send the flow itself; `stepcell run` and `stepcell submit` put files in";
    let added = problems.add(part.prefix, part.root.at, "wrong_type", message);
    added.hint_with(|| file.then(|| hint.to_owned()));
}

/// What a plugin gives as a body, with its key.
fn made(source: &Value) -> Option<(BodyKind, &'static str, &Value)> {
    let entries = source.as_object().filter(|entries| entries.len() == 1)?;
    let (key, value) = entries.iter().next()?;
    match key.as_str() {
        "step" => Some((BodyKind::Step, "step", value)),
        "steps" => Some((BodyKind::Steps, "steps", value)),
        "flow" => Some((BodyKind::Flow, "flow", value)),
        _ => None,
    }
}
