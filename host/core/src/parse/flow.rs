//! The tree of a flow to its model.

use std::time::Duration;

use indexmap::{IndexMap, map::Entry};
use serde_json::Value;

use super::{
    fields::{Field, Fields},
    node::{Kind, Node, Path},
};
use crate::{
    Budget, Flow, StepId,
    flow::{LimitsPatch, MAX_CONCURRENCY, MAX_STEPS, MIN_DEADLINE, Step},
    grant::{self, Grant, Level},
    problem::{Position, Problems, shorten},
};

mod policy;
mod retry;

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
const STEP_KEYS: [&str; 10] =
    ["id", "type", "config", "after", "if", "timeout", "retry", "on_error", "limits", "grants"];

/// The longest name of a flow, in characters. Names stand in lists and addresses.
pub(super) const MAX_NAME_CHARS: usize = 128;

pub(super) struct Decoded {
    pub(super) flow: Flow,
    /// Ids of steps that are not in the flow, since they could not be read.
    pub(super) unread: Vec<String>,
    /// Where each step of the flow stands in the list of the text.
    pub(super) places: Vec<usize>,
}

/// Makes the flow as far as it can be read; the rest is among the problems.
pub(super) fn decode(root: &Node, prefix: &str, problems: &mut Problems) -> Decoded {
    let mut flow = Flow {
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
    let (mut unread, mut places) = (Vec::new(), Vec::new());
    let Some(fields) = Fields::of(root, Path::Root(prefix), &FLOW_KEYS, problems) else {
        return Decoded { flow, unread, places };
    };
    let name = fields.need("name", "add a line such as `name: order-intake`", problems);
    flow.name = name.and_then(|field| self::name(field, problems)).unwrap_or_default();
    flow.description = fields.get("description").and_then(|field| field.text(problems)).map(str::to_owned);
    flow.input = fields.get("input").and_then(|field| input(field, problems));
    flow.output = fields.get_any("output").map(|field| field.node.to_value());
    flow.limits = fields.get("limits").map(|field| grant::limits(field, problems)).unwrap_or_default();
    flow.grants = fields
        .get("grants")
        .map(|field| Grant::read_field(field, Level::Narrowing, problems))
        .unwrap_or_default();
    flow.budget = fields.get("budget").map(|field| grant::budget(field, problems)).unwrap_or_default();
    flow.deadline = fields.get("deadline").and_then(|field| deadline(field, problems));
    flow.concurrency = fields.get("concurrency").and_then(|field| {
        field.whole(1..=MAX_CONCURRENCY, "leave it out for as many as the host lets run", problems)
    });
    if let Some(field) = fields.need("steps", "add `steps:` with at least one `- id: …`", problems) {
        flow.steps = steps(field, &mut unread, &mut places, problems);
    }
    Decoded { flow, unread, places }
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

fn steps(
    field: Field<'_, '_>,
    unread: &mut Vec<String>,
    places: &mut Vec<usize>,
    problems: &mut Problems,
) -> IndexMap<StepId, Step> {
    let mut steps = IndexMap::new();
    let Kind::Array(items) = &field.node.kind else {
        field.wrong_type("a list of steps, each beginning with `- id: …`", problems);
        return steps;
    };
    if items.is_empty() {
        field.invalid("a flow has at least one step", "add `- id: …` under `steps`", problems);
    }
    if items.len() > MAX_STEPS {
        let message = format!("{} steps, the limit is {MAX_STEPS}", items.len());
        problems
            .add(field.path, field.node.at, "too_large", message)
            .hint("use `for_each` over a list, or split the flow");
        return steps;
    }
    for (index, item) in items.iter().enumerate() {
        let path = field.path.index(index);
        let Some(step) = step(item, path, problems) else {
            unread.extend(item.get("id").and_then(|entry| match &entry.value.kind {
                Kind::Text(id) => Some(id.clone()),
                _ => None,
            }));
            continue;
        };
        match steps.entry(step.id.clone()) {
            Entry::Vacant(slot) => {
                slot.insert(step);
                places.push(index);
            }
            Entry::Occupied(slot) => {
                let first = places
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
    steps
}

fn id_place(step: &Node) -> Position {
    step.get("id").map_or(step.at, |entry| entry.value.at)
}

fn step(node: &Node, path: Path<'_>, problems: &mut Problems) -> Option<Step> {
    let fields = Fields::of(node, path, &STEP_KEYS, problems)?;
    let id =
        fields.need("id", "add a line such as `id: fetch`", problems).and_then(|field| id(field, problems));
    let kind = fields.need("type", "add the step type, such as `type: transform`", problems);
    // A step whose type can not be read stays in the graph, so that those that refer to it are not blamed.
    let kind = kind.and_then(|field| field.text(problems)).unwrap_or_default().to_owned();
    let step = Step {
        id: StepId::new("_").ok()?,
        kind,
        config: fields.get("config").map_or_else(empty_config, |field| config(field, problems)),
        after: fields.get("after").map(|field| policy::after(field, problems)).unwrap_or_default(),
        condition: fields.get("if").and_then(|field| policy::condition(field, problems)),
        timeout: fields.get("timeout").and_then(|field| field.timeout(problems)),
        retry: fields.get("retry").map(|field| retry::retry(field, problems)).unwrap_or_default(),
        on_error: fields.get("on_error").map(|field| policy::on_error(field, problems)).unwrap_or_default(),
        limits: fields.get("limits").map(|field| grant::limits(field, problems)).unwrap_or_default(),
        grants: fields
            .get("grants")
            .map(|field| Grant::read_field(field, Level::Narrowing, problems))
            .unwrap_or_default(),
    };
    Some(Step { id: id?, ..step })
}

fn id(field: Field<'_, '_>, problems: &mut Problems) -> Option<StepId> {
    let text = field.text(problems)?;
    match StepId::new(text) {
        Ok(id) => Some(id),
        Err(_) => {
            let message = format!("`{}` is no step id", shorten(text));
            let hint = "use letters, digits and `_`, not beginning with a digit, 64 characters at most";
            problems.add(field.path, field.node.at, "invalid_id", message).hint(hint);
            None
        }
    }
}

fn config(field: Field<'_, '_>, problems: &mut Problems) -> Value {
    match field.node.kind {
        Kind::Object(_) => field.node.to_value(),
        _ => {
            field.wrong_type("a mapping", problems);
            empty_config()
        }
    }
}

fn empty_config() -> Value {
    Value::Object(serde_json::Map::new())
}
