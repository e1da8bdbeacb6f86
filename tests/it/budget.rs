//! What a run may use in all, and the receipt of each step.

use serde_json::{Value, json};
use stepcell_tests::{Host, Llm, Peer, Shop, llm};

/// `steps` is the rest of the flow behind its name.
async fn run(host: &Host, flow: &str) -> Value {
    host.run(&format!("name: spends\n{flow}")).await
}

#[track_caller]
fn used_up(run: &Value, resource: &str) {
    assert_eq!(run["status"], "failed", "{run:#}");
    let error = &run["error"];
    let told = (&error["fault"], &error["code"], &error["kind"]);
    assert_eq!(told, (&json!("limit"), &json!("budget_exhausted"), &json!("system")), "{run:#}");
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains(&format!("budget.{resource}")), "{hint}");
}

async fn shop() -> (Shop, Host) {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).start().await;
    (shop, host)
}

#[tokio::test]
async fn a_run_stops_where_its_requests_are_used_up() {
    let (shop, host) = shop().await;
    let url = shop.url();
    let step = |id: &str, after: &str, more: &str| {
        format!("  - {{ id: {id}, type: http_request, {after} {more} config: {{ url: \"{url}/text\" }} }}\n")
    };
    let row = |more: &str| {
        format!(
            "budget: {{ requests: 2 }}\nsteps:\n{}{}{}",
            step("a", "", more),
            step("b", "after: a,", more),
            step("c", "after: b,", more)
        )
    };
    // Neither goes on: the budget is the run's, not the step's.
    for (at, more) in
        ["", "on_error: continue,", "retry: { max_attempts: 5, initial: 1ms },"].into_iter().enumerate()
    {
        let run = run(&host, &row(more)).await;
        used_up(&run, "requests");
        assert_eq!(run["steps"]["b"]["status"], "succeeded", "{run:#}");
        assert_eq!(shop.seen().len(), 2 * (at + 1), "the third request was never sent");
    }
    let enough = row("").replace("requests: 2", "requests: 3");
    assert_eq!(run(&host, &enough).await["status"], "succeeded");
}

#[tokio::test]
async fn attempts_count_like_steps() {
    let (shop, host) = shop().await;
    let flow = format!(
        "budget: {{ requests: 2 }}\nsteps: [{{ id: a, type: http_request, retry: {{ max_attempts: 9, initial: 1ms }}, config: {{ url: \"{}/broken\" }} }}]",
        shop.url()
    );
    used_up(&run(&host, &flow).await, "requests");
    assert_eq!(shop.seen().len(), 2);
}

#[tokio::test]
async fn the_operators_budget_holds_where_a_flow_asks_for_more() {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).config("budget: { requests: 1 }").start().await;
    let call = format!("type: http_request, config: {{ url: \"{}/text\" }}", shop.url());
    let flow =
        format!("budget: {{ requests: 99 }}\nsteps: [{{ id: a, {call} }}, {{ id: b, after: a, {call} }}]");
    used_up(&run(&host, &flow).await, "requests");
    assert_eq!(shop.seen().len(), 1);
}

#[tokio::test]
async fn bytes_rows_and_fuel_end_too() {
    let shop = Shop::start().await;
    let host = Host::builder()
        .guest("tight_loop")
        .config(&format!(
            "grants: {{ http_request: {{ http: [\"{}\"] }}, database_query: {{ databases: {{ main: schema }} }} }}",
            shop.url()
        ))
        .start()
        .await;
    let get = format!(
        "budget: {{ bytes: 100KiB }}\nsteps: [{{ id: a, type: http_request, config: {{ url: \"{}/big\" }} }}]",
        shop.url()
    );
    used_up(&run(&host, &get).await, "bytes");
    let numbers =
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 50) SELECT n FROM t";
    let select = format!(
        "budget: {{ rows: 49 }}\nsteps: [{{ id: a, type: database_query, config: {{ query: \"{numbers}\" }} }}]"
    );
    used_up(&run(&host, &select).await, "rows");
    let enough = run(&host, &select.replace("rows: 49", "rows: 50")).await;
    assert_eq!(enough["steps"]["a"]["output"]["count"], 50, "{enough:#}");
    let burn = "budget: { fuel: 10M }\nsteps: [{ id: a, type: tight_loop, config: {} }]";
    used_up(&run(&host, burn).await, "fuel");
}

#[tokio::test]
async fn tokens_of_language_models_count() {
    let model = Llm::start("sk-1").await;
    let host = Host::builder()
        .config(&format!("secrets: {{ openai: {{ value: sk-1, hosts: [\"{}\"] }} }}", model.url()))
        .config(&format!("grants: {{ llm_call: {{ http: [\"{}\"], secrets: [openai] }} }}", model.url()))
        .start()
        .await;
    let ask = format!(
        "type: llm_call, config: {{ provider: openai, model: m, prompt: hi, base_url: \"{}\" }}",
        model.url()
    );
    let tokens = llm::PROMPT_TOKENS + llm::ANSWER_TOKENS;
    let flow = |budget: u64| {
        format!(
            "budget: {{ tokens: {budget} }}\nsteps: [{{ id: a, {ask} }}, {{ id: b, after: a, {ask} }}, {{ id: c, after: b, {ask} }}]"
        )
    };
    let enough = run(&host, &flow(3 * tokens)).await;
    assert_eq!(enough["status"], "succeeded", "{enough:#}");
    let asked = model.asked().len();
    // What a model will use is known when it has: the second answer is over the budget, a third is not asked for.
    used_up(&run(&host, &flow(2 * tokens - 1)).await, "tokens");
    assert_eq!(model.asked().len() - asked, 2);
}

#[tokio::test]
async fn every_steps_event_carries_its_receipt() {
    let (shop, peer) = (Shop::start().await, Peer::start().await);
    let host = Host::builder()
        .config(&format!(
            "grants: {{ http_request: {{ http: [\"{}\", \"{}\"] }}, database_query: {{ databases: {{ main: read }} }} }}",
            shop.url(),
            peer.url()
        ))
        .start()
        .await;
    let url = shop.url();
    let run = run(
        &host,
        &format!(
            r#"steps:
  - {{ id: post, type: http_request, config: {{ method: POST, url: "{url}/text", body: "12345" }} }}
  - {{ id: hop, type: http_request, config: {{ url: "{url}/go?to={url}/text" }} }}
  - {{ id: rows, type: database_query, config: {{ query: "SELECT 1 AS n UNION SELECT 2" }} }}
  - {{ id: fails, type: http_request, on_error: continue, config: {{ url: "{url}/broken" }} }}
  - {{ id: waits, type: http_request, config: {{ url: "{}/later" }} }}
  - {{ id: pure, type: transform, config: {{ output: 1 }} }}
"#,
            peer.url()
        ),
    )
    .await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    let events = host.events(&run).await;
    let receipt = |step: &str| {
        let ends = |event: &&Value| {
            event["step"] == step
                && ["step.succeeded", "step.failed"].contains(&event["type"].as_str().unwrap())
        };
        events.iter().find(ends).unwrap_or_else(|| panic!("{step}: {events:#?}"))["data"]["receipt"].clone()
    };
    for step in ["post", "hop", "rows", "fails", "pure"] {
        let receipt = receipt(step);
        assert!(
            receipt["fuel"].as_u64() > Some(0) && receipt["total_us"].as_u64() > Some(0),
            "{step}: {receipt}"
        );
        assert!(receipt["host_us"].as_u64() <= receipt["total_us"].as_u64(), "{step}: {receipt}");
    }
    let post = receipt("post");
    assert_eq!([&post["requests"], &post["sent_bytes"], &post["received_bytes"]], [1, 5, 11], "{post}");
    assert!(receipt("waits")["host_us"].as_u64() > Some(20_000), "{}", receipt("waits"));
    assert_eq!(receipt("hop")["requests"], 2);
    assert_eq!(receipt("rows")["rows"], 2);
    assert_eq!((&receipt("rows")["requests"], &receipt("fails")["requests"]), (&json!(1), &json!(1)));
    assert_eq!(receipt("pure")["requests"], Value::Null, "what was not used is not told");
}
