//! How a step is ordered, and how the flow goes on after it failed.

use super::super::{
    fields::{Field, Fields},
    node::{Kind, Node},
};
use crate::{
    StepId,
    flow::{After, OnError},
    problem::{Problems, shorten},
};

/// The longest name of a port. Bounds what `after` carries into messages and events.
const MAX_PORT_BYTES: usize = 64;

/// `after`: one entry or a list of them.
pub(super) fn after(field: Field<'_, '_>, problems: &mut Problems) -> Vec<After> {
    let mut found = Vec::new();
    match &field.node.kind {
        Kind::Text(_) => found.extend(after_entry(field, problems)),
        Kind::Array(items) => {
            for (index, node) in items.iter().enumerate() {
                let entry = after_entry(Field { node, path: field.path.index(index) }, problems);
                found.extend(entry.filter(|entry| !found.contains(entry)));
            }
        }
        _ => field.wrong_type("a step id or a list of them, such as `[fetch, large.true]`", problems),
    }
    found
}

fn after_entry(field: Field<'_, '_>, problems: &mut Problems) -> Option<After> {
    let text = field.text(problems)?;
    let (id, port) = match text.split_once('.') {
        Some((id, port)) => (id, Some(port)),
        None => (text, None),
    };
    let port_fits = port.is_none_or(|port| {
        !port.is_empty()
            && port.len() <= MAX_PORT_BYTES
            && !port.contains(|c: char| c.is_whitespace() || c.is_control())
    });
    match StepId::new(id) {
        Ok(step) if port_fits => Some(After { step, port: port.map(str::to_owned) }),
        _ => {
            let message = format!("`{}` is neither a step id nor `id.port`", shorten(text));
            problems
                .add(field.path, field.node.at, "invalid_id", message)
                .hint("such as `fetch` or `large.true`");
            None
        }
    }
}

/// `if`: a template, or `true` or `false` as such.
pub(super) fn condition(field: Field<'_, '_>, problems: &mut Problems) -> Option<String> {
    match &field.node.kind {
        Kind::Bool(value) => Some(value.to_string()),
        Kind::Text(text) if !text.trim().is_empty() => Some(text.clone()),
        Kind::Text(_) => {
            field.invalid(
                "the condition is empty",
                "write an expression, such as `if: \"{{ input.urgent }}\"`",
                problems,
            );
            None
        }
        _ => {
            field.wrong_type("an expression, such as `\"{{ input.urgent }}\"`", problems);
            None
        }
    }
}

/// `on_error`: `fail`, `continue` or `{use: value}`.
pub(super) fn on_error(field: Field<'_, '_>, problems: &mut Problems) -> OnError {
    const HINT: &str = "write `fail`, `continue`, or `{ use: value }` for an output to go on with";
    match &field.node.kind {
        Kind::Text(text) if text == "fail" => OnError::Fail,
        Kind::Text(text) if text == "continue" => OnError::Continue,
        Kind::Text(text) => {
            field.invalid(format!("`{}` is no way to go on after an error", shorten(text)), HINT, problems);
            OnError::Fail
        }
        Kind::Object(_) => replacement(field, problems),
        _ => {
            field.wrong_type("`fail`, `continue` or `{ use: value }`", problems);
            OnError::Fail
        }
    }
}

fn replacement(field: Field<'_, '_>, problems: &mut Problems) -> OnError {
    let Some(fields) = Fields::of(field.node, field.path, &["use"], problems) else { return OnError::Fail };
    let Some(value) = fields.get_any("use") else {
        problems
            .add(field.path, field.node.at, "missing_key", "`use` is missing")
            .hint("write `on_error: { use: value }`");
        return OnError::Fail;
    };
    // Resolving it could fail in its turn, with nothing left to handle that.
    if holds_template(value.node) {
        let hint = "compute it in a later step that reads `steps.ID.error`, with `on_error: continue` here";
        problems
            .add(
                value.path,
                value.node.at,
                "literal_template",
                "the value of `use` is taken as it is: no template is resolved in it",
            )
            .hint(hint);
    }
    OnError::Use(value.node.to_value())
}

fn holds_template(node: &Node) -> bool {
    match &node.kind {
        Kind::Text(text) => text.contains("{{"),
        Kind::Array(items) => items.iter().any(holds_template),
        Kind::Object(entries) => {
            entries.iter().any(|entry| entry.key == "$from" || holds_template(&entry.value))
        }
        _ => false,
    }
}
