//! How a step is tried again.

use serde_json::{Value, json};
use stepcell_tests::{Host, Shop};

async fn with_shop() -> (Shop, Host) {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).guest("fails").start().await;
    (shop, host)
}

/// A flow of one step with this way to be tried again.
fn flow(kind: &str, config: Value, retry: Value) -> Value {
    json!({"name": "retries", "steps": [{"id": "a", "type": kind, "config": config, "retry": retry}]})
}

async fn run(host: &Host, flow: Value) -> Value {
    let (status, run) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
    assert_eq!(status, 200, "{run:#}");
    run
}

fn broken(retryable: bool) -> Value {
    json!({"code": "broken", "retryable": retryable})
}

/// The waits before each attempt after the first, in milliseconds, as the log shows them.
async fn waits(host: &Host, run: &Value) -> Vec<i64> {
    let events = host.events(run).await;
    let at =
        |event: &Value| event["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).map(at).collect::<Vec<_>>();
    let (retrying, started) = (of("step.retrying"), of("step.started"));
    retrying.iter().zip(started.iter().skip(1)).map(|(failed, again)| again - failed).collect()
}

#[tokio::test]
async fn waits_grow_stay_or_are_listed() {
    let (_shop, host) = with_shop().await;
    for (retry, expected) in [
        (
            json!({"max_attempts": 4, "initial": "20ms", "factor": 2, "max": "50ms", "jitter": false}),
            vec![20, 40, 50],
        ),
        (json!({"max_attempts": 3, "backoff": "constant", "initial": "30ms", "jitter": false}), vec![30, 30]),
        (json!({"backoff": ["10ms", "60ms", "0ms"], "jitter": false}), vec![10, 60, 0]),
    ] {
        let run = run(&host, flow("fails", broken(true), retry)).await;
        assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("broken")), "{run:#}");
        assert_eq!(run["steps"]["a"]["attempts"], expected.len() + 1);
        let waits = waits(&host, &run).await;
        let waited = waits.iter().zip(&expected).all(|(wait, expected)| wait >= expected);
        assert!(waited && waits.len() == expected.len(), "{waits:?} {expected:?}");
    }
}

#[tokio::test]
async fn each_fault_may_have_its_rule() {
    let (shop, host) = with_shop().await;
    let retry = json!({"max_attempts": 5, "initial": "1ms", "faults": {"failed": {"max_attempts": 2}, "unavailable": {"max_attempts": 3}}});
    // Not retryable by its own word: the rule for its fault asks for one more all the same.
    let failed = run(&host, flow("fails", broken(false), retry.clone())).await;
    assert_eq!(failed["steps"]["a"]["attempts"], 2, "{failed:#}");
    let url = json!({"url": format!("{}/flaky", shop.url())});
    let done = run(&host, flow("http_request", url, retry)).await;
    assert_eq!(
        (&done["status"], &done["steps"]["a"]["attempts"]),
        (&json!("succeeded"), &json!(3)),
        "{done:#}"
    );
    let none = run(&host, flow("fails", broken(false), json!({"max_attempts": 5, "initial": "1ms"}))).await;
    assert_eq!(none["steps"]["a"]["attempts"], 1);
}

#[tokio::test]
async fn a_most_total_time_ends_it() {
    let (_shop, host) = with_shop().await;
    let retry = json!({"max_attempts": 100, "backoff": "constant", "initial": "100ms", "max_elapsed": "450ms", "jitter": false});
    let run = run(&host, flow("fails", broken(true), retry)).await;
    let attempts = run["steps"]["a"]["attempts"].as_u64().unwrap();
    assert!((2..=5).contains(&attempts), "{run:#}");
    assert_eq!(run["error"]["code"], "broken");
}

#[tokio::test]
async fn a_server_that_says_when_is_asked_then() {
    let (shop, host) = with_shop().await;
    let url = json!({"url": format!("{}/busy", shop.url())});
    let retry = json!({"max_attempts": 2, "initial": "1ms", "max": "5ms"});
    let run = run(&host, flow("http_request", url, retry)).await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    let waits = waits(&host, &run).await;
    assert!(waits.len() == 1 && waits[0] >= 1_000, "{waits:?}");
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_tried_again() {
    let (shop, host) = with_shop().await;
    let config = json!({"method": "POST", "url": format!("{}/never", shop.url())});
    let mut flow = flow("http_request", config, json!({"max_attempts": 3, "initial": "1ms"}));
    flow["steps"][0]["timeout"] = json!("100ms");
    let run = run(&host, flow).await;
    assert_eq!(
        (&run["error"]["fault"], &run["steps"]["a"]["attempts"]),
        (&json!("timeout"), &json!(3)),
        "{run:#}"
    );
    assert_eq!(shop.keys().into_values().collect::<Vec<_>>(), [3]);
}

#[tokio::test]
async fn a_wait_that_is_over_is_not_begun_again() {
    let host = Host::start().await;
    let config = json!({"event_name": "never", "timeout_seconds": 0.05});
    let retry = json!({"max_attempts": 3, "initial": "1ms"});
    let run = run(&host, flow("wait_for_event", config, retry)).await;
    assert_eq!(
        (&run["error"]["code"], &run["steps"]["a"]["attempts"]),
        (&json!("event_timed_out"), &json!(1)),
        "{run:#}"
    );
}

#[tokio::test]
async fn attempts_go_on_counting_through_a_kill() {
    let (shop, mut host) = with_shop().await;
    let config = json!({"method": "POST", "url": format!("{}/broken", shop.url())});
    let retry = json!({"max_attempts": 3, "backoff": "constant", "initial": "700ms", "jitter": false});
    let (_, run) = host.post("/runs", &json!({"flow": flow("http_request", config, retry)})).await;
    let id = run["run_id"].as_str().unwrap();
    for seen in [1, 2] {
        shop.until_seen(seen).await;
        stepcell_tests::eventually("the failure is in the log", || async {
            let retrying =
                host.events(&run).await.iter().filter(|event| event["type"] == "step.retrying").count();
            (retrying == seen).then_some(())
        })
        .await;
        host.restart().await;
    }
    let done = host.until(id, "failed").await;
    assert_eq!((shop.seen().len(), &done["steps"]["a"]["attempts"]), (3, &json!(3)), "{done:#}");
    assert_eq!(shop.keys().len(), 1);
    assert!(waits(&host, &done).await.iter().all(|wait| *wait >= 700));
}

#[tokio::test]
async fn a_cancel_between_attempts_is_the_end() {
    let (shop, host) = with_shop().await;
    let config = json!({"method": "POST", "url": format!("{}/broken", shop.url())});
    let retry = json!({"max_attempts": 9, "backoff": "constant", "initial": "300ms", "jitter": false});
    let (_, run) = host.post("/runs", &json!({"flow": flow("http_request", config, retry)})).await;
    let id = run["run_id"].as_str().unwrap();
    shop.until_seen(1).await;
    let (status, cancelled) = host.post(&format!("/runs/{id}/cancel"), &json!({})).await;
    assert_eq!((status.as_u16(), &cancelled["status"]), (200, &json!("cancelled")), "{cancelled:#}");
    // Longer than the wait would have been.
    host.step("delay", json!({"seconds": 0.5})).await;
    assert_eq!(shop.seen().len(), 1);
}
