//! Runs over HTTP, as a program that submits them sees it.

use serde_json::{Value, json};
use stepcell_tests::Host;

const FLOW: &str = "name: short\nsteps: [{ id: a, type: transform, config: { output: 1 } }]";

#[tokio::test]
async fn yaml_and_json_give_the_same_run() {
    let host = Host::start().await;
    let (status, by_yaml) = host.post_yaml("/runs?wait=60s", FLOW).await;
    assert_eq!(status, 200, "{by_yaml:#}");
    let flow = json!({"name": "short", "steps": [{"id": "a", "type": "transform", "config": {"output": 1}}]});
    let (_, by_json) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
    let (_, in_yaml) = host.post_yaml("/runs?wait=60s", &format!("flow: {flow}\ninput: {{}}")).await;
    for run in [&by_yaml, &by_json, &in_yaml] {
        assert_eq!((&run["status"], &run["output"]), (&json!("succeeded"), &json!({"a": 1})), "{run:#}");
    }
}

#[tokio::test]
async fn a_submitted_run_is_accepted_and_can_be_shown() {
    let host = Host::start().await;
    let request = host.request(reqwest::Method::POST, "/runs").header("content-type", "application/yaml");
    let answer = request.body(FLOW).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let body: Value = answer.json().await.unwrap();
    let run = body["run_id"].as_str().unwrap();
    assert_eq!(location, format!("/api/v1/runs/{run}"));
    assert!(body["status"].is_string());
    let run = host.until(run, "succeeded").await;
    let mut keys: Vec<_> = run.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        ["created_at", "error", "finished_at", "flow", "input", "output", "run_id", "status", "steps"]
    );
}

#[tokio::test]
async fn runs_are_listed_newest_first_in_pages() {
    let host = Host::start().await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        let (_, run) = host.post_yaml("/runs?wait=60s", FLOW).await;
        runs.push(run["run_id"].clone());
    }
    let (_, page) = host.get("/runs?limit=2&status=succeeded&flow=short").await;
    let ids = |page: &Value| {
        page["runs"].as_array().unwrap().iter().map(|run| run["run_id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&page), [runs[2].clone(), runs[1].clone()]);
    let (_, rest) = host
        .get(&format!("/runs?limit=2&status=succeeded&flow=short&cursor={}", page["next"].as_str().unwrap()))
        .await;
    assert_eq!(ids(&rest), [runs[0].clone()]);
    assert_eq!(rest["next"], Value::Null);
    let (_, none) = host.get("/runs?status=failed").await;
    assert_eq!(none["runs"], json!([]));
}

#[tokio::test]
async fn a_wrong_flow_gets_every_error_at_once_and_no_run() {
    let host = Host::start().await;
    let flow = r#"name: wrong
steps:
  - id: 1a
    type: transform
    config: { output: 1 }
  - id: b
    type: transfrom
    config: { output: "{{ steps.c }}" }
    retires: 3
  - id: d
    type: delay
    config: { minutes: 1 }
"#;
    let (status, problem) = host.post_yaml("/runs", flow).await;
    assert_eq!(status, 422);
    assert_eq!(problem["code"], "invalid_flow");
    let shown: Vec<String> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            format!(
                "{}:{} {} {}",
                error["line"],
                error["column"],
                error["code"].as_str().unwrap(),
                error["message"].as_str().unwrap()
            )
        })
        .collect();
    insta::with_settings!({filters => vec![(r"/[^`\s,]*/plugins", "[PLUGINS]")]}, {
        insta::assert_debug_snapshot!(shown);
    });
    let (_, runs) = host.get("/runs").await;
    assert_eq!(runs["runs"], json!([]));
}

#[tokio::test]
async fn an_input_that_does_not_fit_is_refused() {
    let host = Host::start().await;
    let flow = json!({
        "name": "typed",
        "input": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
        "steps": [{"id": "a", "type": "transform", "config": {"output": "{{ input.id }}"}}],
    });
    let (status, problem) = host.post("/runs", &json!({"flow": flow, "input": {"id": 7}})).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("invalid_input")), "{problem:#}");
}

#[tokio::test]
async fn what_is_no_submission_is_told_so() {
    let host = Host::start().await;
    let post = |kind: Option<&'static str>, body: Vec<u8>| {
        let request = host.request(reqwest::Method::POST, "/runs").body(body);
        let request = match kind {
            Some(kind) => request.header("content-type", kind),
            None => request,
        };
        async move {
            let answer = request.send().await.unwrap();
            let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
            let status = answer.status().as_u16();
            let problem: Value = answer.json().await.unwrap();
            assert_eq!(kind, "application/problem+json");
            assert!(problem["code"].is_string() && problem["title"].is_string(), "{problem:#}");
            status
        }
    };
    assert_eq!(post(None, FLOW.into()).await, 415);
    assert_eq!(post(Some("text/html"), FLOW.into()).await, 415);
    assert_eq!(post(Some("application/yaml"), vec![b'#'; 64 << 20]).await, 413);
    assert!([400, 422].contains(&post(Some("application/json"), b"{".to_vec()).await));
    let deep = [b"{\"flow\":".to_vec(), vec![b'['; 100_000]].concat();
    assert!([400, 422].contains(&post(Some("application/json"), deep).await));
    assert_eq!(host.get("/runs/not-an-id").await.0.as_u16() / 100, 4);
    assert_eq!(host.get("/runs/01890a5d-ac96-774b-bcce-b302099a8057").await.0, 404);
}

#[tokio::test]
async fn only_this_machines_names_may_be_asked_for() {
    let host = Host::start().await;
    let get = |header: &'static str, value: &'static str| {
        host.request(reqwest::Method::GET, "/runs").header(header, value).send()
    };
    assert_eq!(get("host", "evil.example").await.unwrap().status(), 403);
    assert_eq!(get("origin", "http://evil.example").await.unwrap().status(), 403);
    assert_eq!(get("accept", "application/json").await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_host_says_what_it_is_and_how_it_is() {
    let host = Host::start().await;
    for path in ["/", "/healthz", "/readyz", "/metrics"] {
        let answer = reqwest::get(format!("{}{path}", host.url)).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert!(!answer.text().await.unwrap().is_empty(), "{path}");
    }
    let (_, document) = host.get("/openapi.json").await;
    assert_eq!(document["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
    assert!(document["paths"]["/api/v1/runs"]["post"].is_object(), "{document:#}");
}
