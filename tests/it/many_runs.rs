//! Many runs with one call, and flows in files of their own: what a shell plays against a host.

use std::{fs, path::Path};

use reqwest::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use stepcell_tests::{Call, Host, Output, eventually, stepcell};

/// Fails where `n` ends in 7.
const FLOW: &str = r#"
name: nines
input: { type: object, required: [n], properties: { n: { type: integer } } }
steps:
  - id: fits
    type: condition
    config: { expression: "{{ input.n % 10 != 7 }}" }
  - { id: no, type: transform, after: [fits.false], config: { output: "{{ 1 // 0 }}" } }
  - { id: next, type: transform, config: { output: "{{ input.n + 1 }}" } }
output: "{{ steps.next }}"
"#;

/// `{"n": 1}` and so on, one on each line.
fn inputs(folder: &Path, count: usize) {
    let lines: String = (1..=count).map(|n| format!("{{\"n\": {n}}}\n")).collect();
    fs::write(folder.join("in.jsonl"), lines).unwrap();
    fs::write(folder.join("flow.yaml"), FLOW).unwrap();
}

fn submit(host: &Host, more: &[&str]) -> Output {
    let call = ["submit", "flow.yaml", "--inputs", "in.jsonl", "--url", &host.url];
    stepcell(host.folder(), &[&call, more].concat())
}

async fn runs_of(host: &Host) -> usize {
    host.get("/runs?limit=500").await.1["runs"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_inputs_is_run_and_counted() {
    let host = Host::start().await;
    inputs(host.folder(), 120);
    let first = submit(&host, &["--idempotency-key", "night", "--output", "json"]);
    assert_eq!(first.code, Some(1), "{}", first.shown());
    let summary = first.json();
    assert_eq!(
        (&summary["succeeded"], &summary["failed"], &summary["not_sent"]),
        (&json!(108), &json!(12), &json!(0))
    );
    let mut failed: Vec<_> =
        summary["unsuccessful"].as_array().unwrap().iter().map(|run| run["line"].as_u64().unwrap()).collect();
    failed.sort_unstable();
    assert_eq!(failed, (0..12).map(|ten| ten * 10 + 7).collect::<Vec<_>>());
    let run = &summary["unsuccessful"][0];
    assert_eq!(host.show(run["run_id"].as_str().unwrap()).await["input"]["n"], run["line"]);

    // The same call again finds its runs, and starts none.
    let again = submit(&host, &["--idempotency-key", "night"]);
    assert!(again.stdout.starts_with("120 of 120 runs of nines ended"), "{}", again.shown());
    assert_eq!(again.code, Some(1), "{}", again.shown());
    assert_eq!(runs_of(&host).await, 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_line_is_named_before_anything_starts() {
    let host = Host::start().await;
    inputs(host.folder(), 1);
    fs::write(host.folder().join("in.jsonl"), "{\"n\": 1}\n\n{\"n\" 2}\n{\"n\": \"x\"}\n").unwrap();
    let refused = submit(&host, &[]);
    assert_eq!(refused.code, Some(2), "{}", refused.shown());
    assert!(
        refused.stderr.contains("in.jsonl:3:") && refused.stderr.contains("in.jsonl:4:"),
        "{}",
        refused.shown()
    );
    assert_eq!(runs_of(&host).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_waited_out() {
    let host = Host::builder().config("concurrency: { runs: 1, queue: 1 }").start().await;
    inputs(host.folder(), 6);
    let done = submit(&host, &["--concurrency", "6", "--output", "json"]);
    assert_eq!((done.code, &done.json()["succeeded"]), (Some(0), &json!(6)), "{}", done.shown());
}

const ASK: &str = "name: ask\nsteps: [{ id: ok, type: wait_for_approval, config: { label: Go } }]";

/// A call that submits so many runs of [`ASK`], once all of them wait; and their ids.
async fn asking(host: &Host, count: usize) -> (Call, Vec<String>) {
    inputs(host.folder(), count);
    fs::write(host.folder().join("flow.yaml"), ASK).unwrap();
    let arguments = ["submit", "flow.yaml", "--inputs", "in.jsonl", "--url", &host.url, "--output", "json"];
    let call = Call::start(host.folder(), &arguments);
    let ids = eventually("all wait", || async {
        let (_, page) = host.get("/runs?status=waiting").await;
        let runs = page["runs"].as_array().unwrap();
        let ids = runs.iter().map(|run| run["run_id"].as_str().unwrap().to_owned());
        (runs.len() == count).then(|| ids.collect::<Vec<_>>())
    })
    .await;
    (call, ids)
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_is_waited_for() {
    let mut host = Host::start().await;
    host.keep_address();
    let (mut call, runs) = asking(&host, 3).await;
    host.kill();
    call.until_said("the server is away");
    host.start_again().await;
    for run in &runs {
        let (status, resumed) = host.resume(run, &json!({})).await;
        assert_eq!(status, 200, "{resumed:#}");
    }
    let done = call.end();
    assert_eq!((done.code, &done.json()["succeeded"]), (Some(0), &json!(3)), "{}", done.shown());
    assert_eq!(runs_of(&host).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_taken_is_named_also_where_the_server_is_gone() {
    let host = Host::start().await;
    let (mut call, runs) = asking(&host, 1).await;
    // On its way out the server says which run it is.
    signal(host.pid(), Signal::TERM);
    call.until_said("the server is away");
    signal(call.pid(), Signal::INT);
    call.until_said("no more are sent");
    signal(call.pid(), Signal::INT);
    let left = call.end();
    assert_eq!(left.code, Some(1), "{}", left.shown());
    assert_eq!(left.json()["still_running"], json!([{"line": 1, "run_id": runs[0]}]), "{}", left.shown());
    assert_eq!(left.json()["not_sent"], 0, "{}", left.shown());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_was_there_is_not_waited_for() {
    let mut host = Host::start().await;
    inputs(host.folder(), 3);
    host.kill();
    let refused = submit(&host, &[]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{}", refused.shown());
    assert!(refused.stderr.contains("can not be reached"), "{}", refused.shown());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_server_finds_in_a_line_is_told_with_the_line() {
    let host = Host::start().await;
    inputs(host.folder(), 1);
    let missing = json!({"n": 2, "letter": {"$blob": {"sha256": "0".repeat(64)}}});
    fs::write(host.folder().join("in.jsonl"), format!("{{\"n\": 1}}\n\n{missing}\n")).unwrap();
    let refused = submit(&host, &["--concurrency", "1"]);
    assert_eq!(refused.code, Some(2), "{}", refused.shown());
    assert!(refused.stderr.contains("in.jsonl:3:1: "), "{}", refused.shown());
}

fn echo() -> Value {
    json!({"name": "echo", "steps": [{"id": "a", "type": "transform", "config": {"output": "{{ input }}"}}]})
}

async fn post_lines(host: &Host, kind: &str, body: String) -> (StatusCode, Value) {
    let request = host.request(Method::POST, "/runs").header("content-type", kind);
    let response = request.body(body).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

#[tokio::test]
async fn lines_whose_runs_are_there_are_named_where_another_is_refused() {
    let host = Host::start().await;
    let other = json!({"flow": echo(), "input": 0, "idempotency_key": "three"});
    let (_, other) = host.post("/runs", &other).await;
    let lines = format!(
        "{{\"flow\": {}, \"input\": 1}}\n\n{{\"input\": 3}}\n{{\"input\": 4, \"idempotency_key\": \"three\"}}\n",
        echo()
    );
    let (status, problem) = post_lines(&host, "application/jsonl", lines).await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("idempotency_key_reused")), "{problem:#}");
    assert!(problem["detail"].as_str().unwrap().contains(other["run_id"].as_str().unwrap()), "{problem:#}");
    let runs = problem["runs"].as_array().unwrap_or_else(|| panic!("{problem:#}"));
    let lines: Vec<_> = runs.iter().map(|run| run["line"].clone()).collect();
    assert_eq!(lines, [1, 3], "{problem:#}");
    for run in runs {
        let done = host.until(run["run_id"].as_str().unwrap(), "succeeded").await;
        assert_eq!(done["input"], run["line"], "{done:#}");
    }
}

#[tokio::test]
async fn lines_over_http_start_a_run_each() {
    let host = Host::start().await;
    let flow = echo();
    let post = |kind: &'static str, body: String| post_lines(&host, kind, body);
    let body = format!(
        "{{\"flow\": {flow}, \"input\": 1}}\n{{\"input\": 2, \"idempotency_key\": \"two\"}}\n{{\"input\": 3}}\n"
    );
    for kind in ["application/jsonl", "application/x-ndjson"] {
        let (status, started) = post(kind, body.clone()).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{started:#}");
        for (index, run) in started["runs"].as_array().unwrap().iter().enumerate() {
            let done = host.until(run["run_id"].as_str().unwrap(), "succeeded").await;
            assert_eq!(done["output"], json!({"a": index + 1}));
        }
    }
    assert_eq!(runs_of(&host).await, 5, "the line with a key is the same run both times");
    let (status, problem) = post("application/jsonl", format!("{body}{{\"input\": }}\n")).await;
    assert_eq!(
        (status, &problem["errors"][0]["line"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!(4)),
        "{problem:#}"
    );
    assert_eq!(runs_of(&host).await, 5, "nothing starts where a line is wrong");
}

/// A flow that runs `inner.yaml` for each of three items.
fn files(folder: &Path, kind: &str) {
    let outer = "name: outer\nsteps:\n  - id: m\n    type: for_each\n    config:\n      items: [1, 2, 3]\n      step_config:\n        type: sub_flow\n        config: { flow: parts/inner.yaml, input: \"{{ item }}\" }\noutput: \"{{ steps.m.results }}\"\n";
    let inner = format!(
        "name: inner\nsteps:\n  - id: x\n    type: {kind}\n    config: {{ output: \"{{{{ input * 10 }}}}\" }}\noutput: \"{{{{ steps.x }}}}\"\n"
    );
    fs::create_dir_all(folder.join("parts")).unwrap();
    fs::write(folder.join("outer.yaml"), outer).unwrap();
    fs::write(folder.join("parts/inner.yaml"), inner).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_may_name_the_file_of_another() {
    let host = Host::start().await;
    let call = |arguments: &[&str]| stepcell(host.folder(), arguments);
    files(host.folder(), "transform");
    for arguments in [&["run", "outer.yaml"][..], &["submit", "outer.yaml", "--wait", "--url", &host.url]] {
        let done = call(arguments);
        assert_eq!((done.code, done.json()), (Some(0), json!([10, 20, 30])), "{}", done.shown());
    }
    assert_eq!(call(&["validate", "outer.yaml"]).code, Some(0));

    files(host.folder(), "transfrom");
    for arguments in [&["validate", "outer.yaml"][..], &["submit", "outer.yaml", "--url", &host.url]] {
        let refused = call(arguments);
        assert_eq!(refused.code, Some(2), "{}", refused.shown());
        assert!(refused.stderr.starts_with("parts/inner.yaml:4:11: "), "{}", refused.shown());
    }
}

#[tokio::test]
async fn a_server_reads_no_files_for_its_callers() {
    let host = Host::start().await;
    files(host.folder(), "transform");
    let (status, problem) =
        host.post_yaml("/runs", &fs::read_to_string(host.folder().join("outer.yaml")).unwrap()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem:#}");
    assert_eq!(problem["errors"][0]["path"], "steps[0].config.step_config.config.flow", "{problem:#}");
}

#[test]
fn a_run_in_this_process_gives_up_where_nobody_can_answer() {
    let folder = tempfile::tempdir().unwrap();
    let ask = "name: f\nsteps:\n  - { id: ask, type: wait_for_approval, config: { label: Large order } }\n";
    fs::write(folder.path().join("ask.yaml"), ask).unwrap();
    let given_up = stepcell(folder.path(), &["run", "ask.yaml"]);
    assert_eq!(given_up.code, Some(1), "{}", given_up.shown());
    assert!(
        given_up.stderr.contains("Large order") && given_up.stderr.contains("stepcell serve"),
        "{}",
        given_up.shown()
    );
    // With a time-out it is only a matter of time.
    let timed = ask.replace("Large order", "Large order, timeout: 100ms")
        + "  - { id: late, type: transform, after: [ask.timed_out], config: { output: 1 } }\n";
    fs::write(folder.path().join("ask.yaml"), timed).unwrap();
    let done = stepcell(folder.path(), &["run", "ask.yaml"]);
    assert_eq!((done.code, done.json()["late"].clone()), (Some(0), json!(1)), "{}", done.shown());
}
