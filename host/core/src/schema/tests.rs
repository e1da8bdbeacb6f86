use serde_json::json;

use super::*;

#[track_caller]
fn errors_of(schema: Value, value: Value) -> Vec<String> {
    let schema = Schema::compile(&schema).unwrap();
    schema.check(&value).iter().map(|error| format!("{}: {}", error.path, error.message)).collect()
}

#[track_caller]
fn refused(schema: Value, expected: &str) {
    let error = Schema::compile(&schema).unwrap_err();
    assert!(error.message.contains(expected), "{error:?}");
}

/// Definitions that each refer twice to the next.
fn doubling(levels: usize, keyword: &str) -> Value {
    let mut defs = serde_json::Map::new();
    for level in 0..levels {
        let next = json!({"$ref": format!("#/$defs/a{}", level + 1)});
        defs.insert(format!("a{level}"), json!({keyword: [next, next]}));
    }
    defs.insert(format!("a{levels}"), json!({"type": "string"}));
    json!({"$defs": defs, "$ref": "#/$defs/a0"})
}

#[test]
fn tells_every_reason_with_its_place() {
    let schema = json!({
        "type": "object",
        "required": ["id", "at"],
        "additionalProperties": false,
        "properties": {
            "id": {"type": "string", "maxLength": 3},
            "items": {"items": {"type": "integer"}},
            "at": true,
            "0": {"type": "null"},
        },
    });
    let value = json!({"id": "x".repeat(1000), "items": [1, "two", 3], "extra": 1, "0": {"a": 1}});
    insta::assert_snapshot!(errors_of(schema, value).join("\n"));
}

#[test]
fn what_fits_has_no_reasons() {
    assert!(
        errors_of(json!({"$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a"}), json!("x")).is_empty()
    );
    assert!(errors_of(json!({"$anchor": "top", "items": {"$ref": "#top"}}), json!([[], [[]]])).is_empty());
    assert!(errors_of(json!(true), json!(1)).is_empty());
    let names = json!({"properties": {"$ref": {"type": "string"}, "$id": {}}, "default": {"$ref": "x"}});
    assert!(errors_of(names, json!({"$ref": "x", "$id": 1})).is_empty());
}

#[test]
fn the_list_of_reasons_ends() {
    let reasons = errors_of(json!({"items": {"type": "string"}}), Value::from(vec![1; 1000]));
    assert_eq!(reasons.len(), MAX_ERRORS);
}

#[test]
fn a_large_value_gets_one_reason() {
    let reasons = errors_of(json!({"items": {"type": "string"}}), Value::from(vec![1; 2_000_000]));
    assert_eq!(reasons, [": it does not fit its schema; it is too large for the place to be told"]);
}

#[test]
fn nothing_outside_is_referred_to() {
    refused(json!({"$ref": "https://example.com/schema.json"}), "leads out of the schema");
    refused(json!({"items": {"$ref": "file:///etc/passwd"}}), "leads out of the schema");
    refused(json!({"items": {"$id": "other", "$ref": "#"}}), "at the root only");
    refused(json!({"$ref": "#/$defs/none"}), "leads nowhere");
}

#[test]
fn mistakes_in_a_schema_are_told() {
    refused(json!({"type": "strin"}), "strin");
    refused(json!({"pattern": "("}), "(");
    refused(json!({"pattern": "(\\w{1000}){1000}"}), "regex");
    refused(json!(5), "5");
}

#[test]
fn a_schema_can_not_stall_the_host() {
    for keyword in ["allOf", "anyOf", "oneOf"] {
        refused(doubling(40, keyword), "references written out");
    }
    let Value::Object(mut hidden) = doubling(40, "allOf") else { panic!("it is a mapping") };
    let target = hidden.remove("$ref").unwrap();
    hidden.insert("properties".to_owned(), json!({"definitions": {"$ref": target}}));
    refused(Value::Object(hidden), "references written out");
    refused(json!({"allOf": vec![json!({"pattern": "\\w{100}"}); 1000]}), "patterns");
    let mut deep = json!({});
    for _ in 0..1000 {
        deep = json!({"items": deep});
    }
    refused(deep, "nested deeper");
    let mut chain = serde_json::Map::new();
    for link in 0..5000 {
        chain.insert(format!("a{link}"), json!({"$ref": format!("#/$defs/a{}", link + 1)}));
    }
    refused(json!({"$defs": chain, "$ref": "#/$defs/a0"}), "nested deeper");
}

#[test]
fn recursive_schemas_end() {
    assert!(errors_of(json!({"$ref": "#"}), json!(1)).is_empty());
    assert!(errors_of(json!({"allOf": [{"$ref": "#"}]}), json!(1)).is_empty());
    // Two branches recurse into the same item: listing errors would double with each level.
    let branch = json!({"type": "array", "items": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}});
    let mut value = json!(5);
    for _ in 0..60 {
        value = json!([value]);
    }
    let reasons = errors_of(json!({"anyOf": [{"type": "string"}, branch]}), value);
    assert_eq!(reasons, [": it does not fit its schema; it is too large for the place to be told"]);
}
