//! Sizes that nobody needs: answered in words, and the host goes on.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stepcell_tests::Host;

/// As many steps as a flow may have.
const STEPS: usize = 10_000;
const DEPTH: usize = 100_000;
/// Deeper than anybody's data, and no trouble.
const DEEP: usize = 60;
/// No answer may take longer, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A host that has to stay alive, and the process it was from the start.
struct Sturdy {
    host: Host,
    pid: u32,
}

impl Sturdy {
    async fn start() -> Self {
        let host = Host::builder().config("limits: { time: 60s }").start().await;
        let pid = host.pid();
        Self { host, pid }
    }

    /// Sends a body; gives what was answered. The host has to be there after it, and to run flows.
    async fn survives(&self, path: &str, body: String) -> (StatusCode, Value) {
        let started = Instant::now();
        let request = self.host.request(Method::POST, path).header("content-type", "application/json");
        let response = request.body(body).send().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        let status = response.status();
        let text = response.text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(started.elapsed() < PATIENCE, "{path} took {:?}", started.elapsed());
        let run =
            self.host.run("name: well\nsteps: [{ id: a, type: transform, config: { output: 1 } }]").await;
        assert_eq!(run["output"], json!({"a": 1}), "{run:#}");
        assert_eq!(self.host.pid(), self.pid);
        (status, answer)
    }

    /// The body is refused, with words that are short and say what to do.
    async fn refuses(&self, path: &str, body: String) -> Value {
        let (status, problem) = self.survives(path, body).await;
        assert!(status.is_client_error(), "{path}: {status} {problem:#}");
        assert!(problem["code"].is_string() && problem["detail"].is_string(), "{problem:#}");
        let length = problem.to_string().len();
        assert!(length < 20_000, "{path}: {length} bytes of words");
        problem
    }
}

fn nested(open: &str, close: &str) -> String {
    format!("{}1{}", open.repeat(DEPTH), close.repeat(DEPTH))
}

/// Both kinds of brackets.
fn nestings() -> [String; 2] {
    [nested("[", "]"), nested(r#"{"a":"#, "}")]
}

#[tokio::test]
async fn a_flow_of_ten_thousand_steps_runs() {
    let sturdy = Sturdy::start().await;
    let step = |n: usize| json!({"id": format!("s{n}"), "type": "transform", "config": {"output": n}});
    let wide: Vec<Value> = (0..STEPS).map(step).collect();
    let flow = json!({"name": "wide", "steps": wide, "output": "{{ steps.s9999 }}"});
    let (status, run) = sturdy.survives("/runs?wait=60s", json!({ "flow": flow }).to_string()).await;
    assert_eq!((status.as_u16(), &run["output"]), (200, &json!(9999)), "{}", run["error"]);
}

#[tokio::test]
async fn ten_thousand_steps_in_a_row_run() {
    let sturdy = Sturdy::start().await;
    let step = |n: usize| match n {
        0 => json!({"id": "s0", "type": "transform", "config": {"output": 0}}),
        n => json!({"id": format!("s{n}"), "type": "transform",
            "config": {"output": format!("{{{{ steps.s{} + 1 }}}}", n - 1)}}),
    };
    let row: Vec<Value> = (0..STEPS).map(step).collect();
    let flow = json!({"name": "row", "steps": row, "output": "{{ steps.s9999 }}"});
    let (status, run) = sturdy.survives("/runs?wait=60s", json!({ "flow": flow }).to_string()).await;
    assert_eq!((status.as_u16(), &run["output"]), (200, &json!(9999)), "{}", run["error"]);
}

#[tokio::test]
async fn a_flow_with_one_step_too_many_is_refused() {
    let sturdy = Sturdy::start().await;
    let step = |n: usize| json!({"id": format!("s{n}"), "type": "transform", "config": {"output": n}});
    let steps: Vec<Value> = (0..=STEPS).map(step).collect();
    let problem =
        sturdy.refuses("/runs", json!({"flow": {"name": "many", "steps": steps}}).to_string()).await;
    assert!(problem.to_string().contains("10000"), "{problem:#}");
}

#[tokio::test]
async fn a_step_id_of_ten_thousand_characters_is_refused() {
    let sturdy = Sturdy::start().await;
    let id = "x".repeat(10_000);
    let named = json!({"name": "long", "steps": [{"id": id, "type": "transform", "config": {"output": 1}}]});
    let after = json!({"name": "long", "steps": [
        {"id": "a", "type": "transform", "after": [id], "config": {"output": format!("{{{{ steps.{id} }}}}")}},
    ]});
    for flow in [named, after] {
        let problem = sturdy.refuses("/runs", json!({ "flow": flow }).to_string()).await;
        assert_eq!(problem["code"], "invalid_flow", "{problem:#}");
    }
    let (status, _) = sturdy.host.get(&format!("/runs/{id}")).await;
    assert!(status.is_client_error(), "{status}");
}

#[tokio::test]
async fn deep_nesting_in_a_flow_is_refused() {
    let sturdy = Sturdy::start().await;
    for deep in nestings() {
        for flow in [
            deep.clone(),
            format!(r#"{{"name": "deep", "steps": {deep}}}"#),
            format!(
                r#"{{"name": "deep", "steps": [{{"id": "a", "type": "transform", "config": {{"output": {deep}}}}}]}}"#
            ),
            format!(r#"{{"name": "deep", "steps": [], "output": {deep}}}"#),
        ] {
            sturdy.refuses("/runs", format!(r#"{{"flow": {flow}}}"#)).await;
        }
    }
    // A template is a text with a depth of its own.
    let template = format!("{{{{ {}1{} }}}}", "(".repeat(DEPTH), ")".repeat(DEPTH));
    let step = json!({"id": "a", "type": "transform", "config": {"output": template}});
    sturdy.refuses("/runs", json!({"flow": {"name": "deep", "steps": [step]}}).to_string()).await;
}

#[tokio::test]
async fn deep_nesting_in_a_flow_in_yaml_is_refused() {
    let sturdy = Sturdy::start().await;
    let indented: String = (0..2_000).map(|depth| format!("{}- \n", " ".repeat(depth))).collect();
    for flow in
        [format!("name: deep\nsteps: {}", nested("[", "]")), format!("name: deep\nsteps:\n{indented}")]
    {
        let (status, problem) = sturdy.host.post_yaml("/runs", &flow).await;
        assert!(status.is_client_error(), "{status} {problem:#}");
    }
    sturdy.survives("/runs", "{}".to_owned()).await;
}

#[tokio::test]
async fn deep_nesting_in_an_input_is_answered() {
    let sturdy = Sturdy::start().await;
    let flow = r#"{"name": "echo", "steps": [{"id": "a", "type": "transform", "config": {"output": "{{ input }}"}}]}"#;
    for deep in nestings() {
        sturdy.refuses("/runs", format!(r#"{{"flow": {flow}, "input": {deep}}}"#)).await;
        sturdy.refuses("/runs", format!(r#"{{"flow": {flow}, "inputs": [{deep}]}}"#)).await;
    }
}

#[tokio::test]
async fn deep_nesting_in_the_answer_to_an_approval_is_answered() {
    let sturdy = Sturdy::start().await;
    let run = sturdy.host.submit("name: ask\nsteps: [{ id: a, type: wait_for_approval, config: {} }]").await;
    sturdy.host.until(&run, "waiting").await;
    for deep in nestings() {
        sturdy.refuses(&format!("/runs/{run}/resume"), format!(r#"{{"payload": {deep}}}"#)).await;
    }
    let (status, answer) = sturdy.host.resume(&run, &json!({"payload": 7})).await;
    assert_eq!(status, 200, "{answer:#}");
    let run = sturdy.host.until(&run, "succeeded").await;
    assert_eq!(run["output"]["a"]["payload"], 7, "{run:#}");
}

#[tokio::test]
async fn deep_nesting_in_an_event_is_answered() {
    let sturdy = Sturdy::start().await;
    let run = sturdy
        .host
        .submit("name: wait\nsteps: [{ id: a, type: wait_for_event, config: { event_name: deep, match: { ok: true } } }]")
        .await;
    sturdy.host.until(&run, "waiting").await;
    for deep in nestings() {
        sturdy.refuses("/events/deep", deep.clone()).await;
        sturdy.refuses("/events/deep", format!(r#"{{"payload": {deep}, "id": "x"}}"#)).await;
    }
    assert_eq!(sturdy.host.send("deep", &json!({"ok": true})).await, 1);
    sturdy.host.until(&run, "succeeded").await;
}

/// What the host takes it can also give back: as deep as it is let in.
#[tokio::test]
async fn whatever_depth_is_taken_is_given_back() {
    let sturdy = Sturdy::start().await;
    let flow = r#"{"name": "echo", "steps": [
        {"id": "a", "type": "transform", "config": {"output": "{{ input }}"}},
        {"id": "b", "type": "transform", "config": {"output": "{{ [steps.a] }}"}}], "output": "{{ steps.b }}"}"#;
    for depth in [10, DEEP, 100, 120, 126, 127, 128, 129, 200, 1_000] {
        let deep = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let (status, run) = sturdy
            .survives("/runs?wait=60s", format!(r#"{{"flow": {flow}, "input": {{"x": {deep}}}}}"#))
            .await;
        if run["status"] == "succeeded" {
            let sent: Value = serde_json::from_str(&deep).unwrap();
            assert_eq!(run["output"], json!([{ "x": sent }]), "{depth}");
            continue;
        }
        assert!(depth > DEEP, "{depth}: {status} {run:#}");
        let failed = status.is_success() && run["status"] == "failed" && run["error"]["code"].is_string();
        assert!(failed || status.is_client_error(), "{depth}: {status} {run:#}");
    }
}
