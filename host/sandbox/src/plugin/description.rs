//! The catalog entry that a plugin gives of itself.

use std::collections::BTreeSet;

use serde_json::Value;
use stepcell_core::{Json, catalog::Describe, schema::Schema};

use super::Refusal;

/// The largest catalog entry. Protects the host and whoever asks for the catalog.
pub(crate) const DESCRIBE_BYTES_MAX: u64 = 1 << 20;
/// The longest name of a step type.
const KIND_BYTES_MAX: usize = 64;
const CATEGORIES: [&str; 6] = ["integrations", "ai", "logic", "data", "flow", "custom"];

/// Reads and checks what `describe` returned.
pub(crate) fn parse(text: String) -> Result<Describe, Refusal> {
    if text.len() as u64 > DESCRIBE_BYTES_MAX {
        return Err(refused(format!("{} bytes, of {DESCRIBE_BYTES_MAX} allowed", text.len())));
    }
    // Checked first for depth and numbers, as everything that comes from a guest.
    let json = Json::parse(text).map_err(|error| refused(format!("no JSON: {error}")))?;
    let describe: Describe = serde_json::from_str(json.text()).map_err(|error| refused(error.to_string()))?;
    check(&describe).map_err(refused)?;
    Ok(describe)
}

fn refused(reason: String) -> Refusal {
    Refusal::new(format!("its `describe` is no catalog entry: {reason}"))
}

fn check(describe: &Describe) -> Result<(), String> {
    if !is_kind(&describe.kind) {
        return Err(format!(
            "`type` is `{:.80}`, and must be lower-case letters, digits and `_`",
            describe.kind
        ));
    }
    if !CATEGORIES.contains(&describe.category.as_str()) {
        let known = CATEGORIES.join("`, `");
        return Err(format!("`category` is `{:.80}`, and must be one of `{known}`", describe.category));
    }
    check_schema("config_schema", &describe.config_schema)?;
    if !describe.output_schema.is_null() {
        check_schema("output_schema", &describe.output_schema)?;
    }
    describe.check_tokens().map_err(|error| format!("`tokens` is no JSONPath: {error}"))?;
    if describe.ports.iter().collect::<BTreeSet<_>>().len() < describe.ports.len() {
        return Err("`ports` names one twice".to_owned());
    }
    Ok(())
}

fn is_kind(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.len() <= KIND_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn check_schema(key: &str, schema: &Value) -> Result<(), String> {
    match Schema::compile(schema) {
        Ok(_) => Ok(()),
        Err(error) if error.path.is_empty() => Err(format!("`{key}` is no JSON Schema: {error}")),
        Err(error) => Err(format!("`{key}` is no JSON Schema: at `{}`: {error}", error.path)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut Value), reason: Option<&str>) {
        let mut value = json!({
            "type": "t", "label": "T", "icon": "box", "category": "custom", "description": "d",
            "config_schema": {"type": "object"},
        });
        change(&mut value);
        match (parse(value.to_string()), reason) {
            (Ok(_), None) => {}
            (Err(refusal), Some(reason)) => assert!(refusal.reason.contains(reason), "{}", refusal.reason),
            (result, _) => panic!("{result:?}"),
        }
    }

    #[test]
    fn an_entry_is_checked() {
        check(|_| {}, None);
        check(|value| value["type"] = json!("Bad-Name"), Some("`type`"));
        check(|value| value["category"] = json!("misc"), Some("`category`"));
        check(|value| value["config_schema"] = json!("x"), Some("`config_schema`"));
        check(|value| value["config_schema"] = json!({"type": "objekt"}), Some("`config_schema`"));
        check(|value| value["output_schema"] = json!([]), Some("`output_schema`"));
        check(|value| value["lable"] = json!("typo"), Some("lable"));
        check(|value| value["ports"] = json!(["a", "a"]), Some("`ports`"));
        check(|value| value["tokens"] = json!("$.usage.total_tokens"), None);
        check(|value| value["tokens"] = json!("usage["), Some("`tokens`"));
        check(|value| value["tokens"] = json!("usage."), Some("`tokens`"));
        check(|value| *value = json!(1), Some("no catalog entry"));
    }

    #[test]
    fn text_that_is_no_json_is_refused() {
        assert!(parse("nope".to_owned()).unwrap_err().reason.contains("no JSON"));
    }
}
