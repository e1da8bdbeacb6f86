//! One step of a flow or a body.

use serde_json::Value;

use super::{
    super::{
        fields::{Field, Fields},
        node::{Kind, Node, Path},
    },
    policy, retry,
};
use crate::{
    StepId,
    flow::Step,
    grant::{self, Grant, Level},
    problem::{Position, Problems, shorten},
};

const KEYS: [&str; 10] =
    ["id", "type", "config", "after", "if", "timeout", "retry", "on_error", "limits", "grants"];

/// The id of the step that is a whole body.
const LONE: &str = "item";

/// Where the id of a step stands.
pub(super) fn id_place(step: &Node) -> Position {
    step.get("id").map_or(step.at, |entry| entry.value.at)
}

/// A step of a list.
pub(super) fn step(node: &Node, path: Path<'_>, problems: &mut Problems) -> Option<Step> {
    let fields = Fields::of(node, path, &KEYS, problems)?;
    let id =
        fields.need("id", "add a line such as `id: fetch`", problems).and_then(|field| id(field, problems));
    with_id(id, &fields, problems)
}

/// The step that is a whole body. Others can not name it, so that its id stands in no text.
pub(super) fn lone(node: &Node, path: Path<'_>, problems: &mut Problems) -> Option<Step> {
    let fields = Fields::of(node, path, &KEYS, problems)?;
    if let Some(field) = fields.get_any("id") {
        let message = "the step of a body has no `id`: it is `m[0]`, `m[1]` and so on, for the step `m`";
        problems
            .add(field.path, field.node.at, "misplaced_key", message)
            .hint("remove `id`, or write a list of steps");
    }
    with_id(StepId::new(LONE).ok(), &fields, problems)
}

/// All of a step but its id; nothing without one, though its mistakes are told.
fn with_id(id: Option<StepId>, fields: &Fields<'_, '_>, problems: &mut Problems) -> Option<Step> {
    let kind = fields.need("type", "add the step type, such as `type: transform`", problems);
    let step = Step {
        // A step whose type can not be read stays in the graph, so that those that refer to it are not blamed.
        kind: kind.and_then(|field| field.text(problems)).unwrap_or_default().to_owned(),
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
        // Last, as what comes before it is read in this order.
        id: id?,
    };
    Some(step)
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
