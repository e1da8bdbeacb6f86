//! What step types are allowed, and the limits of one execution.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use stepcell_core::{flow::LimitsPatch, parse::units};
use stepcell_sandbox::grant::{Grant, HttpRule, RuleError};

use super::reader::{Reader, join};

/// `grants`: by step type.
pub(super) fn by_type(reader: &mut Reader, path: &str, value: &Value) -> BTreeMap<String, Grant> {
    let Some(types) = reader.any_object(path, value) else { return BTreeMap::new() };
    let one =
        |(kind, value): (&String, &Value)| Some((kind.clone(), grant(reader, &join(path, kind), value)?));
    types.iter().filter_map(one).collect()
}

/// `limits`: those that are set.
pub(super) fn limits(reader: &mut Reader, path: &str, value: &Value) -> LimitsPatch {
    let Some(keys) = reader.object(path, value, &["fuel", "memory", "time", "output"]) else {
        return LimitsPatch::default();
    };
    let fuel = keys
        .get("fuel")
        .and_then(|value| reader.parsed(&join(path, "fuel"), value, "an amount of fuel", units::count));
    let mut size = |key: &str| {
        let value = keys.get(key)?;
        reader.parsed(&join(path, key), value, "an amount of bytes", units::bytes)
    };
    let (memory, output) = (size("memory"), size("output"));
    let time = keys
        .get("time")
        .and_then(|value| reader.parsed(&join(path, "time"), value, "a time", units::duration));
    LimitsPatch { fuel, memory, time, output }
}

fn grant(reader: &mut Reader, path: &str, value: &Value) -> Option<Grant> {
    let keys = reader.object(path, value, &["http", "limits"])?;
    let mut grant = Grant::default();
    if let Some(value) = keys.get("http") {
        grant.http = reader.list(&join(path, "http"), value, http_rule);
    }
    if let Some(value) = keys.get("limits") {
        grant.limits = limits(reader, &join(path, "limits"), value);
    }
    Some(grant)
}

/// A URL pattern, or `{url, methods, networks}`.
fn http_rule(reader: &mut Reader, path: &str, value: &Value) -> Option<HttpRule> {
    if let Value::String(text) = value {
        return taken(reader, path, HttpRule::parse(text));
    }
    let keys = reader.object(path, value, &["url", "methods", "networks"])?;
    let Some(url) = keys.get("url") else {
        let hint = Some("write it as `{url: https://api.example.com/v1/, methods: [GET]}`".to_owned());
        reader.problem(path, "missing_key", format!("`{path}` has no `url`"), hint);
        return None;
    };
    let url = reader.text(&join(path, "url"), url)?;
    let rule = taken(reader, &join(path, "url"), HttpRule::parse(url))?;
    let rule = narrowed(reader, path, keys, "methods", rule, |rule, texts| rule.with_methods(texts))?;
    narrowed(reader, path, keys, "networks", rule, |rule, texts| rule.with_networks(texts))
}

/// Applies a list of texts to a rule, where the key is there.
fn narrowed(
    reader: &mut Reader,
    path: &str,
    keys: &Map<String, Value>,
    key: &str,
    rule: HttpRule,
    apply: impl FnOnce(HttpRule, &[&str]) -> Result<HttpRule, RuleError>,
) -> Option<HttpRule> {
    let Some(value) = keys.get(key) else { return Some(rule) };
    let path = join(path, key);
    let texts = reader.list(&path, value, |reader, path, item| reader.text(path, item));
    taken(reader, &path, apply(rule, &texts))
}

fn taken(reader: &mut Reader, path: &str, rule: Result<HttpRule, RuleError>) -> Option<HttpRule> {
    match rule {
        Ok(rule) => Some(rule),
        Err(error) => {
            reader.problem(path, "http_rule_invalid", error.to_string(), error.hint.map(str::to_owned));
            None
        }
    }
}
