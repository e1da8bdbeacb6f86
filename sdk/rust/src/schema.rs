//! JSON Schema 2020-12 of a step's types.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

/// What a config may be.
pub(crate) fn config<T: JsonSchema>() -> Value {
    root::<T>(settings().for_deserialize())
}

/// What an output may be.
pub(crate) fn output<T: JsonSchema>() -> Value {
    root::<T>(settings().for_serialize())
}

/// Inlined, because a form renderer or a model that reads the catalog should not have to follow references.
/// Recursive types still get their definition.
fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    })
}

/// The Rust name of the root type says nothing to somebody who reads the catalog.
fn root<T: JsonSchema>(settings: SchemaSettings) -> Value {
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    schema.to_value()
}
