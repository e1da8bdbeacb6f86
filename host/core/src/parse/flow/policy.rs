//! How a step is ordered, tried again and limited.

use std::time::Duration;

use super::super::{
    join,
    fields::{Field, Fields},
    node::{Kind, Node},
    units,
};
use crate::{
    Budget, StepId,
    grant::{Grant, Level},
    flow::{After, LimitsPatch, MAX_ATTEMPTS, MAX_RETRY_FACTOR, OnError, Retry},
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

/// `timeout`: of one attempt.
pub(super) fn timeout(field: Field<'_, '_>, problems: &mut Problems) -> Option<Duration> {
    let duration = duration(field, problems)?;
    if duration < Duration::from_millis(1) {
        field.invalid(
            "the time must be at least `1ms`",
            "leave it out for the limit that holds anyway",
            problems,
        );
        return None;
    }
    Some(duration)
}

/// `retry`, with what is left out by default.
pub(super) fn retry(field: Field<'_, '_>, problems: &mut Problems) -> Retry {
    const KEYS: [&str; 5] = ["max_attempts", "initial", "factor", "max", "jitter"];
    let default = Retry::default();
    let Some(fields) = Fields::of(field.node, field.path, &KEYS, problems) else { return default };
    let attempts = fields.need("max_attempts", "add `max_attempts: 3`; the first attempt counts", problems);
    let initial = fields.get("initial").and_then(|field| duration(field, problems));
    let max = fields.get("max").and_then(|field| duration(field, problems));
    if let (Some(initial), Some(max)) = (initial, max)
        && initial > max
    {
        field.invalid("`initial` is longer than `max`", "`max` bounds every wait between attempts", problems);
    }
    let initial = initial.unwrap_or(default.initial);
    Retry {
        max_attempts: attempts
            .and_then(|field| max_attempts(field, problems))
            .unwrap_or(default.max_attempts),
        initial,
        factor: fields.get("factor").and_then(|field| factor(field, problems)).unwrap_or(default.factor),
        max: max.unwrap_or(default.max.max(initial)),
        jitter: fields.get("jitter").and_then(|field| field.bool(problems)).unwrap_or(default.jitter),
    }
}

fn max_attempts(field: Field<'_, '_>, problems: &mut Problems) -> Option<u32> {
    let number = match &field.node.kind {
        Kind::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        _ => None,
    };
    let fits = number.filter(|number| (1..=MAX_ATTEMPTS).contains(number));
    if fits.is_none() {
        let message = format!("`max_attempts` must be a whole number from 1 to {MAX_ATTEMPTS}");
        field.invalid(message, "1 tries once, without a retry", problems);
    }
    fits
}

fn factor(field: Field<'_, '_>, problems: &mut Problems) -> Option<f64> {
    let number = match &field.node.kind {
        Kind::Number(number) => number.as_f64(),
        _ => None,
    };
    let fits = number.filter(|number| (1.0..=MAX_RETRY_FACTOR).contains(number));
    if fits.is_none() {
        let message = format!("`factor` must be a number from 1 to {MAX_RETRY_FACTOR}");
        field.invalid(message, "2 doubles the wait after each attempt", problems);
    }
    fits
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

/// `limits` of a flow or a step.
pub(super) fn limits(field: Field<'_, '_>, problems: &mut Problems) -> LimitsPatch {
    const KEYS: [&str; 7] = ["fuel", "memory", "time", "output", "request", "response", "requests"];
    let Some(fields) = Fields::of(field.node, field.path, &KEYS, problems) else {
        return LimitsPatch::default();
    };
    LimitsPatch {
        fuel: fields.get("fuel").and_then(|field| amount(field, units::count, problems)),
        memory: fields.get("memory").and_then(|field| amount(field, units::bytes, problems)),
        time: fields.get("time").and_then(|field| timeout(field, problems)),
        output: fields.get("output").and_then(|field| amount(field, units::bytes, problems)),
        request: fields.get("request").and_then(|field| amount(field, units::bytes, problems)),
        response: fields.get("response").and_then(|field| amount(field, units::bytes, problems)),
        requests: fields.get("requests").and_then(|field| amount(field, units::count, problems)),
    }
}

/// `grants` of a flow or a step.
pub(super) fn grants(field: Field<'_, '_>, problems: &mut Problems) -> Grant {
    let (grant, found) = Grant::read(&field.node.to_value(), Level::Narrowing);
    for problem in found {
        let path = join(&field.path.to_string(), &problem.path);
        let added = problems.add(path, field.node.at, problem.code, problem.message);
        if let Some(hint) = &problem.hint {
            added.hint(hint);
        }
    }
    grant
}

/// `budget` of a flow: what one run of it may use.
pub(super) fn budget(field: Field<'_, '_>, problems: &mut Problems) -> Budget {
    const KEYS: [&str; 5] = ["fuel", "requests", "bytes", "rows", "tokens"];
    let Some(fields) = Fields::of(field.node, field.path, &KEYS, problems) else { return Budget::default() };
    let mut count = |key| fields.get(key).and_then(|field| amount(field, units::count, problems));
    let (fuel, requests, rows, tokens) = (count("fuel"), count("requests"), count("rows"), count("tokens"));
    let bytes = fields.get("bytes").and_then(|field| amount(field, units::bytes, problems));
    Budget { fuel, requests, bytes, rows, tokens }
}

fn amount(
    field: Field<'_, '_>,
    read: fn(&str) -> Result<u64, String>,
    problems: &mut Problems,
) -> Option<u64> {
    let text = match &field.node.kind {
        Kind::Number(number) => number.to_string(),
        Kind::Text(text) => text.clone(),
        _ => {
            field.wrong_type("an amount", problems);
            return None;
        }
    };
    match read(&text) {
        Ok(0) => {
            field.invalid(
                "a limit of 0 lets nothing run",
                "leave it out for the limit that holds anyway",
                problems,
            );
            None
        }
        Ok(amount) => Some(amount),
        Err(hint) => {
            field.invalid(format!("`{}` is no amount", shorten(&text)), &hint, problems);
            None
        }
    }
}

fn duration(field: Field<'_, '_>, problems: &mut Problems) -> Option<Duration> {
    let text = match &field.node.kind {
        Kind::Number(number) => number.to_string(),
        Kind::Text(text) => text.clone(),
        _ => {
            field.wrong_type("a time such as `10s`", problems);
            return None;
        }
    };
    match units::duration(&text) {
        Ok(duration) => Some(duration),
        Err(hint) => {
            field.invalid(format!("`{}` is no time", shorten(&text)), &hint, problems);
            None
        }
    }
}
