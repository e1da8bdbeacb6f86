//! Each limit, provoked once by a guest that asks for it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stepcell_tests::{Host, HostBuilder};

fn builder() -> HostBuilder {
    Host::builder()
        .guest("tight_loop")
        .guest("memory_hog")
        .guest("deep_recursion")
        .guest("big_output")
        .guest("panics")
}

/// Fuel that no test waits for the end of: the default is used up in half a second.
const ENDLESS: &str = "limits: { fuel: 1000G, time: 1h }";

/// Runs one step of a type and gives why it failed.
async fn failure(host: &Host, kind: &str, config: Value, limits: Value) -> Value {
    let flow = json!({"name": "limit", "steps": [
        {"id": "a", "type": kind, "config": config, "limits": limits},
    ]});
    let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
    assert_eq!(run["status"], "failed", "{run:#}");
    assert_eq!(run["error"]["kind"], "system", "{run:#}");
    run["error"].clone()
}

#[track_caller]
fn names(failure: &Value, code: &str, parts: &[&str]) {
    assert_eq!(failure["code"], code, "{failure:#}");
    let text = format!("{} {}", failure["message"], failure["hint"]);
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in {failure:#}");
    }
}

#[tokio::test]
async fn fuel_ends() {
    let host = builder().start().await;
    let failure = failure(&host, "tight_loop", json!({}), json!({"fuel": "10M"})).await;
    assert_eq!(failure["fault"], "limit");
    names(&failure, "fuel_exhausted", &["limits.fuel"]);
}

#[tokio::test]
async fn memory_ends() {
    let host = builder().start().await;
    let failure = failure(&host, "memory_hog", json!({}), json!({"memory": "16MiB"})).await;
    assert_eq!(failure["fault"], "limit");
    names(&failure, "memory_exceeded", &["limits.memory", "16"]);
}

#[tokio::test]
async fn time_ends() {
    let host = builder().start().await;
    let failure = failure(&host, "tight_loop", json!({}), json!({"time": "200ms"})).await;
    assert_eq!(failure["fault"], "limit");
    names(&failure, "time_exceeded", &["limits.time"]);
}

#[tokio::test]
async fn the_stack_ends() {
    let host = builder().start().await;
    let failure = failure(&host, "deep_recursion", json!({}), json!({})).await;
    assert_eq!(failure["fault"], "limit");
    names(&failure, "stack_exhausted", &[]);
}

#[tokio::test]
async fn an_output_has_an_end() {
    let host = builder().start().await;
    let failure = failure(&host, "big_output", json!({"bytes": 100_000}), json!({"output": "50KiB"})).await;
    assert_eq!(failure["fault"], "limit");
    names(&failure, "output_exceeded", &["limits.output"]);
}

#[tokio::test]
async fn a_trap_is_a_failure_of_the_step() {
    let host = builder().start().await;
    let failure = failure(&host, "panics", json!({}), json!({})).await;
    names(&failure, "trap", &["unreachable"]);
}

#[tokio::test]
async fn a_timeout_of_a_step_can_be_tried_again() {
    let host = builder().start().await;
    let run = host
        .run(
            r#"
name: timeout
steps:
  - { id: a, type: tight_loop, timeout: 50ms, retry: { max_attempts: 2, initial: 1ms }, config: {} }
"#,
        )
        .await;
    assert_eq!(run["error"]["fault"], "timeout", "{run:#}");
    assert_eq!(run["error"]["code"], "step_timeout");
    assert_eq!(run["steps"]["a"]["attempts"], 2);
}

#[tokio::test]
async fn the_operators_limit_holds_where_a_flow_asks_for_more() {
    let host = builder().config("limits: { fuel: 5M }").start().await;
    let failure = failure(&host, "tight_loop", json!({}), json!({"fuel": "10G"})).await;
    names(&failure, "fuel_exhausted", &["5"]);
}

#[tokio::test]
async fn cancel_stops_a_tight_loop() {
    let host = builder().config(ENDLESS).start().await;
    let run = host.submit("name: loop\nsteps: [{ id: a, type: tight_loop, config: {} }]").await;
    host.until_step(&run, "a", "running").await;
    let started = Instant::now();
    let (status, cancelled) = host.post(&format!("/runs/{run}/cancel"), &json!({})).await;
    assert_eq!(status, 200, "{cancelled:#}");
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["steps"]["a"]["status"], "cancelled");
    // A hundred milliseconds is what is promised; a loaded machine gets ten times that.
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());

    let (status, problem) = host.post(&format!("/runs/{run}/cancel"), &json!({})).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (409, Some("run_finished")), "{problem:#}");
}

#[tokio::test]
async fn loops_starve_neither_the_api_nor_other_steps() {
    let host = builder().config(ENDLESS).start().await;
    let mut loops = Vec::new();
    for _ in 0..100 {
        loops.push(host.submit("name: loop\nsteps: [{ id: a, type: tight_loop, config: {} }]").await);
    }
    host.until_step(&loops[0], "a", "running").await;
    let run = host.run("name: short\nsteps: [{ id: a, type: transform, config: { output: 1 } }]").await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    let started = Instant::now();
    let (status, _) = host.get("/runs?limit=1").await;
    assert_eq!(status, 200);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(host.show(&loops[99]).await["status"], "running");
}
