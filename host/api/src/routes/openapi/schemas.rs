//! The named schemas of the OpenAPI document.

use serde_json::{Value, json};
use stepcell_core::EventKind;

use crate::operation::schema;

pub(super) fn all() -> Value {
    json!({
        "Submission": submission(),
        "Accepted": object(&["run_id", "status"], json!({"run_id": run_id(), "status": schema("RunStatus")})),
        "Cancel": object(&[], json!({"reason": {"type": "string"}})),
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
        "FlowProblem": flow_problem(),
    })
}

fn submission() -> Value {
    object(
        &["flow"],
        json!({
            "flow": {"description": "The flow, or the name of a stored one", "type": ["object", "string"]},
            "input": {"description": "What `{{ input }}` stands for; `{}` where left out"},
            "idempotency_key": text(),
        }),
    )
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
            "steps": {"type": "object", "additionalProperties": schema("Step")},
        }),
    )
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
