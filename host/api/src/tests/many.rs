use super::{answers::check, *};

const FLOW: &str = r#"{"name": "x", "steps": [{"id": "a", "type": "nope"}]}"#;

async fn lines(body: &str) -> Answer {
    call("POST /api/v1/runs\ncontent-type: application/jsonl", body.to_owned()).await
}

#[tokio::test]
async fn lines_that_can_not_be_read_are_named() {
    let answer = lines("{\"flow\": \"f\"}\n\n{\"input\": }\n").await;
    check(&answer, 422, "invalid_lines");
    assert_eq!(answer.json()["errors"][0]["line"], 3, "{:?}", answer.body);
    check(&lines("{\"input\": 1}").await, 422, "invalid_lines");
    check(&lines("\n").await, 422, "invalid_lines");
}

#[tokio::test]
async fn a_flow_in_lines_is_checked_as_any_other() {
    let answer = lines(&format!("{{\"flow\": {FLOW}, \"input\": 1}}\n{{\"input\": 2}}\n")).await;
    check(&answer, 422, "invalid_flow");
    assert_eq!(answer.json()["errors"][0]["path"], "flow.steps[0].type");
    check(&lines("{\"flow\": \"nightly\"}").await, 422, "unknown_flow");
}

#[tokio::test]
async fn many_runs_are_not_waited_for() {
    let waiting = "POST /api/v1/runs?wait=1s\ncontent-type: application/x-ndjson";
    let answer = call(waiting, "{\"flow\": \"f\"}").await;
    check(&answer, 400, "invalid_query");
    assert!(answer.json()["hint"].as_str().unwrap().contains("GET /api/v1/runs/"), "{:?}", answer.body);
}

#[tokio::test]
async fn a_key_in_the_head_is_for_one_submission() {
    let json = "POST /api/v1/runs\ncontent-type: application/json\nidempotency-key: a";
    let answer = call(json, format!(r#"{{"flow": {FLOW}, "idempotency_key": "b"}}"#)).await;
    // What is wrong with the flow is told first.
    check(&answer, 422, "invalid_flow");
    let lines = "POST /api/v1/runs\ncontent-type: application/jsonl\nidempotency-key: a";
    check(&call(lines, "{\"flow\": \"f\"}").await, 400, "invalid_idempotency_key");
    let long =
        format!("POST /api/v1/runs\ncontent-type: application/json\nidempotency-key: {}", "x".repeat(256));
    check(&call(&long, "{}").await, 400, "invalid_idempotency_key");
}
