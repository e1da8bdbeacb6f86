//! What a waiting step waits for, and how it gets that.

use std::borrow::Cow;

use jiff::Timestamp;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value};
use stepcell_core::{RunId, event::Wait};
use stepcell_engine::APPROVAL;

use crate::text;

/// How deep a form is followed when an answer is sketched. A form is checked by the server, whatever its depth.
const SKETCH_DEPTH_MAX: usize = 8;

/// What a step waits for, as far as people are shown it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub(crate) enum Waiting {
    Timer { until: Timestamp },
    Signal(Asked),
    Items { count: u64 },
}

/// A signal that a step waits for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Asked {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) form: Option<Value>,
    #[serde(default)]
    pub(crate) matching: Option<Value>,
    #[serde(default)]
    pub(crate) deadline: Option<Timestamp>,
}

impl From<&Wait> for Waiting {
    fn from(wait: &Wait) -> Self {
        match wait {
            Wait::Timer { until } => Self::Timer { until: *until },
            Wait::Items { count, .. } => Self::Items { count: *count },
            Wait::Signal { name, form, matching, deadline } => Self::Signal(Asked {
                name: name.clone(),
                form: form.clone(),
                matching: matching.clone(),
                deadline: *deadline,
            }),
        }
    }
}

impl Waiting {
    /// What stands behind `waits`.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Timer { until } => format!("until {}", text::moment(*until)),
            Self::Signal(asked) => asked.summary(),
            Self::Items { count: 1 } => "for 1 item".to_owned(),
            Self::Items { count } => format!("for {count} items"),
        }
    }
}

impl Asked {
    /// Whether a person has to answer; everything else comes as an event.
    pub(crate) fn is_approval(&self) -> bool {
        self.name == APPROVAL
    }

    /// `for an approval: Large order, until 2026-01-02T03:04:05Z`.
    pub(crate) fn summary(&self) -> String {
        let what = match (self.is_approval(), self.heading("title")) {
            (true, Some(label)) => format!("for an approval: {label}"),
            (true, None) => "for an approval".to_owned(),
            (false, _) => format!("for the event `{}`", text::line(&self.name)),
        };
        let until = self.deadline.map(|at| format!(", until {}", text::moment(at))).unwrap_or_default();
        format!("{what}{until}")
    }

    /// What to look at before one answers.
    pub(crate) fn instructions(&self) -> Option<String> {
        self.heading("description")
    }

    /// What the payload has to be, without the words above it; nothing where anything will do.
    pub(crate) fn schema(&self) -> Option<Map<String, Value>> {
        let mut form = self.form.as_ref()?.as_object()?.clone();
        form.retain(|key, _| !matches!(key.as_str(), "title" | "description"));
        (!form.is_empty()).then_some(form)
    }

    /// The line to type that answers; `url` is the server, where the config does not say it.
    pub(crate) fn command(&self, run: RunId, step: &str, server: &Url, named: bool) -> String {
        if !self.is_approval() {
            let payload = self.matching.clone().unwrap_or_else(|| Map::new().into()).to_string();
            let payload = quoted(&payload);
            return format!(
                "curl -H 'content-type: application/json' --data {payload} {}",
                quoted(&format!("{}/api/v1/events/{}", server.as_str().trim_end_matches('/'), self.name))
            );
        }
        let payload = self.schema().map(|form| sketch(&form).to_string());
        let payload = payload.map(|payload| format!(" --payload {}", quoted(&payload))).unwrap_or_default();
        let url = if named { format!(" --url {}", quoted(server.as_str())) } else { String::new() };
        format!("stepcell runs resume {run} --step {}{payload}{url}", quoted(step))
    }

    fn heading(&self, key: &str) -> Option<String> {
        self.form.as_ref()?.get(key)?.as_str().map(text::line)
    }
}

/// A value in the shape of a schema, for somebody to fill in.
pub(crate) fn sketch(schema: &Map<String, Value>) -> Value {
    sketch_to(schema, SKETCH_DEPTH_MAX)
}

fn sketch_to(schema: &Map<String, Value>, depth: usize) -> Value {
    let given = ["default", "const"].iter().find_map(|key| schema.get(*key));
    let first = |key: &str| schema.get(key).and_then(Value::as_array).and_then(|values| values.first());
    if let Some(value) = given.or_else(|| first("enum")).or_else(|| first("examples")) {
        return value.clone();
    }
    let kind = schema.get("type").and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
    match kind {
        Some("string") => "…".into(),
        Some("number" | "integer") => schema.get("minimum").cloned().unwrap_or_else(|| 0.into()),
        Some("boolean") => true.into(),
        Some("array") => Value::Array(Vec::new()),
        Some("null") => Value::Null,
        _ => fields(schema, depth),
    }
}

/// The required keys of a schema, all of its properties where it names none.
fn fields(schema: &Map<String, Value>, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else { return Value::Null };
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array);
    let wanted = |key: &str| required.is_none_or(|keys| keys.iter().any(|name| name == key));
    let listed = properties.into_iter().flatten().filter(|(key, _)| wanted(key));
    let field = |(key, schema): (&String, &Value)| {
        let value = schema.as_object().map_or(Value::Null, |schema| sketch_to(schema, depth));
        (key.clone(), value)
    };
    let mut fields: Map<String, Value> = listed.map(field).collect();
    for key in required.into_iter().flatten().filter_map(Value::as_str) {
        fields.entry(key).or_insert(Value::Null);
    }
    Value::Object(fields)
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", text::line(word).replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(form: Value) -> Asked {
        let (name, deadline) = (APPROVAL.to_owned(), "2026-01-02T03:04:05Z".parse().ok());
        Asked { name, form: Some(form), matching: None, deadline }
    }

    fn command(asked: &Asked, step: &str, named: bool) -> String {
        let server = Url::parse("http://127.0.0.1:7420/").unwrap();
        asked.command(RunId::from_bytes([1; 16]), step, &server, named)
    }

    #[test]
    fn an_approval_is_named_by_its_label() {
        assert_eq!(
            asked(json!({"title": "Large\norder"})).summary(),
            "for an approval: Large order, until 2026-01-02T03:04:05Z"
        );
        assert_eq!(Asked { deadline: None, ..asked(json!({})) }.summary(), "for an approval");
    }

    #[test]
    fn the_command_brings_what_the_form_asks_for() {
        let form = json!({
            "title": "x",
            "type": "object",
            "required": ["amount", "note", "by"],
            "properties": {
                "amount": {"type": "number", "minimum": 3},
                "note": {"type": "string"},
                "level": {"enum": ["a"]},
            },
        });
        insta::assert_snapshot!(command(&asked(form), "m[3].ask", true), @r#"stepcell runs resume 01010101-0101-0101-0101-010101010101 --step 'm[3].ask' --payload '{"amount":3,"note":"…","by":null}' --url http://127.0.0.1:7420/"#);
        insta::assert_snapshot!(command(&asked(json!({"title": "x"})), "ask", false), @"stepcell runs resume 01010101-0101-0101-0101-010101010101 --step ask");
    }

    #[test]
    fn an_event_is_sent_with_what_it_has_to_match() {
        let matching = Some(json!({"who": "o'neil"}));
        let event = Asked { name: "order.paid".to_owned(), matching, ..asked(json!({})) };
        assert_eq!(event.summary(), "for the event `order.paid`, until 2026-01-02T03:04:05Z");
        insta::assert_snapshot!(command(&event, "wait", false), @r#"curl -H 'content-type: application/json' --data '{"who":"o'\''neil"}' http://127.0.0.1:7420/api/v1/events/order.paid"#);
    }

    #[track_caller]
    fn check(schema: Value, expected: Value) {
        assert_eq!(sketch(schema.as_object().unwrap()), expected);
    }

    #[test]
    fn sketches_have_the_shape_of_the_form() {
        check(
            json!({"type": "object", "properties": {"a": {"type": ["boolean", "null"]}}}),
            json!({"a": true}),
        );
        check(json!({"type": "array"}), json!([]));
        check(json!({"default": 7, "type": "integer"}), json!(7));
        check(json!({"required": ["a"]}), json!({"a": null}));
    }

    #[test]
    fn an_endless_form_is_sketched_to_a_depth() {
        let mut schema = json!({"type": "string"});
        for _ in 0..100 {
            schema = json!({"type": "object", "properties": {"a": schema}});
        }
        let deep = sketch(schema.as_object().unwrap()).to_string();
        assert_eq!(deep.matches('{').count(), SKETCH_DEPTH_MAX);
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("m"), "m");
        assert_eq!(quoted("m[3]"), "'m[3]'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
