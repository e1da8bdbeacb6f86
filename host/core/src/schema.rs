//! JSON Schema 2020-12, for configs and inputs.
//!
//! Schemas come from plugins and flows, so that neither may hurt the host: nothing is fetched, patterns run in
//! linear time, and what a check may cost is estimated before it is made (see `cost`). References stay within
//! the schema: `#`, `#/$defs/x` and `#anchor`.

use std::fmt::Write as _;

use jsonschema::{
    Draft, PatternOptions, ValidationError, Validator, error::ValidationErrorKind, paths::Location,
};
use serde_json::Value;

use crate::problem::shorten;

mod cost;

use cost::Cost;

/// The most errors that one check lists. Protects an answer from a list with the same mistake in every item.
pub const MAX_ERRORS: usize = 20;

/// The most memory, in bytes, that one pattern may take when compiled, and again when run.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// A compiled schema.
pub struct Schema {
    validator: Validator,
    cost: Cost,
}

/// Why a value does not fit a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaError {
    /// Within the value: `headers.accept`, `items[2]`; empty for the value itself.
    pub path: String,
    pub message: String,
    pub kind: SchemaErrorKind,
    /// It holds only under another part of the value: a branch of `anyOf`, `if` or the like was taken.
    pub(crate) conditional: bool,
}

/// What a caller may want to say in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaErrorKind {
    /// The key of this name is not there; `path` is that of the mapping.
    Missing(String),
    /// The key of this name is not known; `path` is that of the key.
    Unknown(String),
    Other,
}

/// A schema that can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidSchema {
    /// Within the schema: `properties.id`.
    pub path: String,
    pub message: String,
}

impl Schema {
    /// Compiles a schema. Refuses one that refers outside itself, or that would cost too much to check with.
    pub fn compile(schema: &Value) -> Result<Self, InvalidSchema> {
        let cost = Cost::of(schema)?;
        let patterns =
            PatternOptions::regex().size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES);
        let options =
            jsonschema::options().with_draft(Draft::Draft202012).offline().with_pattern_options(patterns);
        let validator = options.build(schema).map_err(|error| InvalidSchema {
            path: path_of(error.instance_path(), schema),
            message: message(&error),
        })?;
        Ok(Self { validator, cost })
    }

    /// Why `value` does not fit: at most [`MAX_ERRORS`] reasons, none where it fits. A value so large that
    /// listing reasons could take long gets one reason only.
    pub fn check(&self, value: &Value) -> Vec<SchemaError> {
        let size = cost::Size::of(value);
        if !self.cost.can_check(size) {
            return vec![whole("too large for its schema to be checked")];
        }
        if self.validator.is_valid(value) {
            return Vec::new();
        }
        if !self.cost.can_list(size) {
            return vec![whole("it does not fit its schema; it is too large for the place to be told")];
        }
        self.validator.iter_errors(value).flat_map(|error| errors(&error, value)).take(MAX_ERRORS).collect()
    }
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schema").field("cost", &self.cost).finish_non_exhaustive()
    }
}

fn whole(message: &str) -> SchemaError {
    SchemaError {
        path: String::new(),
        message: message.to_owned(),
        kind: SchemaErrorKind::Other,
        conditional: false,
    }
}

/// One error of the library as one of ours for each key that it is about.
fn errors(error: &ValidationError<'_>, value: &Value) -> Vec<SchemaError> {
    let path = path_of(error.instance_path(), value);
    let conditional = error.evaluation_path().segments().any(|segment| {
        let keyword = segment.to_string();
        matches!(
            keyword.as_str(),
            "if" | "then" | "else" | "anyOf" | "oneOf" | "not" | "dependentSchemas" | "dependentRequired"
        )
    });
    let one = |path, message, kind| SchemaError { path, message, kind, conditional };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let of_key = |key: &String| {
                let message = format!("unknown key `{}`", shorten(key));
                one(crate::parse::join(&path, key), message, SchemaErrorKind::Unknown(key.clone()))
            };
            unexpected.iter().map(of_key).collect()
        }
        ValidationErrorKind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            let message = format!("`{}` is missing", shorten(key));
            vec![one(path, message, SchemaErrorKind::Missing(key.to_owned()))]
        }
        _ => vec![one(path, message(error), SchemaErrorKind::Other)],
    }
}

/// The library's words about the value, which is cut: it may be large.
fn message(error: &ValidationError<'_>) -> String {
    const MOST: usize = 300;
    const MOST_OPTIONS: usize = 20;
    let mut shown = String::new();
    let value = match &**error.instance() {
        Value::Object(_) => "the mapping".to_owned(),
        Value::Array(_) => "the list".to_owned(),
        Value::String(text) => format!("`{}`", shorten(text)),
        other => format!("`{other}`"),
    };
    // The library names the first two of them only.
    let options = match error.kind() {
        ValidationErrorKind::Enum { options } => options.as_array().filter(|all| all.len() <= MOST_OPTIONS),
        _ => None,
    };
    let _ = match options {
        Some(options) => {
            let options: Vec<String> = options.iter().map(|option| format!("`{}`", plain(option))).collect();
            write!(shown, "{value} is not one of {}", options.join(", "))
        }
        None => write!(shown, "{}", error.masked_with(value)),
    };
    match shown.char_indices().nth(MOST) {
        None => shown,
        Some((end, _)) => format!("{}…", shown.get(..end).unwrap_or_default()),
    }
}

fn plain(option: &Value) -> String {
    option.as_str().map_or_else(|| option.to_string(), str::to_owned)
}

/// A JSON Pointer in our way of writing; the value tells lists from mappings with keys of digits.
fn path_of(location: &Location, value: &Value) -> String {
    let mut path = String::new();
    let mut at = Some(value);
    for segment in location.segments() {
        let key = segment.to_string();
        match (at, key.parse::<usize>()) {
            (Some(Value::Array(items)), Ok(index)) => {
                let _ = write!(path, "[{index}]");
                at = items.get(index);
            }
            _ => {
                path = crate::parse::join(&path, &key);
                at = at.and_then(|value| value.get(key.as_str()));
            }
        }
    }
    path
}

#[cfg(test)]
mod tests;
