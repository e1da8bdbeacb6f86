//! A step's config against the schema of the plugin that serves it, before any value is known.

use std::sync::Arc;

use serde_json::Value;

use super::{Builder, builder::Shared};
use crate::{
    catalog::Provider,
    flow::Step,
    parse::join,
    problem::{listed, nearest, shorten},
    schema::{Schema, SchemaError, SchemaErrorKind},
};

impl Builder<'_, '_> {
    /// Reports what can not fit whatever the templates give. Where several plugins may serve the step, one that
    /// fits is enough.
    pub(super) fn config_fits(&mut self, step: &Step, path: &str, providers: &[Arc<Provider>]) {
        let mut first = None;
        for provider in providers {
            let errors = self.config_errors(provider, &step.config);
            if errors.is_empty() {
                return;
            }
            first.get_or_insert((provider, errors));
        }
        if let Some((provider, errors)) = first {
            for error in errors {
                self.config_error(&error, step, path, provider);
            }
        }
    }

    fn config_errors(&mut self, provider: &Provider, config: &Value) -> Vec<SchemaError> {
        let Shared { lent, schemas, .. } = &mut *self.shared;
        let lent = lent.and_then(|lent| lent.get(&provider.digest));
        let compile = || Schema::compile(&provider.describe.config_schema).ok();
        let schema = lent.or_else(|| schemas.entry(provider.digest).or_insert_with(compile).as_ref());
        let Some(schema) = schema else { return Vec::new() };
        let mut errors = schema.check(config);
        errors.retain(|error| is_certain(error, config));
        errors
    }

    fn config_error(&mut self, error: &SchemaError, step: &Step, path: &str, provider: &Provider) {
        let place = join(path, &error.path);
        let properties = provider.describe.config_schema.get("properties").and_then(Value::as_object);
        let top_level = |path: &str, key: &str| path.len() == key.len();
        match &error.kind {
            SchemaErrorKind::Missing(key) => {
                let message = format!("`{}` is missing: `{}` needs it", shorten(key), step.kind);
                let property = properties.filter(|_| error.path.is_empty()).and_then(|all| all.get(key));
                self.report_with(&place, "missing_key", message, || description(property));
            }
            SchemaErrorKind::Unknown(key) => {
                let known: Vec<&str> = properties
                    .filter(|_| top_level(&error.path, key))
                    .map(|all| all.keys().map(String::as_str).collect())
                    .unwrap_or_default();
                let message = format!("unknown key `{}` in the config of `{}`", shorten(key), step.kind);
                let mapping =
                    place.strip_suffix(key.as_str()).map(|place| place.trim_end_matches('.')).unwrap_or(path);
                let at = self.part.locate_key(mapping, key);
                let hint = || match nearest(key, known.iter().copied()) {
                    Some(near) => Some(format!("did you mean `{near}`?")),
                    None if known.is_empty() => None,
                    None => Some(format!("known keys here: {}", listed(known.iter().copied()))),
                };
                self.shared
                    .problems
                    .add(self.part.full_path(&place), at, "unknown_key", message)
                    .hint_with(hint);
            }
            SchemaErrorKind::Other => self.report(&place, "config_invalid", error.message.clone()),
        }
    }
}

/// Whether an error holds whatever the templates give.
fn is_certain(error: &SchemaError, config: &Value) -> bool {
    let Some(value) = known_at(config, &error.path) else { return false };
    match &error.kind {
        // Keys are never templates: a missing or unknown one stays so, unless the branch of the schema that
        // asks for it depends on a value.
        SchemaErrorKind::Missing(_) | SchemaErrorKind::Unknown(_) if !error.conditional => true,
        _ if error.conditional => !holds_template(config),
        _ => !holds_template(value),
    }
}

/// Whether the value is known only in a run. Text with braces that turns out to be none costs a check here,
/// which the engine makes again before the step starts.
pub(super) fn holds_template(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("{{"),
        Value::Array(items) => items.iter().any(holds_template),
        Value::Object(map) => map.contains_key("$from") || map.values().any(holds_template),
        _ => false,
    }
}

/// The value at a path as [`SchemaError`] writes it; none where a `$from` stands for it or for a parent.
fn known_at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    if value.get("$from").is_some() {
        return None;
    }
    if path.is_empty() {
        return Some(value);
    }
    match value {
        Value::Array(items) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            known_at(items.get(index.parse::<usize>().ok()?)?, rest)
        }
        Value::Object(map) => {
            let path = path.strip_prefix('.').unwrap_or(path);
            let fits = |key: &&String| {
                path.strip_prefix(key.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            let key = map.keys().filter(fits).max_by_key(|key| key.len())?;
            known_at(map.get(key)?, path.get(key.len()..)?)
        }
        _ => None,
    }
}

fn description(property: Option<&Value>) -> Option<String> {
    let text = property?.get("description")?.as_str()?;
    Some(shorten(text))
}
