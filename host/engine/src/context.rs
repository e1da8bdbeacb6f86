//! What a cell is told besides its config.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use stepcell_core::{Json, RunId, StepId, catalog::ContextNeed, event::Payload};

/// Names one step of one run: the same on every attempt and after a crash, different for every item.
pub(crate) fn idempotency_key(run: RunId, step: &StepId) -> String {
    let mut hash = Sha256::new();
    hash.update(run.as_bytes());
    hash.update(step.as_str().as_bytes());
    let mut key = String::with_capacity(2 * KEY_BYTES);
    for byte in hash.finalize().iter().take(KEY_BYTES) {
        let _ = write!(key, "{byte:02x}");
    }
    key
}

/// 128 bits: no two steps of all runs share a key by chance.
const KEY_BYTES: usize = 16;

/// The parts of a context. All of them are JSON text already, so that building one is copying bytes once.
pub(crate) struct Parts<'a, S> {
    pub(crate) need: ContextNeed,
    pub(crate) input: &'a Json,
    /// The step's ancestors that have an output.
    pub(crate) steps: S,
    pub(crate) id: &'a StepId,
    pub(crate) attempt: u32,
    pub(crate) idempotency_key: &'a str,
    /// Of a step that branches: its ports that the flow uses.
    pub(crate) ports: Option<&'a Vec<String>>,
}

/// `{"input", "steps", "step": {"id", "attempt", "idempotency_key", "ports"?}}`, cut to what the plugin asks for.
pub(crate) fn build<'a>(parts: Parts<'a, impl Iterator<Item = (&'a StepId, &'a Payload)>>) -> String {
    let mut text = String::with_capacity(256);
    text.push('{');
    if parts.need != ContextNeed::None {
        text.push_str("\"input\":");
        text.push_str(parts.input.text());
        text.push(',');
    }
    if parts.need == ContextNeed::Full {
        text.push_str("\"steps\":{");
        let mut first = true;
        for (id, payload) in parts.steps {
            if !std::mem::take(&mut first) {
                text.push(',');
            }
            // Ids and keys have no character that JSON would escape.
            let _ = write!(text, "\"{id}\":{}", seen_by_cells(payload).text());
        }
        text.push_str("},");
    }
    let Parts { id, attempt, idempotency_key, ports, .. } = parts;
    let _ = write!(text, r#""step":{{"id":"{id}","attempt":{attempt},"idempotency_key":"{idempotency_key}""#);
    if let Some(ports) = ports {
        let _ = write!(text, r#","ports":{}"#, serde_json::json!(ports));
    }
    text.push_str("}}");
    text
}

/// The part of an output that goes into contexts: all of it, or the fields kept of a big one.
pub(crate) fn seen_by_cells(payload: &Payload) -> &Json {
    match payload {
        Payload::Value(json) => json,
        Payload::Blob { fields, .. } => fields,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(need: ContextNeed, expected: serde_json::Value) {
        let id = StepId::new("b").unwrap();
        let a = (StepId::new("a").unwrap(), Payload::Value(Json::parse("[1]".to_owned()).unwrap()));
        let text = build(Parts {
            need,
            input: &Json::parse(r#"{"x":1}"#.to_owned()).unwrap(),
            steps: std::iter::once((&a.0, &a.1)),
            id: &id,
            attempt: 2,
            idempotency_key: "k",
            ports: None,
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected);
    }

    #[test]
    fn a_cell_is_told_what_its_plugin_asks_for() {
        let step = serde_json::json!({"id": "b", "attempt": 2, "idempotency_key": "k"});
        check(ContextNeed::None, serde_json::json!({"step": step}));
        check(ContextNeed::Input, serde_json::json!({"input": {"x": 1}, "step": step}));
        check(ContextNeed::Full, serde_json::json!({"input": {"x": 1}, "steps": {"a": [1]}, "step": step}));
    }

    #[test]
    fn keys_differ_by_run_and_step() {
        let run = |n| RunId::from_bytes([n; 16]);
        let step = |name: &str| StepId::new(name).unwrap();
        let key = idempotency_key(run(1), &step("a"));
        assert_eq!(key.len(), 32);
        assert_eq!(key, idempotency_key(run(1), &step("a")));
        assert_ne!(key, idempotency_key(run(2), &step("a")));
        assert_ne!(key, idempotency_key(run(1), &step("b")));
    }
}
