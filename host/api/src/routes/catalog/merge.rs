//! One catalog entry of the components that serve a type together.

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;
use serde_json::{Map, Value, json};
use stepcell_core::{
    Digest, StepType,
    catalog::{ContextNeed, Describe, Provider},
};

/// A step type as the API shows it: what its components say of themselves, as one.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    #[serde(flatten)]
    describe: Describe,
    providers: Vec<Served>,
}

/// One component of an entry.
#[derive(Debug, Serialize)]
struct Served {
    file: String,
    digest: Digest,
    /// The config values for which it serves the type; empty: for all.
    #[serde(rename = "match")]
    matches: Value,
    pure: bool,
}

impl Entry {
    pub(super) fn kind(&self) -> &str {
        &self.describe.kind
    }
}

/// The entry of a type; `None` for a type that nothing serves.
pub(super) fn entry(kind: &StepType) -> Option<Entry> {
    let (first, others) = kind.providers.split_first()?;
    let mut describe = Describe::clone(&first.describe);
    for other in others.iter().map(|provider| &provider.describe) {
        describe.context = wider(describe.context, other.context);
        describe.max_output_bytes = describe.max_output_bytes.max(other.max_output_bytes);
        add_missing(&mut describe.ports, &other.ports);
        add_missing(&mut describe.context_fields, &other.context_fields);
        add_missing(&mut describe.examples, &other.examples);
        add_missing(&mut describe.deferred, &other.deferred);
        for (key, instead) in &other.literal {
            describe.literal.entry(key.clone()).or_insert_with(|| instead.clone());
        }
        describe.config_schema = either(&describe.config_schema, &other.config_schema);
        if describe.output_schema != other.output_schema {
            describe.output_schema = any_of(&describe.output_schema, &other.output_schema);
        }
    }
    narrow_matches(&mut describe.config_schema, &kind.providers);
    describe.matches.clear();
    Some(Entry { describe, providers: kind.providers.iter().map(served).collect() })
}

fn served(provider: &Arc<Provider>) -> Served {
    Served {
        file: provider.file.clone(),
        digest: provider.digest,
        matches: json!(provider.describe.matches),
        pure: provider.pure_step,
    }
}

/// A schema of the configs that one component or the other takes: the properties of both, required where both do.
///
/// It admits a config that mixes the two, which the check against the routed component then refuses; a plain
/// `anyOf` would be exact, and no form could be drawn of it.
fn either(a: &Value, b: &Value) -> Value {
    let (Some(left), Some(right)) = (a.as_object(), b.as_object()) else { return a.clone() };
    let mut merged = left.clone();
    if let Some(more) = right.get("properties").and_then(Value::as_object) {
        let mut properties = left.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        for (key, schema) in more {
            let both = properties.get(key).map_or_else(|| schema.clone(), |known| any_of(known, schema));
            properties.insert(key.clone(), both);
        }
        merged.insert("properties".to_owned(), Value::Object(properties));
    }
    merged.remove("required");
    let required = both_require(left, right);
    if !required.is_empty() {
        merged.insert("required".to_owned(), json!(required));
    }
    if left.get("additionalProperties") != right.get("additionalProperties") {
        merged.remove("additionalProperties");
    }
    for definitions in ["$defs", "definitions"] {
        if let Some(more) = right.get(definitions).and_then(Value::as_object) {
            let known = merged.entry(definitions).or_insert_with(|| json!({}));
            let Some(known) = known.as_object_mut() else { continue };
            for (name, schema) in more {
                known.entry(name.clone()).or_insert_with(|| schema.clone());
            }
        }
    }
    Value::Object(merged)
}

/// Gives each key that the components match on the values that they serve, and the default that one of them serves.
fn narrow_matches(schema: &mut Value, providers: &[Arc<Provider>]) {
    let keys: BTreeSet<&String> =
        providers.iter().flat_map(|provider| provider.describe.matches.keys()).collect();
    for key in keys {
        let served = providers.iter().map(|provider| provider.describe.matches.get(key));
        // A component that does not match on the key serves every value of it.
        let Some(values) = served.collect::<Option<Vec<_>>>() else { continue };
        let default = providers.iter().find_map(|provider| {
            let default = provider.describe.config_schema.get("properties")?.get(key)?.get("default")?;
            values.contains(&default).then(|| default.clone())
        });
        let description = providers.iter().find_map(|provider| {
            provider.describe.config_schema.get("properties")?.get(key)?.get("description").cloned()
        });
        let mut values: Vec<Value> = values.into_iter().cloned().collect();
        values.sort_by_key(Value::to_string);
        values.dedup();
        let mut property = Map::new();
        if values.iter().all(Value::is_string) {
            property.insert("type".to_owned(), json!("string"));
        }
        property.extend(description.map(|text| ("description".to_owned(), text)));
        property.insert("enum".to_owned(), Value::Array(values));
        property.extend(default.map(|value| ("default".to_owned(), value)));
        set_property(schema, key, Value::Object(property));
    }
}

fn set_property(schema: &mut Value, key: &str, property: Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert(key.to_owned(), property);
    }
}

fn both_require(a: &Map<String, Value>, b: &Map<String, Value>) -> Vec<Value> {
    let required = |schema: &Map<String, Value>| {
        schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let others = required(b);
    required(a).into_iter().filter(|key| others.contains(key)).collect()
}

/// `a` or `b`; a third alternative is put beside the two, not around them.
fn any_of(a: &Value, b: &Value) -> Value {
    let mut alternatives = match a.as_object() {
        Some(schema) if schema.len() == 1 => schema.get("anyOf").and_then(Value::as_array).cloned(),
        _ => None,
    }
    .unwrap_or_else(|| vec![a.clone()]);
    if !alternatives.contains(b) {
        alternatives.push(b.clone());
    }
    match alternatives.as_slice() {
        [only] => only.clone(),
        _ => json!({"anyOf": alternatives}),
    }
}

fn wider(a: ContextNeed, b: ContextNeed) -> ContextNeed {
    match (a, b) {
        (ContextNeed::Full, _) | (_, ContextNeed::Full) => ContextNeed::Full,
        (ContextNeed::Input, _) | (_, ContextNeed::Input) => ContextNeed::Input,
        (ContextNeed::None, ContextNeed::None) => ContextNeed::None,
    }
}

fn add_missing<T: Clone + PartialEq>(known: &mut Vec<T>, more: &[T]) {
    for item in more {
        if !known.contains(item) {
            known.push(item.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(language: Option<&str>, config_schema: Value) -> Arc<Provider> {
        let mut describe = json!({
            "type": "inline_code", "label": "Code", "icon": "code", "category": "logic", "description": "Runs code",
            "config_schema": config_schema,
        });
        if let Some(language) = language {
            describe["match"] = json!({"language": language});
        }
        Arc::new(Provider {
            file: format!("code_{}.wasm", language.unwrap_or("any")),
            digest: Digest::of(language.unwrap_or_default().as_bytes()),
            describe: Arc::new(serde_json::from_value(describe).unwrap()),
            pure_step: true,
            control: false,
        })
    }

    fn schema_of(language: &str) -> Value {
        json!({
            "type": "object",
            "required": ["code"],
            "additionalProperties": false,
            "properties": {"code": {"type": "string"}, "language": {"const": language, "default": "python"}},
        })
    }

    #[track_caller]
    fn merged(providers: Vec<Arc<Provider>>) -> Value {
        serde_json::to_value(entry(&StepType { providers }).unwrap()).unwrap()
    }

    #[test]
    fn languages_become_one_entry_with_a_choice() {
        let providers = ["javascript", "python"].map(|name| provider(Some(name), schema_of(name)));
        insta::assert_json_snapshot!(merged(providers.to_vec()));
    }

    #[test]
    fn a_single_component_is_shown_as_it_is() {
        let schema = json!({"type": "object", "properties": {"x": true}});
        let entry = merged(vec![provider(None, schema.clone())]);
        assert_eq!(entry["config_schema"], schema);
        assert_eq!(entry["providers"][0]["match"], json!({}));
        assert!(entry.get("match").is_none(), "{entry}");
    }

    #[test]
    fn a_component_for_all_values_leaves_the_choice_open() {
        let entry = merged(vec![provider(Some("python"), schema_of("python")), provider(None, json!({}))]);
        assert!(entry["config_schema"]["properties"]["language"].get("enum").is_none(), "{entry}");
    }

    #[test]
    fn keys_of_one_component_alone_are_not_required() {
        let one = json!({"properties": {"a": {"type": "string"}, "x": true}, "required": ["a", "x"]});
        let two = json!({"properties": {"a": {"type": "number"}, "y": true}, "required": ["a", "y"]});
        let schema = &merged(vec![provider(Some("1"), one), provider(Some("2"), two)])["config_schema"];
        assert_eq!(schema["required"], json!(["a"]));
        assert_eq!(schema["properties"]["a"], json!({"anyOf": [{"type": "string"}, {"type": "number"}]}));
        assert!(schema["properties"].get("y").is_some(), "{schema}");
    }

    #[test]
    fn a_type_that_nothing_serves_has_no_entry() {
        assert!(entry(&StepType::default()).is_none());
    }
}
