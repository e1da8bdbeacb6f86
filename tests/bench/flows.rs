//! Flows that more than one group runs.

use bytes::Bytes;
use serde_json::{Value, json};

/// Steps in a row: the first reads the run's input, each other the output of the one before, all by templates.
pub(crate) fn row(steps: usize) -> Value {
    let step = |index: usize| {
        let from = if index == 0 { "input".to_owned() } else { format!("steps.s{}", index - 1) };
        let output = json!({
            "id": format!("{{{{ {from}.id }}}}"),
            "tags": format!("{{{{ {from}.tags }}}}"),
            "text": format!("order {{{{ {from}.id }}}}"),
        });
        json!({ "id": format!("s{index}"), "type": "transform", "config": { "output": output } })
    };
    json!({ "name": format!("row-of-{steps}"), "steps": (0..steps).map(step).collect::<Vec<_>>() })
}

/// The input of such a row.
pub(crate) fn order() -> Value {
    json!({ "id": 7, "tags": ["a", "b"] })
}

/// The body of `POST /runs`.
pub(crate) fn submission(flow: &Value, input: &Value) -> Bytes {
    Bytes::from(json!({ "flow": flow, "input": input }).to_string())
}
