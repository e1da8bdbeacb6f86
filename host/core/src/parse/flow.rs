//! The tree of a flow to its model.

use std::time::Duration;

use indexmap::{IndexMap, map::Entry};
use serde_json::Value;

use super::{
    fields::{Field, Fields},
    node::{Kind, Node, Path},
};
use crate::{
    Budget, Flow,
    flow::{BodyKind, LimitsPatch, MAX_CONCURRENCY, MAX_STEPS, MIN_DEADLINE},
    grant::{self, Grant, Level},
    problem::{Problems, shorten},
};

mod policy;
mod retry;
mod step;

use step::{id_place, step};

const FLOW_KEYS: [&str; 10] = [
    "name",
    "description",
    "input",
    "steps",
    "output",
    "limits",
    "grants",
    "budget",
    "deadline",
    "concurrency",
];

/// The longest name of a flow, in characters. Names stand in lists and addresses.
pub(super) const MAX_NAME_CHARS: usize = 128;

/// A flow or the body of a fan-out as far as it could be read.
pub(crate) struct Decoded {
    pub(crate) kind: BodyKind,
    /// Of a body that is no flow, the steps alone say something.
    pub(crate) flow: Flow,
    /// Ids of steps that are not in the flow, since they could not be read; others may still refer to them.
    pub(crate) unread: Vec<String>,
    /// Where each step of the flow stands in the list of the text.
    pub(super) places: Vec<usize>,
}

impl Decoded {
    fn empty(kind: BodyKind, root: &Node) -> Self {
        let flow = Flow {
            name: String::new(),
            description: None,
            input: None,
            steps: IndexMap::new(),
            output: None,
            limits: LimitsPatch::default(),
            grants: Grant::default(),
            budget: Budget::default(),
            deadline: None,
            concurrency: None,
            source: root.to_value(),
        };
        Self { kind, flow, unread: Vec::new(), places: Vec::new() }
    }

    /// The path of a step: a step that could not be read has a place in the text and none in the flow.
    pub(crate) fn step_path(&self, index: usize) -> String {
        let place = self.places.get(index).copied().unwrap_or(index);
        match self.kind {
            BodyKind::Step => String::new(),
            BodyKind::Steps => format!("[{place}]"),
            BodyKind::Flow => format!("steps[{place}]"),
        }
    }

    /// The text of a step, within that of the whole.
    pub(crate) fn step_node<'n>(&self, root: &'n Node, index: usize) -> Option<&'n Node> {
        let list = match self.kind {
            BodyKind::Step => return Some(root),
            BodyKind::Steps => root,
            BodyKind::Flow => &root.get("steps")?.value,
        };
        match &list.kind {
            Kind::Array(items) => items.get(*self.places.get(index)?),
            _ => None,
        }
    }
}

/// Makes the flow as far as it can be read; the rest is among the problems.
pub(super) fn decode(root: &Node, prefix: &str, problems: &mut Problems) -> Decoded {
    let mut decoded = Decoded::empty(BodyKind::Flow, root);
    let Some(fields) = Fields::of(root, Path::Root(prefix), &FLOW_KEYS, problems) else { return decoded };
    let name = fields.need("name", "add a line such as `name: order-intake`", problems);
    let flow = &mut decoded.flow;
    flow.name = name.and_then(|field| self::name(field, problems)).unwrap_or_default();
    flow.budget = fields.get("budget").map(|field| grant::budget(field, problems)).unwrap_or_default();
    flow.deadline = fields.get("deadline").and_then(|field| deadline(field, problems));
    flow.concurrency = fields.get("concurrency").and_then(|field| {
        field.whole(1..=MAX_CONCURRENCY, "leave it out for as many as the host lets run", problems)
    });
    common(&mut decoded, &fields, problems);
    decoded
}

/// The same for the body of a fan-out, whose keys were checked with the text around it.
pub(crate) fn decode_body(kind: BodyKind, root: &Node, prefix: &str, problems: &mut Problems) -> Decoded {
    let mut decoded = Decoded::empty(kind, root);
    let path = Path::Root(prefix);
    match kind {
        BodyKind::Step => {
            if let Some(step) = step::lone(root, path, problems) {
                decoded.flow.steps.insert(step.id.clone(), step);
                decoded.places.push(0);
            }
        }
        BodyKind::Steps => steps(Field { node: root, path }, &mut decoded, problems),
        BodyKind::Flow => {
            let Some(fields) = Fields::of(root, path, &FLOW_KEYS, problems) else { return decoded };
            decoded.flow.name =
                fields.get("name").and_then(|field| name(field, problems)).unwrap_or_default();
            for field in ["budget", "deadline", "concurrency"].iter().filter_map(|key| fields.get(key)) {
                of_the_run(field, problems);
            }
            common(&mut decoded, &fields, problems);
        }
    }
    decoded
}

/// What a flow and one within another have both.
fn common(decoded: &mut Decoded, fields: &Fields<'_, '_>, problems: &mut Problems) {
    let flow = &mut decoded.flow;
    flow.description = fields.get("description").and_then(|field| field.text(problems)).map(str::to_owned);
    flow.input = fields.get("input").and_then(|field| input(field, problems));
    flow.output = fields.get_any("output").map(|field| field.node.to_value());
    flow.limits = fields.get("limits").map(|field| grant::limits(field, problems)).unwrap_or_default();
    flow.grants = fields
        .get("grants")
        .map(|field| Grant::read_field(field, Level::Narrowing, problems))
        .unwrap_or_default();
    if let Some(field) = fields.need("steps", "add `steps:` with at least one `- id: …`", problems) {
        steps(field, decoded, problems);
    }
}

fn of_the_run(field: Field<'_, '_>, problems: &mut Problems) {
    let key = field.path.name().unwrap_or("it");
    let message = format!("`{key}` is for a run as a whole, and this flow is a part of one");
    problems
        .add(field.path, field.node.at, "misplaced_key", message)
        .hint(format!("put `{key}` into the flow around it"));
}

fn name(field: Field<'_, '_>, problems: &mut Problems) -> Option<String> {
    let text = field.text(problems)?;
    let plain = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' '));
    let fits = !text.is_empty() && text.chars().count() <= MAX_NAME_CHARS && text.trim() == text;
    if plain && fits && !text.starts_with('.') {
        return Some(text.to_owned());
    }
    let message = format!("`{}` is no name for a flow", shorten(text));
    let hint =
        format!("use letters, digits, `-`, `_`, `.` and spaces inside, {MAX_NAME_CHARS} characters at most");
    problems.add(field.path, field.node.at, "invalid_name", message).hint(hint);
    None
}

fn deadline(field: Field<'_, '_>, problems: &mut Problems) -> Option<Duration> {
    let deadline = field.duration(problems)?;
    if deadline < MIN_DEADLINE {
        field.invalid("the deadline of a run must be at least `1s`", "leave it out for none", problems);
        return None;
    }
    Some(deadline)
}

/// Whether it is a schema is for the plan to say; here only that it can be one.
fn input(field: Field<'_, '_>, problems: &mut Problems) -> Option<Value> {
    match field.node.kind {
        Kind::Object(_) | Kind::Bool(_) => Some(field.node.to_value()),
        _ => {
            field.wrong_type("a JSON Schema such as `{ type: object, required: [id] }`", problems);
            None
        }
    }
}

fn steps(field: Field<'_, '_>, decoded: &mut Decoded, problems: &mut Problems) {
    let Kind::Array(items) = &field.node.kind else {
        field.wrong_type("a list of steps, each beginning with `- id: …`", problems);
        return;
    };
    if items.is_empty() {
        let (whole, hint) = match decoded.kind {
            BodyKind::Flow => ("a flow", "add `- id: …` under `steps`"),
            BodyKind::Step | BodyKind::Steps => ("a body", "add `- id: …` to the list"),
        };
        field.invalid(format!("{whole} has at least one step"), hint, problems);
    }
    if items.len() > MAX_STEPS {
        let message = format!("{} steps, the limit is {MAX_STEPS}", items.len());
        problems
            .add(field.path, field.node.at, "too_large", message)
            .hint("use `for_each` over a list, or split the flow");
        return;
    }
    for (index, item) in items.iter().enumerate() {
        let path = field.path.index(index);
        let Some(step) = step(item, path, problems) else {
            decoded.unread.extend(item.get("id").and_then(|entry| match &entry.value.kind {
                Kind::Text(id) => Some(id.clone()),
                _ => None,
            }));
            continue;
        };
        match decoded.flow.steps.entry(step.id.clone()) {
            Entry::Vacant(slot) => {
                slot.insert(step);
                decoded.places.push(index);
            }
            Entry::Occupied(slot) => {
                let first = decoded
                    .places
                    .get(slot.index())
                    .and_then(|place| items.get(*place))
                    .map_or(0, |item| id_place(item).line);
                let message = format!("step `{}` is already there, on line {first}", slot.key());
                let at = id_place(item);
                problems
                    .add(path.key("id"), at, "duplicate_step", message)
                    .hint("give each step an id of its own");
            }
        }
    }
}
