//! A flow and a step take away from what the operator granted, and never add to it.

use serde_json::{Value, json};
use stepcell_tests::{Host, Shop, Smtp};

/// Runs one step under what flow and step leave of the operator's grants; gives the step.
async fn narrowed(host: &Host, flow: &Value, step: &Value, kind: &str, config: &Value) -> Value {
    let flow = json!({
        "name": "narrowed",
        "grants": flow,
        "steps": [{"id": "a", "type": kind, "grants": step, "config": config}],
    });
    let (status, run) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
    assert_eq!(status, 200, "{run:#}");
    let mut step = run["steps"]["a"].clone();
    step["run_id"] = run["run_id"].clone();
    step
}

/// `who` refuses: nobody, `flow's` or `step's`.
async fn check(host: &Host, levels: [Value; 2], kind: &str, config: Value, who: Option<&str>) {
    let [flow, own] = levels;
    let step = narrowed(host, &flow, &own, kind, &config).await;
    let Some(who) = who else {
        assert_eq!(step["status"], "succeeded", "{flow} {own}: {step:#}");
        return;
    };
    assert_eq!(step["error"]["fault"], "denied", "{flow} {own}: {step:#}");
    let message = step["error"]["message"].as_str().unwrap();
    assert!(message.contains(who), "{flow} {own}: {message}");
    assert_eq!(host.refusals(&step).await.len(), 1, "{step:#}");
}

#[tokio::test]
async fn addresses_and_methods() {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).start().await;
    let (all, orders) = (json!({"http": [shop.url()]}), json!({"http": [format!("{}/orders/", shop.url())]}));
    let posts = json!({"http": [{"url": shop.url(), "methods": ["POST"]}]});
    let (nothing, none) = (json!({"http": []}), json!({}));
    let order = || json!({"url": format!("{}/orders/7", shop.url())});
    let text = || json!({"url": format!("{}/text", shop.url())});
    for (flow, step, config, who) in [
        (&none, &none, order(), None),
        (&all, &all, order(), None),
        (&orders, &none, order(), None),
        (&none, &orders, order(), None),
        (&orders, &all, text(), Some("flow's")),
        (&all, &orders, text(), Some("step's")),
        (&none, &posts, order(), Some("step's")),
        (&posts, &orders, order(), Some("flow's")),
        (&nothing, &all, order(), Some("flow's")),
        (&none, &nothing, order(), Some("step's")),
    ] {
        check(&host, [flow.clone(), step.clone()], "http_request", config, who).await;
    }
    assert_eq!(shop.seen().len(), 4, "what was refused was never sent");
}

#[tokio::test]
async fn databases_and_tables() {
    let host =
        Host::builder().config("grants: { database_query: { databases: { main: schema } } }").start().await;
    for statement in ["CREATE TABLE a (n INTEGER)", "CREATE TABLE b (n INTEGER)", "INSERT INTO a VALUES (7)"]
    {
        let step = host.step("database_query", json!({"query": statement})).await;
        assert_eq!(step["status"], "succeeded", "{step:#}");
    }
    let query = |text: &str| json!({"query": text});
    let only = |rule: Value| json!({"databases": {"main": rule}});
    let none = json!({});
    let of_a = || only(json!({"access": "read", "tables": ["a"]}));
    for (flow, step, config, who) in [
        (none.clone(), none.clone(), query("INSERT INTO a VALUES (8)"), None),
        (only(json!("read")), none.clone(), query("SELECT n FROM a"), None),
        (only(json!("read")), none.clone(), query("INSERT INTO a VALUES (9)"), Some("flow's")),
        (none.clone(), only(json!("write")), query("DROP TABLE a"), Some("step's")),
        (of_a(), none.clone(), query("SELECT n FROM a"), None),
        (none.clone(), of_a(), query("SELECT n FROM b"), Some("step's")),
        (none.clone(), of_a(), query("SELECT n FROM a JOIN b USING (n)"), Some("step's")),
        (json!({"databases": {}}), none.clone(), query("SELECT 1"), Some("flow's")),
        (json!({"databases": {"other": "schema"}}), none.clone(), query("SELECT 1"), Some("flow's")),
    ] {
        check(&host, [flow, step], "database_query", config, who).await;
    }
    let step = narrowed(
        &host,
        &none,
        &only(json!({"access": "read", "rows": 1})),
        "database_query",
        &query("SELECT n FROM a"),
    )
    .await;
    assert_eq!(step["error"]["code"], "database_limit", "there are two rows: {step:#}");
}

#[tokio::test]
async fn secrets() {
    let shop = Shop::start().await;
    let host = Host::builder()
        .config(&format!("secrets: {{ token: {{ value: t0p, hosts: [\"{}\"] }} }}", shop.url()))
        .config(&format!("grants: {{ http_request: {{ http: [\"{}\"], secrets: [token] }} }}", shop.url()))
        .start()
        .await;
    let config = json!({"url": format!("{}/echo", shop.url()), "headers": {"x-token": "{{ secret.token }}"}});
    for (flow, step, who) in [
        (json!({}), json!({}), None),
        (json!({"secrets": ["token"]}), json!({}), None),
        (json!({"secrets": []}), json!({}), Some("flow's")),
        (json!({}), json!({"secrets": []}), Some("step's")),
    ] {
        check(&host, [flow, step], "http_request", config.clone(), who).await;
    }
    assert_eq!(shop.seen().len(), 2);
}

#[tokio::test]
async fn recipients() {
    let smtp = Smtp::start().await;
    let host = Host::builder()
        .config(&format!("email: {{ url: \"{}\", from: flows@example.com }}", smtp.url()))
        .config("grants: { send_email: { email: [\"*@example.com\"] } }")
        .start()
        .await;
    let to = |address: &str| json!({"to": address, "subject": "S", "body": "B"});
    let ada = json!({"email": ["ada@example.com", "*@elsewhere.example"]});
    for (flow, step, config, who) in [
        (json!({}), ada.clone(), to("ada@example.com"), None),
        (json!({}), ada.clone(), to("bob@example.com"), Some("step's")),
        (ada.clone(), json!({}), to("bob@example.com"), Some("flow's")),
        (ada.clone(), json!({}), to("bob@elsewhere.example"), Some("`send_email`")),
        (json!({"email": []}), json!({}), to("ada@example.com"), Some("flow's")),
    ] {
        check(&host, [flow, step], "send_email", config, who).await;
    }
    assert_eq!(smtp.mails().len(), 1);
}
