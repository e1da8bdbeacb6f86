//! The named schemas of the OpenAPI document.

use serde_json::{Value, json};
use stepcell_core::EventKind;

use crate::operation::schema;

pub(super) fn all() -> Value {
    json!({
        "Submission": submission(),
        "Accepted": accepted(),
        "AcceptedRuns": object(&["runs"], json!({"runs": {"type": "array", "items": schema("Accepted")}})),
        "Cancel": object(&[], json!({"reason": {"type": "string"}})),
        "Resume": resume(),
        "Retry": object(&[], json!({
            "from": {"type": "string", "description": "This step and what depends on it runs anew; the failed one where left out"},
            "flow": {"type": "object", "description": "The changed flow; that of the run where left out"},
        })),
        "Run": run(),
        "RunStatus": one_of(&["queued", "running", "waiting", "succeeded", "failed", "cancelled"]),
        "RunPage": object(&["runs", "next"], json!({
            "runs": {"type": "array", "items": schema("RunSummary")},
            "next": {"type": ["string", "null"]},
        })),
        "RunSummary": object(&["run_id", "flow", "status", "created_at"], json!({
            "run_id": run_id(),
            "flow": text(),
            "status": schema("RunStatus"),
            "created_at": time(),
            "finished_at": time(),
            "seq": {"type": "integer", "description": "The run's last event"},
        })),
        "Step": step(),
        "ItemPage": object(&["items", "next"], json!({
            "items": {"type": "array", "items": schema("Item")},
            "next": {"type": ["integer", "null"]},
        })),
        "Item": item(),
        "ItemCounts": object(&["total", "succeeded", "failed"], json!({
            "total": {"type": "integer"},
            "succeeded": {"type": "integer"},
            "failed": {"type": "integer"},
        })),
        "SentEvent": sent_event(),
        "Delivered": object(&["event", "id", "woken", "kept_until"], json!({
            "event": text(),
            "id": {"type": "string", "description": "Sent again with it, the event is the same one"},
            "woken": {"type": "integer", "description": "Runs that it has woken"},
            "kept_until": {"type": ["string", "null"], "format": "date-time", "description": "For runs that do not wait yet"},
        })),
        "StepStatus": one_of(&["pending", "running", "waiting", "succeeded", "failed", "skipped", "cancelled"]),
        "Failure": failure(),
        "Event": event(),
        "EventPage": object(&["events", "next"], json!({
            "events": {"type": "array", "items": schema("Event")},
            "next": {"type": ["integer", "null"]},
        })),
        "Blob": object(&["id", "bytes", "expires_at"], json!({
            "id": {"type": "string", "description": "The SHA-256 of the bytes, in hexadecimal digits"},
            "bytes": {"type": "integer"},
            "expires_at": {
                "type": "string",
                "format": "date-time",
                "description": "When it may be removed, unless a run refers to it",
            },
        })),
        "StepType": step_type(),
        "Plugin": plugin(),
        "Problem": problem(),
        "StartedRun": object(&["run_id"], json!({
            "index": {"type": "integer", "description": "Which of `inputs` it is for, from 0"},
            "line": {"type": "integer", "description": "Which line it is for, from 1"},
            "run_id": run_id(),
        })),
        "FlowProblem": flow_problem(),
    })
}

fn accepted() -> Value {
    let status = json!({
        "allOf": [schema("RunStatus")],
        "description": "Left out where the run of an earlier call has been removed since",
    });
    object(&["run_id"], json!({"run_id": run_id(), "status": status}))
}

fn submission() -> Value {
    object(
        &["flow"],
        json!({
            "flow": {"description": "The flow, or the name of a stored one", "type": ["object", "string"]},
            "input": {"description": "What `{{ input }}` stands for; `{}` where left out"},
            "inputs": {"type": "array", "description": "A run for each of these, in place of `input`"},
            "idempotency_key": {
                "type": "string",
                "description": "The same key and body again are the same run; with another body they are refused",
            },
        }),
    )
}

fn resume() -> Value {
    object(
        &[],
        json!({
            "step": {"type": "string", "description": "Needed only where several wait"},
            "payload": {"description": "What the step's form asks for; `null` where left out"},
            "approved": {"type": "boolean", "description": "`false` rejects"},
            "by": {"type": "string", "description": "Who sends it, for the run's log"},
        }),
    )
}

/// The payload itself, or an envelope.
fn sent_event() -> Value {
    let envelope = object(
        &["payload"],
        json!({
            "payload": {},
            "id": {"type": "string", "description": "The same name and id are the same event, however often it is sent"},
            "by": {"type": "string", "description": "Who sends it, for the logs of the runs"},
            "keep": {"type": "string", "description": "How long it is kept for runs that do not wait yet", "examples": ["1h"]},
        }),
    );
    json!({"anyOf": [envelope, {"description": "The payload itself"}]})
}

fn run() -> Value {
    let required =
        ["run_id", "flow", "status", "input", "output", "error", "created_at", "finished_at", "steps"];
    object(
        &required,
        json!({
            "run_id": run_id(),
            "flow": text(),
            "status": schema("RunStatus"),
            "input": {},
            "output": {},
            "error": {"anyOf": [{"type": "null"}, schema("Failure")]},
            "created_at": time(),
            "finished_at": {"type": ["string", "null"], "format": "date-time"},
            "retry_of": {"type": "string", "format": "uuid", "description": "The run that this one tries again"},
            "steps": {"type": "object", "additionalProperties": schema("Step")},
        }),
    )
}

/// A step, with its number in the list, and the steps of its body where that has more than one.
fn item() -> Value {
    let more = object(
        &["index"],
        json!({
            "index": {"type": "integer", "minimum": 0},
            "steps": {"type": "object", "additionalProperties": schema("Step")},
        }),
    );
    json!({"allOf": [schema("Step"), more]})
}

fn step() -> Value {
    object(
        &["type", "status", "attempts", "output", "error"],
        json!({
            "type": text(),
            "status": schema("StepStatus"),
            "attempts": {"type": "integer"},
            "output": {},
            "error": {"anyOf": [{"type": "null"}, schema("Failure")]},
            "port": text(),
            "wait": {"type": "object"},
            "items": schema("ItemCounts"),
            "kept_from": {"type": "string", "format": "uuid", "description": "The earlier run whose result it is"},
            "reason": text(),
            "retry_at": time(),
            "plugin": text(),
            "started_at": {"type": ["string", "null"], "format": "date-time"},
            "finished_at": {"type": ["string", "null"], "format": "date-time"},
            "fuel": {"type": "integer"},
            "duration_us": {"type": "integer"},
        }),
    )
}

fn failure() -> Value {
    object(
        &["fault", "kind", "message", "retryable"],
        json!({
            "fault": one_of(&["config", "denied", "unavailable", "timeout", "limit", "failed"]),
            "kind": one_of(&["business", "system"]),
            "code": text(),
            "message": text(),
            "retryable": {"type": "boolean"},
            "retry_after_ms": {"type": "integer"},
            "hint": text(),
            "details": {},
            "step": {"type": "string", "description": "Of a run's failure: the step that failed it"},
        }),
    )
}

fn event() -> Value {
    object(
        &["run_id", "seq", "at", "type", "data"],
        json!({
            "run_id": run_id(),
            "seq": {"type": "integer", "minimum": 1},
            "at": time(),
            "type": one_of(EventKind::NAMES),
            "step": text(),
            "data": {"type": "object"},
        }),
    )
}

fn step_type() -> Value {
    let required = ["type", "label", "icon", "category", "description", "config_schema", "providers"];
    object(
        &required,
        json!({
            "type": text(),
            "label": text(),
            "icon": {"type": "string", "description": "A Lucide name"},
            "category": text(),
            "description": text(),
            "config_schema": {"description": "JSON Schema 2020-12"},
            "output_schema": {"description": "JSON Schema 2020-12"},
            "context": one_of(&["none", "input", "full"]),
            "context_fields": texts(),
            "max_output_bytes": {"type": "integer"},
            "literal": {"type": "object", "additionalProperties": text()},
            "deferred": texts(),
            "ports": texts(),
            "examples": {"type": "array"},
            "providers": {"type": "array", "items": object(&["file", "digest", "match", "pure"], json!({
                "file": text(),
                "digest": text(),
                "match": {"type": "object"},
                "pure": {"type": "boolean"},
            }))},
        }),
    )
}

fn plugin() -> Value {
    object(
        &["file", "bytes", "imports", "capabilities", "state"],
        json!({
            "file": text(),
            "digest": text(),
            "bytes": {"type": "integer"},
            "imports": texts(),
            "capabilities": texts(),
            "state": one_of(&["loading", "ready", "refused"]),
            "type": {"type": "string", "description": "The step type, where the state is `ready`"},
            "reason": {"type": "string", "description": "Why the file is refused"},
            "hint": text(),
        }),
    )
}

fn problem() -> Value {
    object(
        &["type", "title", "status", "code", "detail"],
        json!({
            "type": text(),
            "title": text(),
            "status": {"type": "integer"},
            "code": {"type": "string", "description": "Stable, for programs"},
            "detail": text(),
            "hint": {"type": "string", "description": "What to do now"},
            "errors": {"type": "array", "items": schema("FlowProblem")},
            "first": {"description": "What came first, where a second one is refused"},
            "runs": {
                "type": "array",
                "items": schema("StartedRun"),
                "description": "Of many runs, those that have started all the same: send only the others again",
            },
            "request_id": {"type": "string", "description": "Finds the cause in the host's log"},
        }),
    )
}

fn flow_problem() -> Value {
    object(
        &["path", "line", "column", "code", "message"],
        json!({
            "path": text(),
            "line": {"type": "integer"},
            "column": {"type": "integer"},
            "code": text(),
            "message": text(),
            "hint": text(),
        }),
    )
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "properties": properties})
}

fn one_of(values: &[&str]) -> Value {
    json!({"type": "string", "enum": values})
}

fn run_id() -> Value {
    json!({"type": "string", "format": "uuid"})
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn texts() -> Value {
    json!({"type": "array", "items": text()})
}
