//! JSON with `{{ … }}` and `{"$from": …}` in it: compiled once, resolved for every step of every run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Json;

/// A JSON value with templates in it, ready to be resolved.
#[derive(Debug)]
pub struct Template {
    json: Json,
    references: References,
}

/// What a template may name besides `input`, `steps` and `secret`, and which keys it leaves alone.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Top-level keys that are never resolved and where a template is an error; the value is the key to use
    /// instead.
    pub literal: &'a BTreeMap<String, String>,
    /// Top-level keys that stay as they are and are resolved later; what they refer to counts.
    pub deferred: &'a [String],
    /// More names that stand for a value, such as `item` and `index`.
    pub roots: &'a [&'a str],
}

/// What a template names, each with the paths where it stands, such as `headers.x` or `items[2]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Step ids as written; whether there are such steps is the caller's to check.
    pub steps: BTreeMap<String, Vec<String>>,
    /// The same for the deferred keys. They may also name steps that only exist within the key itself.
    pub deferred: BTreeMap<String, Vec<String>>,
    pub input: bool,
    pub secrets: BTreeSet<String>,
    /// Names that stand for nothing.
    pub unknown: Vec<(String, String)>,
}

/// Something wrong with a template, found before any run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateProblem {
    /// Where, within the compiled value: `url`, `headers.x`, `[2]`; empty for the value itself.
    pub path: String,
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

/// A template that gives no value in this run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}` at `{path}` gives no value: {reason}")]
pub struct TemplateError {
    pub path: String,
    pub expression: String,
    pub reason: String,
    pub hint: Option<String>,
}

/// The outputs that a template may read.
pub trait Steps {
    /// What the step gave; none where it did not run or there is no such step.
    fn output(&self, id: &str) -> Option<Json>;
    /// The steps that have an output, for the message about one that has none.
    fn names(&self) -> Vec<String>;
}

/// What the names in a template stand for.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub input: &'a Json,
    pub steps: &'a dyn Steps,
    /// Values of the extra roots, and of `secret` where there are secrets.
    pub extra: &'a [(&'a str, Json)],
}

impl Template {
    /// Compiles every string and `$from` of `value`; finds all problems at once.
    pub fn compile(value: &Value, _options: &Options<'_>) -> Result<Self, Vec<TemplateProblem>> {
        Ok(Self { json: Json::from(value.clone()), references: References::default() })
    }

    /// Compiles an `if`: one expression, with or without `{{ }}` around it.
    pub fn compile_condition(text: &str) -> Result<Self, Vec<TemplateProblem>> {
        Ok(Self { json: Json::from(Value::from(text)), references: References::default() })
    }

    /// What it names.
    pub fn references(&self) -> &References {
        &self.references
    }

    /// Whether it gives the same value in every run.
    pub fn is_static(&self) -> bool {
        true
    }

    /// The value in this run.
    pub fn resolve(&self, _scope: &Scope<'_>) -> Result<Json, TemplateError> {
        Ok(self.json.clone())
    }
}

/// Whether a value counts as true: all but `false`, `null`, zero, and the empty string, list and map.
pub fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
    }
}
