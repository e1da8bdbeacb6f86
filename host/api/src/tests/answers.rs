use super::*;

use crate::limits::{REASON_BYTES_MAX, RUN_BODY_BYTES_MAX};

pub(super) const NO_BLOB: &str = "0000000000000000000000000000000000000000000000000000000000000000";
pub(super) const NO_RUN: &str = "0199a0b0-0000-7000-8000-000000000000";

#[track_caller]
pub(super) fn check(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{:?}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
}

#[tokio::test]
async fn problems_read_like_this() {
    let json = "content-type: application/json";
    let calls = [
        ("no_such_path", "GET /api/v2/runs".to_owned(), ""),
        ("no_such_method", "PUT /api/v1/runs".to_owned(), ""),
        ("host_refused", "GET /\nhost: evil.example".to_owned(), ""),
        ("origin_refused", "GET /\norigin: http://evil.example".to_owned(), ""),
        ("no_such_run", format!("GET /api/v1/runs/{NO_RUN}"), ""),
        ("no_run_id", "GET /api/v1/runs/nope".to_owned(), ""),
        ("unknown_status", "GET /api/v1/runs?status=done".to_owned(), ""),
        ("unknown_key", "GET /api/v1/runs?stats=failed".to_owned(), ""),
        ("bad_cursor", "GET /api/v1/runs?cursor=x".to_owned(), ""),
        ("bad_limit", "GET /api/v1/runs?limit=100000".to_owned(), ""),
        ("bad_wait", format!("POST /api/v1/runs?wait=10\n{json}"), "{}"),
        ("no_content_type", "POST /api/v1/runs".to_owned(), "{}"),
        ("other_content_type", "POST /api/v1/runs\ncontent-type: text/plain".to_owned(), "{}"),
        ("malformed_json", format!("POST /api/v1/runs\n{json}"), "{\n  \"flow\": ,"),
        (
            "yaml_on_one_line",
            "POST /api/v1/runs\ncontent-type: application/yaml".to_owned(),
            "name: xsteps:  - id: a",
        ),
        ("stored_flow", format!("POST /api/v1/runs\n{json}"), r#"{"flow": "nightly"}"#),
        ("unknown_type", "DELETE /api/v1/plugins/nope".to_owned(), ""),
        ("plugin_refused", "POST /api/v1/plugins\ncontent-type: application/wasm".to_owned(), "\0asm"),
        ("no_such_blob", format!("GET /api/v1/blobs/{NO_BLOB}"), ""),
        ("no_blob_id", "GET /api/v1/blobs/nope".to_owned(), ""),
        ("event_name", "POST /api/v1/events/order%20paid".to_owned(), ""),
        ("wait_for_many", "POST /api/v1/runs?wait=1s\ncontent-type: application/jsonl".to_owned(), "{}"),
        ("retry_typo", format!("POST /api/v1/runs/{NO_RUN}/retry\n{json}"), r#"{"form": "a"}"#),
        ("resume_typo", format!("POST /api/v1/runs/{NO_RUN}/resume\n{json}"), r#"{"aproved": true}"#),
        ("cancel_typo", format!("POST /api/v1/runs/{NO_RUN}/cancel\n{json}"), r#"{"raeson": "x"}"#),
    ];
    for (name, head, body) in calls {
        let answer = call(&head, body).await;
        insta::assert_json_snapshot!(name, answer.json());
    }
}

#[tokio::test]
async fn an_unknown_step_type_is_a_422_with_its_place() {
    let body = r#"{"flow": {"name": "x", "steps": [{"id": "a", "type": "nope", "config": {}}]}}"#;
    let answer = call("POST /api/v1/runs\ncontent-type: application/json", body).await;
    check(&answer, 422, "invalid_flow");
    let error = &answer.json()["errors"][0];
    assert_eq!(error["path"], "flow.steps[0].type", "{error}");
    assert_eq!(error["line"], 1, "{error}");
    assert!(error["column"].as_u64().unwrap() > 40, "{error}");
}

#[tokio::test]
async fn a_bare_yaml_flow_is_read_as_a_flow() {
    let body = "name: x\nsteps:\n  - id: a\n    type: nope\n";
    for kind in ["application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml; charset=utf-8"] {
        let answer = call(&format!("POST /api/v1/runs\ncontent-type: {kind}"), body).await;
        check(&answer, 422, "invalid_flow");
        assert_eq!(answer.json()["errors"][0]["line"], 4, "{kind}");
    }
}

#[tokio::test]
async fn large_flows_are_refused_with_all_their_errors() {
    let step = |id: usize| format!(r#"{{"id": "s{id}", "type": "nope", "config": {{}}}}"#);
    let steps: Vec<_> = (0..2_000).map(step).collect();
    let body = format!(r#"{{"flow": {{"name": "x", "steps": [{}]}}}}"#, steps.join(","));
    let answer = call("POST /api/v1/runs\ncontent-type: application/json", body).await;
    check(&answer, 422, "invalid_flow");
    assert!(answer.json()["errors"].as_array().unwrap().len() > 50);
}

#[tokio::test]
async fn bodies_over_the_limit_are_413() {
    let body = "x".repeat(RUN_BODY_BYTES_MAX + 1);
    check(&call("POST /api/v1/runs\ncontent-type: application/json", body).await, 413, "body_too_large");
    let reason = format!(r#"{{"reason": "{}"}}"#, "x".repeat(REASON_BYTES_MAX + 1));
    let head = format!("POST /api/v1/runs/{NO_RUN}/cancel\ncontent-type: application/json");
    check(&call(&head, reason).await, 400, "malformed_body");
}

#[tokio::test]
async fn bodies_that_are_no_text_are_refused() {
    let answer = call("POST /api/v1/runs\ncontent-type: application/json", &b"\xff\xfe"[..]).await;
    check(&answer, 400, "malformed_body");
}

#[tokio::test]
async fn what_belongs_to_a_run_that_is_not_there_is_404() {
    for call_of_run in ["", "/events", "/steps/a/log"] {
        check(&call(&format!("GET /api/v1/runs/{NO_RUN}{call_of_run}"), "").await, 404, "no_such_run");
        check(&call(&format!("GET /api/v1/runs/nope{call_of_run}"), "").await, 404, "no_such_run");
    }
    let stream = format!("GET /api/v1/runs/{NO_RUN}/events\naccept: text/event-stream");
    check(&call(&stream, "").await, 404, "no_such_run");
    check(&call(&format!("POST /api/v1/runs/{NO_RUN}/cancel"), "").await, 404, "no_such_run");
    check(&call(&format!("DELETE /api/v1/runs/{NO_RUN}"), "").await, 404, "no_such_run");
}

#[tokio::test]
async fn an_empty_host_lists_nothing() {
    assert_eq!(
        call("GET /api/v1/runs?status=failed&limit=1", "").await.json()["runs"],
        serde_json::json!([])
    );
    assert_eq!(call("GET /api/v1/catalog/steps", "").await.json(), serde_json::json!([]));
    assert_eq!(call("GET /api/v1/plugins", "").await.json(), serde_json::json!([]));
}

#[tokio::test]
async fn the_allow_header_lists_the_methods() {
    let answer = call("PUT /api/v1/runs", "").await;
    check(&answer, 405, "no_such_method");
    let allowed = answer.headers["allow"].to_str().unwrap();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
}

#[tokio::test]
async fn health_and_root_answer() {
    assert_eq!(call("GET /healthz", "").await.body, "ok\n");
    assert_eq!(call("GET /", "").await.json()["name"], "stepcell");
    assert!(call("GET /\naccept: text/html", "").await.body.starts_with(b"stepcell "));
    let metrics = call("GET /metrics", "").await;
    insta::assert_snapshot!(str::from_utf8(&metrics.body).unwrap());
}

#[tokio::test]
async fn every_documented_call_is_served() {
    let document = call("GET /api/v1/openapi.json", "").await.json();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace("{run_id}", NO_RUN).replace("{step}", "a").replace("{type}", "x");
            let path = path.replace("{id}", NO_BLOB).replace("{name}", "x");
            let answer = call(&format!("{} {path}", method.to_uppercase()), "").await;
            let code = if answer.status >= 400 { answer.code() } else { String::new() };
            assert!(!matches!(code.as_str(), "no_such_path" | "no_such_method"), "{method} {path}: {code}");
        }
    }
}
