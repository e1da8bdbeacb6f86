//! A disk that takes what it is given, and fails to keep it.

use futures_util::future::join_all;
use serde_json::{Value, json};
use stepcell_tests::Host;

const SHORT: &str = "name: short\nsteps: [{ id: a, type: transform, config: { output: 1 } }]";

#[tokio::test]
async fn what_could_not_be_synced_is_not_acknowledged() {
    let mut host = Host::start().await;
    let before = host.run(SHORT).await;
    let id = before["run_id"].as_str().unwrap();
    let asks = host.submit("name: ask\nsteps: [{ id: a, type: wait_for_approval, config: {} }]").await;
    host.until(&asks, "waiting").await;
    host.kill();
    host.fail_syncs(true);
    host.start_again().await;

    // Many at a time: one sync fails them all, and whoever comes later is refused.
    let flow = json!({"flow": {"name": "short", "steps": [{"id": "a", "type": "transform", "config": {"output": 1}}]}});
    let many = join_all((0..16).map(|_| host.post("/runs", &flow))).await;
    for (status, problem) in many {
        assert!(status.is_server_error(), "{status} {problem:#}");
        assert!(["store_io", "store_failed"].contains(&problem["code"].as_str().unwrap()), "{problem:#}");
    }
    for (path, body) in [
        ("/runs", flow.clone()),
        ("/runs?wait=10s", flow.clone()),
        ("/events/paid", json!({"payload": 1})),
        (format!("/runs/{asks}/resume").as_str(), json!({"payload": 1})),
        (format!("/runs/{asks}/cancel").as_str(), json!({})),
    ] {
        check_failed(path, &host.post(path, &body).await);
    }
    let ready = reqwest::get(format!("{}/readyz", host.url)).await.unwrap().status();
    assert_eq!(ready, 503, "who can not write is not ready");

    // Reading goes on, and shows what was there before.
    assert_eq!(host.show(id).await, before);
    assert_eq!(host.show(&asks).await["status"], "waiting");
    let (_, runs) = host.get("/runs").await;
    assert_eq!(runs["runs"].as_array().unwrap().len(), 2, "{runs:#}");

    // With a disk that works, all is as it was acknowledged.
    host.kill();
    host.fail_syncs(false);
    host.start_again().await;
    assert_eq!(host.show(id).await, before);
    let (status, answer) = host.resume(&asks, &json!({"payload": 1})).await;
    assert_eq!(status, 200, "{answer:#}");
    host.until(&asks, "succeeded").await;
    assert_eq!(host.run(SHORT).await["status"], "succeeded");
}

#[track_caller]
fn check_failed(path: &str, (status, problem): &(reqwest::StatusCode, Value)) {
    assert_eq!((status.as_u16(), &problem["code"]), (503, &json!("store_failed")), "{path}: {problem:#}");
    assert!(problem["hint"].as_str().unwrap().contains("restart"), "{path}: {problem:#}");
}
