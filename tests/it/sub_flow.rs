//! A flow within a flow.

use serde_json::{Value, json};
use stepcell_tests::{Host, Shop, eventually};

async fn with_shop() -> (Shop, Host) {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).guest("fails").start().await;
    (shop, host)
}

/// A flow whose step `s` runs another one with these steps, and more keys of its own.
fn around(steps: Value, more: Value) -> Value {
    let mut flow = json!({"name": "outer", "steps": [
        {"id": "s", "type": "sub_flow", "config": {"flow": {"name": "inner", "steps": steps}}},
    ]});
    flow.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    flow
}

async fn run(host: &Host, flow: Value) -> Value {
    let (status, run) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
    assert_eq!(status, 200, "{run:#}");
    run
}

fn get(id: &str, url: &str) -> Value {
    json!({"id": id, "type": "http_request", "config": {"url": url}})
}

#[tokio::test]
async fn its_output_is_the_inner_flows() {
    let host = Host::start().await;
    let run = host
        .run_with(
            r#"
name: outer
steps:
  - { id: gross, type: transform, config: { output: "{{ input.gross }}" } }
  - id: s
    type: sub_flow
    config:
      input: { gross: "{{ steps.gross }}" }
      flow:
        name: tax
        input: { type: object, required: [gross], properties: { gross: { type: number } } }
        steps:
          - { id: net, type: transform, config: { output: "{{ input.gross / 2 }}" } }
          - { id: gross, type: transform, config: { output: "{{ [steps.net, input.gross] }}" } }
        output: { net: "{{ steps.net }}", both: "{{ steps.gross }}" }
output: { s: "{{ steps.s }}", gross: "{{ steps.gross }}" }
"#,
            json!({"gross": 119}),
        )
        .await;
    assert_eq!(run["output"], json!({"s": {"net": 59.5, "both": [59.5, 119]}, "gross": 119}), "{run:#}");
    let events = host.events(&run).await;
    assert!(events.iter().any(|event| event["type"] == "step.succeeded" && event["step"] == "s[0].net"));
}

#[tokio::test]
async fn an_input_that_does_not_fit_fails_the_step() {
    let host = Host::start().await;
    let mut flow = around(json!([{"id": "a", "type": "transform", "config": {"output": 1}}]), json!({}));
    flow["steps"][0]["config"]["flow"]["input"] = json!({"type": "object", "required": ["n"]});
    let failed = run(&host, flow.clone()).await;
    assert_eq!(
        (&failed["status"], &failed["error"]["fault"]),
        (&json!("failed"), &json!("config")),
        "{failed:#}"
    );
    flow["steps"][0]["config"]["input"] = json!({"n": 1});
    assert_eq!(run(&host, flow).await["output"], json!({"s": {"a": 1}}));
}

#[tokio::test]
async fn an_inner_failure_is_the_steps_own() {
    let (_shop, host) = with_shop().await;
    let steps = json!([{"id": "no", "type": "fails", "config": {"code": "sold_out"}}]);
    let failed = run(&host, around(steps.clone(), json!({}))).await;
    let error = &failed["error"];
    assert_eq!(
        (&failed["status"], &error["code"], &error["step"]),
        (&json!("failed"), &json!("sold_out"), &json!("s"))
    );
    assert_eq!(error["kind"], "business", "{failed:#}");
    let mut flow = around(steps, json!({}));
    flow["steps"][0]["on_error"] = json!({"use": {"instead": 1}});
    assert_eq!(run(&host, flow).await["output"], json!({"s": {"instead": 1}}));
}

#[tokio::test]
async fn it_sees_nothing_of_the_steps_outside() {
    let host = Host::start().await;
    let inner = json!([{"id": "a", "type": "transform", "config": {"output": "{{ steps.before }}"}}]);
    let mut flow = around(inner, json!({}));
    let before = json!({"id": "before", "type": "transform", "config": {"output": 1}});
    flow["steps"].as_array_mut().unwrap().insert(0, before);
    let (status, problem) = host.post("/runs", &json!({"flow": flow})).await;
    assert_eq!(status, 422, "{problem:#}");
    assert_eq!(
        problem["errors"][0]["path"], "flow.steps[1].config.flow.steps[0].config.output",
        "{problem:#}"
    );
}

#[tokio::test]
async fn a_cancel_reaches_down() {
    let (shop, host) = with_shop().await;
    let gate = format!("{}/gate", shop.url());
    let inner = json!([{"id": "t", "type": "sub_flow", "config": {"flow": {"name": "deep", "steps": [
        get("a", &gate), {"id": "b", "type": "http_request", "after": ["a"], "config": {"url": gate}},
    ]}}}]);
    let (_, run) = host.post("/runs", &json!({"flow": around(inner, json!({}))})).await;
    let id = run["run_id"].as_str().unwrap();
    shop.until_seen(1).await;
    let (status, cancelled) = host.post(&format!("/runs/{id}/cancel"), &json!({})).await;
    assert_eq!((status.as_u16(), &cancelled["status"]), (200, &json!("cancelled")), "{cancelled:#}");
    let events = host.events(&run).await;
    let stopped =
        events.iter().any(|event| event["type"] == "step.cancelled" && event["step"] == "s[0].t[0].a");
    assert!(stopped, "{events:#?}");
    shop.open();
    self::run(&host, around(json!([get("a", &gate)]), json!({}))).await;
    assert_eq!(shop.seen().len(), 2, "the cancelled run asked for nothing more");
}

#[tokio::test]
async fn a_deadline_reaches_down() {
    let (shop, host) = with_shop().await;
    let inner = json!([get("a", &format!("{}/never", shop.url())), {"id": "b", "type": "delay", "config": {"seconds": 3600}}]);
    let failed = run(&host, around(inner, json!({"deadline": "1s"}))).await;
    assert_eq!(
        (&failed["status"], &failed["error"]["fault"]),
        (&json!("failed"), &json!("timeout")),
        "{failed:#}"
    );
    let events = host.events(&failed).await;
    for step in ["s[0].a", "s[0].b"] {
        let stopped = events.iter().any(|event| event["type"] == "step.cancelled" && event["step"] == step);
        assert!(stopped, "{step}: {events:#?}");
    }
}

#[tokio::test]
async fn the_budget_is_the_whole_runs() {
    let (shop, host) = with_shop().await;
    let url = format!("{}/text", shop.url());
    let second = |id: &str, after: &str| json!({"id": id, "type": "http_request", "after": [after], "config": {"url": url}});
    let inner = json!([get("a", &url), second("b", "a"), second("c", "b")]);
    let failed = run(&host, around(inner.clone(), json!({"budget": {"requests": 2}}))).await;
    assert_eq!(failed["error"]["code"], "budget_exhausted", "{failed:#}");
    assert_eq!(shop.seen().len(), 2);
    assert_eq!(run(&host, around(inner, json!({"budget": {"requests": 3}}))).await["status"], "succeeded");
}

#[tokio::test]
async fn grants_narrow_on_the_way_down_and_never_widen() {
    let (shop, host) = with_shop().await;
    let url = shop.url();
    let inner = json!([get("a", &format!("{url}/text"))]);
    let only = |path: &str| json!({"http": [format!("{url}{path}")]});
    let with = |outer: Option<Value>, step: Option<Value>, flow: Option<Value>| {
        let mut made = around(inner.clone(), json!({}));
        let mut put = |place: &str, grant: Option<Value>| {
            if let Some(grant) = grant {
                made.pointer_mut(place).unwrap()["grants"] = grant;
            }
        };
        put("", outer);
        put("/steps/0", step);
        put("/steps/0/config/flow", flow);
        made
    };
    let denied = |run: &Value| assert_eq!(run["error"]["fault"], "denied", "{run:#}");
    assert_eq!(run(&host, with(None, None, None)).await["status"], "succeeded");
    assert_eq!(run(&host, with(Some(only("/text")), None, Some(only("/text")))).await["status"], "succeeded");
    assert_eq!(shop.seen().len(), 2);
    denied(&run(&host, with(Some(only("/orders/")), None, None)).await);
    denied(&run(&host, with(None, Some(only("/orders/")), None)).await);
    denied(&run(&host, with(None, None, Some(only("/orders/")))).await);
    // What the inner flow says adds nothing to what the outer leaves.
    denied(&run(&host, with(Some(only("/orders/")), None, Some(only("/text")))).await);
    assert_eq!(shop.seen().len(), 2);
}

#[tokio::test]
async fn a_secret_in_it_is_a_secret_of_the_flow() {
    let shop = Shop::start().await;
    let url = shop.url();
    let config = format!(
        "secrets: {{ key: {{ value: an-inner-key-of-mine, hosts: [\"{url}\"] }} }}\n\
         grants: {{ http_request: {{ http: [\"{url}\"], secrets: [key] }} }}"
    );
    let host = Host::builder().config(&config).start().await;
    // A number of many digits: what comes back from the plugin has to be known as the flow's own text.
    let step = json!({"id": "a", "type": "http_request", "config": {
        "method": "POST", "url": format!("{url}/echo"), "headers": {"x-key": "{{ secret.key }}"},
        "body": {"share": 94.52706955539223}}});
    let done = run(&host, around(json!([step]), json!({}))).await;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    assert_eq!(shop.seen()[0].header("x-key"), Some("an-inner-key-of-mine"));
    assert_eq!(shop.seen()[0].body, r#"{"share":94.52706955539223}"#);
    assert!(host.files_with("an-inner-key-of-mine").is_empty());
    // A grant above that leaves no secret leaves none below.
    let refused = run(&host, around(json!([step]), json!({"grants": {"secrets": []}}))).await;
    assert_eq!(refused["error"]["fault"], "denied", "{refused:#}");
    assert_eq!(shop.seen().len(), 1);
}

#[tokio::test]
async fn flows_and_lists_stand_in_each_other_through_a_kill() {
    let (shop, mut host) = with_shop().await;
    let url = shop.url();
    let flow = format!(
        r#"
name: outer
steps:
  - id: m
    type: for_each
    config:
      items: [1, 2, 3]
      steps:
        - id: s
          type: sub_flow
          config:
            input: {{ n: "{{{{ item }}}}" }}
            flow:
              name: inner
              steps:
                - {{ id: pay, type: http_request, config: {{ method: POST, url: "{url}/echo", body: "{{{{ input.n }}}}" }} }}
                - {{ id: go, type: wait_for_event, after: pay, config: {{ event_name: go, match: {{ n: "{{{{ input.n }}}}" }} }} }}
              output: "{{{{ steps.pay.body.body * 10 }}}}"
"#
    );
    let run = host.submit(&flow).await;
    host.until(&run, "waiting").await;
    assert_eq!(shop.seen().len(), 3);
    host.restart().await;
    for n in [3, 1, 2] {
        assert_eq!(host.send("go", &json!({"n": n})).await, 1);
    }
    let done = host.until(&run, "succeeded").await;
    let results = json!([{"s": 10}, {"s": 20}, {"s": 30}]);
    assert_eq!(done["output"]["m"]["results"], results, "{done:#}");
    assert_eq!(shop.seen().len(), 3, "what was paid is not paid again");
}

#[tokio::test]
async fn flows_do_not_stand_in_each_other_without_end() {
    let host = Host::start().await;
    let mut flow = json!({"name": "f", "steps": [{"id": "a", "type": "transform", "config": {"output": 1}}]});
    for _ in 0..40 {
        flow = json!({"name": "f", "steps": [{"id": "s", "type": "sub_flow", "config": {"flow": flow}}]});
    }
    let (_, answer) = host.post("/runs", &json!({"flow": flow})).await;
    // Refused where it is read, or where it would go too deep.
    let refused = answer["errors"].is_array() || {
        let run = answer["run_id"].as_str().unwrap().to_owned();
        eventually("the run has ended", || async {
            let run = host.show(&run).await;
            run["finished_at"].is_string().then_some(run)
        })
        .await["error"]["fault"]
            == "limit"
    };
    assert!(refused, "{answer:#}");
}
