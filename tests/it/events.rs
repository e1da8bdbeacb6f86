//! What happened, as a page or as it happens.

use futures_util::StreamExt;
use serde_json::{Value, json};
use stepcell_tests::{Host, Shop};

#[tokio::test]
async fn the_log_tells_the_whole_run() {
    let host = Host::start().await;
    let (_, run) = host
        .post_yaml(
            "/runs?wait=60s",
            "name: short\nsteps: [{ id: a, type: condition, config: { expression: 1 } }]",
        )
        .await;
    let id = run["run_id"].as_str().unwrap();
    let (_, page) = host.get(&format!("/runs/{id}/events")).await;
    let events = page["events"].as_array().unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "run.created",
            "run.started",
            "step.routed",
            "step.started",
            "step.branched",
            "step.succeeded",
            "run.succeeded"
        ]
    );
    for (index, event) in events.iter().enumerate() {
        assert_eq!((&event["seq"], &event["run_id"]), (&json!(index + 1), &json!(id)), "{event:#}");
        assert!(event["at"].is_string() && event["data"].is_object(), "{event:#}");
    }
    let (_, rest) = host.get(&format!("/runs/{id}/events?after=6")).await;
    assert_eq!(rest["events"].as_array().unwrap().len(), 1);
}

/// Reads a stream of server-sent events to its end.
async fn stream(host: &Host, run: &str, last: Option<&str>) -> Vec<(String, Value)> {
    let request = host
        .request(reqwest::Method::GET, &format!("/runs/{run}/events"))
        .header("accept", "text/event-stream");
    let request = match last {
        Some(last) => request.header("last-event-id", last),
        None => request,
    };
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut chunks = answer.bytes_stream();
    let mut text = String::new();
    while let Some(chunk) = chunks.next().await {
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim_start().to_owned())
    };
    text.split("\n\n")
        .filter_map(|block| {
            Some((field(block, "id:")?, serde_json::from_str(&field(block, "data:")?).unwrap()))
        })
        .collect()
}

#[tokio::test]
async fn a_live_stream_ends_with_the_run_and_can_be_resumed() {
    let host = Host::start().await;
    let run = host.submit("name: nap\nsteps: [{ id: a, type: delay, config: { seconds: 0.3 } }]").await;
    let all = stream(&host, &run, None).await;
    let kinds: Vec<_> = all.iter().map(|(_, event)| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "run.created",
            "run.started",
            "step.routed",
            "step.started",
            "step.waiting",
            "run.waiting",
            "step.resumed",
            "step.started",
            "step.succeeded",
            "run.succeeded"
        ]
    );
    assert_eq!(stream(&host, &run, Some("7")).await, all[7..]);
}

#[tokio::test]
async fn what_a_step_prints_is_its_log() {
    let host = Host::start().await;
    let (_, run) = host
        .post(
            "/runs?wait=60s",
            &json!({"flow": {"name": "log", "steps": [
                {"id": "a", "type": "inline_code", "config": {"code": "print('one')\nprint('two')\nresult = 1"}},
            ]}}),
        )
        .await;
    let id = run["run_id"].as_str().unwrap();
    let answer = host.request(reqwest::Method::GET, &format!("/runs/{id}/steps/a/log")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "one\ntwo\n");
    assert_eq!(host.get(&format!("/runs/{id}/steps/z/log")).await.0, 404);
}

#[tokio::test]
async fn a_refusal_is_an_event_with_the_line_that_would_allow_it() {
    let shop = Shop::start().await;
    let host = Host::start().await;
    let run = host
        .run(&format!(
            "name: refused\nsteps: [{{ id: a, type: http_request, config: {{ url: \"{}/orders/7\" }} }}]",
            shop.url()
        ))
        .await;
    assert_eq!(run["error"]["fault"], "denied", "{run:#}");
    let (_, page) = host.get(&format!("/runs/{}/events", run["run_id"].as_str().unwrap())).await;
    let events = page["events"].as_array().unwrap();
    let refusal = events.iter().find(|event| event["type"] == "capability.denied").expect("a refusal");
    assert_eq!(refusal["step"], "a");
    let allow = refusal["data"]["allow"].as_str().unwrap();
    assert!(allow.contains(&shop.url()), "{allow}");
    assert_eq!(shop.seen().len(), 0);

    // The line does what it says.
    let host = Host::builder().config(allow).start().await;
    let run = host
        .run(&format!(
            "name: allowed\nsteps: [{{ id: a, type: http_request, config: {{ url: \"{}/orders/7\" }} }}]",
            shop.url()
        ))
        .await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
}
