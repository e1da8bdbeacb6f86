//! A grant as it may stand in the config.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};

use super::{BlobAccess, DatabaseRule, FileRule, Grant, HttpRule};
use crate::{
    flow::LimitsPatch,
    limits::Budget,
    parse::{Kind, plain_scalar},
};

/// A value as YAML in one line, ready to be pasted into `stepcell.yaml`: `{ http: ["https://*"] }`.
///
/// A `${` in a text is written `$${`, as the config has it.
#[derive(Debug, Clone, Copy)]
pub struct Yaml<'a>(pub &'a Value);

impl Grant {
    /// As it may stand in the config, or in a flow where it was read from one.
    pub fn to_value(&self) -> Value {
        let databases = |rules: &BTreeMap<String, DatabaseRule>| {
            rules.iter().map(|(name, rule)| (name.clone(), rule.to_value())).collect()
        };
        let limits = (self.limits != LimitsPatch::default()).then(|| self.limits.to_value());
        object([
            ("http", self.http.as_ref().map(|rules| rules.iter().map(HttpRule::to_value).collect())),
            ("secrets", self.secrets.as_ref().map(|names| names.iter().cloned().collect())),
            ("databases", self.databases.as_ref().map(databases)),
            ("email", self.email.as_ref().map(|rules| rules.iter().map(ToString::to_string).collect())),
            ("blobs", self.blobs.map(|access| access.to_string().into())),
            ("files", self.files.as_ref().map(|rules| rules.iter().map(FileRule::to_value).collect())),
            ("limits", limits),
        ])
    }
}

/// The keys that are set, in this order.
pub(super) fn object<const N: usize>(keys: [(&str, Option<Value>); N]) -> Value {
    let set = keys.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(set.collect::<Map<_, _>>())
}

/// An amount with its unit, or a number where it has none.
pub(super) fn amount(text: String) -> Value {
    text.parse::<u64>().map_or(Value::String(text), Value::from)
}

impl fmt::Display for Yaml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::String(text) => write_text(f, text),
            Value::Array(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    Yaml(item).fmt(f)?;
                }
                f.write_str("]")
            }
            Value::Object(map) if map.is_empty() => f.write_str("{}"),
            Value::Object(map) => {
                f.write_str("{ ")?;
                for (index, (key, value)) in map.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    write_text(f, key)?;
                    f.write_str(": ")?;
                    Yaml(value).fmt(f)?;
                }
                f.write_str(" }")
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => self.0.fmt(f),
        }
    }
}

/// Without quotes where every reader of YAML sees a text.
fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let first = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/');
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.' | '-' | '@');
    let plain = text.starts_with(first)
        && text.chars().all(inner)
        && !OLD_WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
        && matches!(plain_scalar(text), Some(Kind::Text(_)));
    if plain {
        return f.write_str(text);
    }
    // JSON strings are YAML strings.
    write!(f, "{}", Value::from(text.replace("${", "$${")))
}

/// What YAML 1.1 takes for `true` and `false`.
const OLD_WORDS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];

macro_rules! display_as_yaml {
    ($($written:ty),*) => { $(
        impl fmt::Display for $written {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Yaml(&self.to_value()).fmt(f)
            }
        }
    )* };
}

display_as_yaml!(Grant, DatabaseRule, FileRule, LimitsPatch, Budget);

impl fmt::Display for BlobAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(value: Value, expected: &str) {
        assert_eq!(Yaml(&value).to_string(), expected);
    }

    #[test]
    fn plain_texts_have_no_quotes() {
        check(
            json!({"http": ["https://*"], "secrets": ["github"]}),
            "{ http: [\"https://*\"], secrets: [github] }",
        );
        check(
            json!(["GET", "10.0.0.0/8", "/in", "ops@x.org", "1MiB"]),
            "[GET, 10.0.0.0/8, /in, ops@x.org, 1MiB]",
        );
        check(json!({"a": {}, "b": [], "c": 5}), "{ a: {}, b: [], c: 5 }");
    }

    #[test]
    fn what_another_reader_would_take_for_something_else_is_quoted() {
        check(
            json!(["*", "@x", "true", "no", "5", "1e3", "", "a: b", "-", "~"]),
            r#"["*", "@x", "true", "no", "5", "1e3", "", "a: b", "-", "~"]"#,
        );
        check(json!({"my_step@sha256:00": 1}), "{ \"my_step@sha256:00\": 1 }");
        check(json!("a\"\n"), r#""a\"\n""#);
        check(json!("${HOME}"), "\"$${HOME}\"");
    }
}
