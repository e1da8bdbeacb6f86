//! The catalog entry.

use schemars::JsonSchema;
use serde_json::{Map, Value};

use crate::{FromContext, schema};

/// What an attribute says of a step. Only the macros make one.
pub struct Meta {
    pub kind: &'static str,
    pub label: &'static str,
    pub icon: &'static str,
    pub category: &'static str,
    pub description: &'static str,
    pub context_fields: &'static [&'static str],
    pub max_output_bytes: Option<u64>,
    pub literal: &'static [(&'static str, &'static str)],
    pub deferred: &'static [&'static str],
    pub ports: &'static [&'static str],
    /// `(key, JSON text)`.
    pub matches: &'static [(&'static str, &'static str)],
    /// A JSONPath into the output.
    pub tokens: Option<&'static str>,
    /// JSON text of an array.
    pub examples: Option<&'static str>,
}

impl Meta {
    /// The whole entry. Keys without a value are left out, so that the host's defaults hold.
    pub fn describe<Config: JsonSchema, Context: FromContext, Output: JsonSchema>(&self) -> Value {
        let mut entry = Map::new();
        let mut put = |key: &str, value: Value| {
            entry.insert(key.to_owned(), value);
        };
        put("type", self.kind.into());
        put("label", self.label.into());
        put("icon", self.icon.into());
        put("category", self.category.into());
        put("description", self.description.into());
        put("config_schema", schema::config::<Config>());
        put("output_schema", schema::output::<Output>());
        put("context", Context::NEED.into());
        if let Some(bytes) = self.max_output_bytes {
            put("max_output_bytes", bytes.into());
        }
        for (key, list) in
            [("context_fields", self.context_fields), ("deferred", self.deferred), ("ports", self.ports)]
        {
            if !list.is_empty() {
                put(key, list.into());
            }
        }
        if !self.literal.is_empty() {
            let pairs = self.literal.iter().map(|(key, instead)| (*key, Value::from(*instead)));
            put("literal", pairs.collect());
        }
        if !self.matches.is_empty() {
            put("match", self.matches.iter().map(|(key, text)| (*key, parse(text))).collect());
        }
        if let Some(tokens) = self.tokens {
            put("tokens", tokens.into());
        }
        if let Some(examples) = self.examples {
            put("examples", parse(examples));
        }
        Value::Object(entry)
    }
}

/// Text that is no JSON is passed on as a string: the host refuses it by name, which tells more than a trap.
fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}
