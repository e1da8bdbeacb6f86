//! A client that does not know whether its call got through makes it again.

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use stepcell_tests::{Host, Shop};

const FLOW: &str = "name: order\nsteps: [{ id: a, type: transform, config: { output: '{{ input }}' } }]";

async fn submit(host: &Host, flow: &str, input: Value, key: &str) -> (StatusCode, Value) {
    let flow: Value = serde_yaml_ng::from_str(flow).unwrap();
    host.post("/runs", &json!({"flow": flow, "input": input, "idempotency_key": key})).await
}

/// The id of the run that a submission gave.
async fn run_of(host: &Host, input: Value, key: &str) -> Value {
    let (status, run) = submit(host, FLOW, input, key).await;
    assert!(status.is_success(), "{run:#}");
    run["run_id"].clone()
}

#[tokio::test]
async fn the_same_key_and_body_give_the_same_run_also_after_a_kill() {
    let mut host = Host::start().await;
    let run = run_of(&host, json!({"id": 7, "net": 1}), "order-7").await;
    assert_eq!(run_of(&host, json!({"net": 1, "id": 7}), "order-7").await, run);
    assert_ne!(run_of(&host, json!({"id": 7, "net": 1}), "order-8").await, run);
    host.until(run.as_str().unwrap(), "succeeded").await;
    host.restart().await;
    assert_eq!(run_of(&host, json!({"id": 7, "net": 1}), "order-7").await, run);
    assert_eq!(host.get("/runs").await.1["runs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused() {
    let host = Host::start().await;
    let run = run_of(&host, json!({"id": 7}), "order-7").await;
    let (status, problem) = submit(&host, FLOW, json!({"id": 8}), "order-7").await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("idempotency_key_reused")));
    assert!(problem["detail"].as_str().unwrap().contains(run.as_str().unwrap()), "{problem:#}");
    let other = FLOW.replace("order", "offer");
    assert_eq!(submit(&host, &other, json!({"id": 7}), "order-7").await.0, StatusCode::CONFLICT);
}

#[tokio::test]
async fn of_many_calls_at_once_one_starts_a_run() {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).start().await;
    let flow = format!(
        "name: pay\nsteps: [{{ id: a, type: http_request, config: {{ method: POST, url: \"{}/echo\" }} }}]",
        shop.url()
    );
    let calls = (0..16).map(|_| submit(&host, &flow, json!({"id": 7}), "pay-7"));
    let runs: Vec<_> = join_all(calls).await.into_iter().map(|(_, run)| run["run_id"].clone()).collect();
    assert!(runs.iter().all(|run| run.is_string() && *run == runs[0]), "{runs:?}");
    host.until(runs[0].as_str().unwrap(), "succeeded").await;
    assert_eq!(shop.seen().len(), 1);
}

#[tokio::test]
async fn who_waits_gets_the_end_of_the_first() {
    let host = Host::start().await;
    let body = json!({
        "flow": serde_yaml_ng::from_str::<Value>(FLOW).unwrap(), "input": {"id": 7}, "idempotency_key": "k",
    });
    let (_, first) = host.post("/runs?wait=30s", &body).await;
    let (status, again) = host.post("/runs?wait=30s", &body).await;
    assert_eq!(
        (status, &again["run_id"], &again["output"]),
        (StatusCode::OK, &first["run_id"], &first["output"])
    );
}

#[tokio::test]
async fn many_inputs_are_submitted_once() {
    let host = Host::start().await;
    let submit = async |inputs: Value| {
        let flow: Value = serde_yaml_ng::from_str(FLOW).unwrap();
        host.post("/runs", &json!({"flow": flow, "inputs": inputs, "idempotency_key": "batch"})).await
    };
    let inputs = json!((0..20).map(|n| json!({"n": n})).collect::<Vec<_>>());
    let (_, first) = submit(inputs.clone()).await;
    let (_, again) = submit(inputs).await;
    let ids = |answer: &Value| {
        let runs = answer["runs"].as_array().unwrap_or_else(|| panic!("{answer:#}"));
        runs.iter().map(|run| run["run_id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&first), ids(&again));
    let (status, problem) = submit(json!([{"n": 1}])).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("idempotency_key_reused")));
    assert_eq!(host.get("/runs?limit=100").await.1["runs"].as_array().unwrap().len(), 20);
}
