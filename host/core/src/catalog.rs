//! What the plugins say of themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Digest;

/// How much of the context the host hands to a cell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextNeed {
    /// Only `step`.
    None,
    /// `input` and `step`.
    Input,
    /// Also the outputs of all ancestors.
    #[default]
    Full,
}

/// A catalog entry, as `describe` gives it. Unknown keys are an error: a typo would else be a silent default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Describe {
    #[serde(rename = "type")]
    pub kind: String,
    pub label: String,
    pub icon: String,
    pub category: String,
    pub description: String,
    /// JSON Schema 2020-12 of `config`.
    pub config_schema: Value,
    /// JSON Schema 2020-12 of the output.
    #[serde(default)]
    pub output_schema: Value,
    #[serde(default)]
    pub context: ContextNeed,
    /// Keys of the output that cells see where the whole is over `max_output_bytes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context_fields: Vec<String>,
    #[serde(default = "default_max_output_bytes")]
    pub max_output_bytes: u64,
    /// Config keys that are never resolved and where a template is an error; the value is the key to use instead.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub literal: BTreeMap<String, String>,
    /// Config keys that the engine resolves later, for each item.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deferred: Vec<String>,
    /// The ports of a branching step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Config keys and the values for which this component serves the type; empty: for all.
    #[serde(default, rename = "match", skip_serializing_if = "BTreeMap::is_empty")]
    pub matches: BTreeMap<String, Value>,
    /// Where the output says how many tokens of a language model were used: a JSONPath such as
    /// `$.usage.total_tokens`. Counted against the run's budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Value>,
}

impl Describe {
    /// Whether `tokens` is a path; the error is why not.
    pub fn check_tokens(&self) -> Result<(), String> {
        let parsed = self.tokens.as_deref().map(serde_json_path::JsonPath::parse).transpose();
        parsed.map(|_| ()).map_err(|error| error.to_string())
    }

    /// How many tokens of a language model an output says were used: all numbers that `tokens` finds, together.
    pub fn tokens_in(&self, output: &Value) -> u64 {
        // A path that does not parse was refused when the plugin was loaded.
        let path = self.tokens.as_deref().and_then(|path| serde_json_path::JsonPath::parse(path).ok());
        let found = path.map(|path| path.query(output).all()).unwrap_or_default();
        found.into_iter().filter_map(Value::as_u64).fold(0, u64::saturating_add)
    }
}

/// An output larger than this is kept as a blob, unless the plugin says otherwise.
pub const DEFAULT_MAX_OUTPUT_BYTES: u64 = 100_000;

fn default_max_output_bytes() -> u64 {
    DEFAULT_MAX_OUTPUT_BYTES
}

/// One component that serves a step type.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    /// The file's name within its folder.
    pub file: String,
    pub digest: Digest,
    pub describe: Arc<Describe>,
    /// It imports no capability: its result may be recomputed.
    pub pure_step: bool,
    /// It exports `control`, not `handler`.
    pub control: bool,
}

/// A step type with every component that serves it, most specific match first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepType {
    pub providers: Vec<Arc<Provider>>,
}

impl StepType {
    /// The component for a resolved config: the first whose `match` fits. A key that the config leaves out
    /// has the `default` of the config schema.
    pub fn route(&self, config: &Value) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|provider| {
            provider.describe.matches.iter().all(|(key, wanted)| {
                let given = config.get(key).or_else(|| default_of(&provider.describe.config_schema, key));
                given == Some(wanted)
            })
        })
    }
}

/// The value that a config schema gives a key by default.
pub(crate) fn default_of<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    schema.get("properties")?.get(key)?.get("default")
}

/// All step types of a moment. A snapshot: replacing a file makes a new one.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pub types: IndexMap<String, StepType>,
    /// The folders that were searched, for the message about an unknown type.
    pub folders: Vec<String>,
    /// Files that are not looked into yet: one of them may provide a type that is unknown now.
    pub loading: Vec<String>,
    /// Names of the secrets in the config. A flow that asks for another one is refused.
    pub secrets: BTreeSet<String>,
}
