//! A disk without room.

use rand::{
    SeedableRng,
    distr::{Alphanumeric, SampleString},
    rngs::StdRng,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stepcell_tests::{Effects, Host, eventually};

/// What the store keeps free, and as much again for what it writes.
const DISK_MEBIBYTES: u32 = 128;
const SHORT: &str = "name: short\nsteps: [{ id: a, type: transform, config: { output: 1 } }]";

fn flow() -> Value {
    json!({"name": "short", "steps": [{"id": "a", "type": "transform", "config": {"output": 1}}]})
}

/// No room, in words that say what to do.
#[track_caller]
fn check_full(what: &str, (status, problem): &(StatusCode, Value)) {
    assert_eq!((status.as_u16(), &problem["code"]), (507, &json!("store_full")), "{what}: {problem:#}");
    assert!(problem["hint"].as_str().unwrap().contains("free some space"), "{what}: {problem:#}");
}

#[tokio::test]
async fn a_full_disk_refuses_new_work_and_goes_on_when_there_is_room() {
    let effects = Effects::start().await;
    let host = Host::builder().config(&effects.grant()).small_disk(DISK_MEBIBYTES).start().await;
    let done = host.run(SHORT).await;
    let nap = host
        .submit(&format!(
            r#"
name: nap
steps:
  - {{ id: nap, type: delay, config: {{ seconds: 2 }} }}
  - {{ id: a, type: http_request, after: nap, config: {{ method: POST, url: "{}/do/nap" }} }}
"#,
            effects.url()
        ))
        .await;
    let asks = host.submit("name: ask\nsteps: [{ id: a, type: wait_for_approval, config: {} }]").await;
    let other = host.submit("name: ask\nsteps: [{ id: a, type: wait_for_approval, config: {} }]").await;
    for run in [&nap, &asks, &other] {
        host.until(run, "waiting").await;
    }
    host.fill_disk();

    // What would have to be on the disk is refused, whoever asks for it.
    check_full("a run", &host.post("/runs", &json!({"flow": flow()})).await);
    check_full("a run that is waited for", &host.post("/runs?wait=10s", &json!({"flow": flow()})).await);
    check_full("many runs", &host.post("/runs", &json!({"flow": flow(), "inputs": [1, 2]})).await);
    check_full("an answer", &host.resume(&asks, &json!({"payload": 1})).await);
    check_full("a cancel", &host.post(&format!("/runs/{other}/cancel"), &json!({})).await);
    check_full("an event", &host.post("/events/paid", &json!({"payload": 1})).await);
    let blob = host.request(Method::POST, "/blobs").header("content-type", "application/octet-stream");
    assert_eq!(blob.body(vec![7; 1 << 20]).send().await.unwrap().status(), 507);

    // Reading goes on.
    let id = done["run_id"].as_str().unwrap();
    assert_eq!(host.show(id).await, done);
    assert!(!host.events(&done).await.is_empty());
    assert_eq!(host.get("/runs").await.0, 200);
    assert_eq!(reqwest::get(format!("{}/healthz", host.url)).await.unwrap().status(), 200);

    // A timer that is due meanwhile is none the less there afterwards, and nothing is done to the world before.
    let due = host.show(&nap).await["steps"]["nap"]["wait"]["until"].clone();
    eventually("the timer is due", || async { is_past(&due).then_some(()) }).await;
    assert_eq!(host.show(&nap).await["status"], "waiting");
    assert!(effects.done().is_empty());

    // Room is made by removing runs, too.
    let removed = host.request(Method::DELETE, &format!("/runs/{id}")).send().await.unwrap();
    assert!(matches!(removed.status().as_u16(), 200 | 204 | 507), "{}", removed.status());

    host.clear_disk();
    assert_eq!(host.run(SHORT).await["status"], "succeeded");
    let run = host.until(&nap, "succeeded").await;
    assert_eq!(run["steps"]["nap"]["attempts"], 1, "{run:#}");
    assert_eq!(effects.done().len(), 1);
    let (status, answer) = host.resume(&asks, &json!({"payload": 1})).await;
    assert_eq!(status, 200, "what was refused does not count: {answer:#}");
    host.until(&asks, "succeeded").await;
    let (status, cancelled) = host.post(&format!("/runs/{other}/cancel"), &json!({})).await;
    assert_eq!((status.as_u16(), &cancelled["status"]), (200, &json!("cancelled")), "{cancelled:#}");
}

fn is_past(instant: &Value) -> bool {
    let instant: jiff::Timestamp = instant.as_str().unwrap().parse().unwrap();
    instant < jiff::Timestamp::now()
}

/// In the middle of its work a run is stopped by the disk; it goes on where it was.
#[tokio::test]
async fn runs_under_way_go_on_when_there_is_room() {
    let effects = Effects::start().await;
    let host = Host::builder().config(&effects.grant()).small_disk(DISK_MEBIBYTES).start().await;
    let steps: Vec<Value> = (0..100)
        .map(|n: u32| {
            let after: Vec<String> = n.checked_sub(1).map(|n| format!("s{n}")).into_iter().collect();
            json!({"id": format!("s{n}"), "type": "http_request", "after": after,
                "config": {"method": "POST", "url": format!("{}/do/{n}", effects.url())}})
        })
        .collect();
    let flow = json!({"name": "row", "steps": steps, "output": "{{ steps.s99.body.done }}"});
    let (_, run) = host.post("/runs", &json!({ "flow": flow })).await;
    let id = run["run_id"].as_str().unwrap();
    eventually("it is under way", || async { (effects.done().len() > 5).then_some(()) }).await;
    host.fill_disk();
    // It stands still, and the host knows.
    eventually("nothing more is taken", || async {
        (host.post("/runs", &json!({"flow": self::flow()})).await.0 == 507).then_some(())
    })
    .await;
    host.clear_disk();
    let run = host.until(id, "succeeded").await;
    assert_eq!(run["output"], "99", "{run:#}");
    let log = host.events(&run).await;
    for (n, event) in (1_u64..).zip(&log) {
        assert_eq!(event["seq"], n);
    }
    let succeeded = log.iter().filter(|event| event["type"] == "step.succeeded").count();
    assert_eq!(succeeded, 100);
}

/// In the middle of many submissions the disk is full: whoever sent them gets to know which of them are there.
#[tokio::test]
async fn of_many_runs_those_that_got_to_the_disk_are_named() {
    const LINES: usize = 1_200;
    /// Room for some of them.
    const ROOM: u64 = 5 << 20;
    let host = Host::builder().small_disk(2 * DISK_MEBIBYTES).start().await;
    host.run(SHORT).await;
    host.fill_disk_but((64 << 20) + ROOM);
    // Nothing that could be written shorter.
    let mut random = StdRng::seed_from_u64(7);
    let mut input = |n: usize| json!({"n": n, "text": Alphanumeric.sample_string(&mut random, 10_000)});
    let inputs: Vec<Value> = (0..LINES).map(&mut input).collect();
    let lines: String =
        (inputs.iter()).map(|input| format!("{}\n", json!({"flow": flow(), "input": input}))).collect();
    let request = host.request(Method::POST, "/runs").header("content-type", "application/jsonl");
    let answer = request.body(lines).send().await.unwrap();
    let (status, problem) = (answer.status(), answer.json::<Value>().await.unwrap());
    check_full("many runs", &(status, problem.clone()));
    let named = problem["runs"].as_array().unwrap_or_else(|| panic!("{problem:#}"));
    assert!(!named.is_empty() && named.len() < LINES, "{}", named.len());
    for run in named.iter().step_by(100) {
        let there = host.show(run["run_id"].as_str().unwrap()).await;
        let number = there["input"]["n"].as_u64().unwrap_or_else(|| panic!("{there:#}"));
        assert_eq!(json!(number + 1), run["line"]);
    }
    let mut named: Vec<_> = named.iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect();
    named.sort();
    host.clear_disk();
    let mut there = Vec::new();
    let mut path = "/runs?flow=short&limit=500".to_owned();
    loop {
        let (_, page) = host.get(&path).await;
        let runs = page["runs"].as_array().unwrap();
        there.extend(runs.iter().map(|run| run["run_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/runs?flow=short&limit=500&cursor={next}");
    }
    there.sort();
    // The oldest one is that of the beginning.
    assert_eq!(there[1..], named);
}
