//! A run that ended badly goes on from where it failed, as a new run.

use reqwest::Method;
use serde_json::{Value, json};
use stepcell_tests::{Host, Shop, stepcell};

async fn with_shop() -> (Shop, Host) {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).guest("fails").start().await;
    (shop, host)
}

fn post(id: &str, url: &str) -> Value {
    json!({"id": id, "type": "http_request", "config": {"method": "POST", "url": url, "body": {"n": 1}}})
}

/// Pays, asks, and ships; `ship` is the path that the last step calls.
fn order(shop: &Shop, ship: &str) -> Value {
    let url = shop.url();
    let mut last = post("ship", &format!("{url}{ship}"));
    last["after"] = json!(["ask.approved"]);
    json!({"name": "order", "steps": [
        post("pay", &format!("{url}/echo")),
        {"id": "ask", "type": "wait_for_approval", "after": ["pay"], "config": {"label": "Ship?"}},
        last,
    ]})
}

async fn submit(host: &Host, flow: &Value) -> String {
    let (status, run) = host.post("/runs", &json!({"flow": flow})).await;
    assert_eq!(status, 202, "{run:#}");
    run["run_id"].as_str().unwrap().to_owned()
}

/// A run of [`order`] that was approved and then could not ship.
async fn failed(host: &Host, shop: &Shop) -> String {
    let run = submit(host, &order(shop, "/broken")).await;
    host.until(&run, "waiting").await;
    assert_eq!(host.resume(&run, &json!({"by": "ada"})).await.0, 200);
    let seen = host.until(&run, "failed").await;
    assert_eq!(seen["error"]["step"], "ship", "{seen:#}");
    run
}

/// Tries a run again; gives the new run's id.
async fn retry(host: &Host, run: &str, how: Value) -> String {
    let (status, started) = host.post(&format!("/runs/{run}/retry"), &how).await;
    assert_eq!(status, 202, "{started:#}");
    let new = started["run_id"].as_str().unwrap().to_owned();
    assert_ne!(new, run);
    new
}

fn asked(shop: &Shop, path: &str) -> usize {
    shop.seen().iter().filter(|seen| seen.path == path).count()
}

#[tokio::test]
async fn a_corrected_flow_goes_on_without_paying_or_asking_again() {
    let (shop, host) = with_shop().await;
    let old = failed(&host, &shop).await;
    let new = retry(&host, &old, json!({"flow": order(&shop, "/orders/7")})).await;
    let done = host.until(&new, "succeeded").await;
    assert_eq!(done["retry_of"], json!(old), "{done:#}");
    assert_eq!((asked(&shop, "/echo"), asked(&shop, "/orders/7")), (1, 1));
    assert_eq!(done["steps"]["ask"]["output"]["by"], "ada");
    for step in ["pay", "ask"] {
        assert_eq!(done["steps"][step]["kept_from"], json!(old), "{done:#}");
    }
    assert!(done["steps"]["ship"]["kept_from"].is_null(), "{done:#}");
    // The old run is what it was.
    let seen = host.show(&old).await;
    assert_eq!((&seen["status"], &seen["steps"]["ship"]["status"]), (&json!("failed"), &json!("failed")));
}

#[tokio::test]
async fn the_same_flow_is_tried_again_from_the_failed_step() {
    let (shop, host) = with_shop().await;
    let url = shop.url();
    let flow = json!({"name": "flaky", "steps": [
        post("pay", &format!("{url}/echo")),
        {"id": "busy", "type": "http_request", "after": ["pay"], "config": {"url": format!("{url}/busy")}},
    ]});
    let old = submit(&host, &flow).await;
    host.until(&old, "failed").await;
    let new = retry(&host, &old, json!({})).await;
    let done = host.until(&new, "succeeded").await;
    assert_eq!((asked(&shop, "/echo"), asked(&shop, "/busy")), (1, 2), "{done:#}");
    // Other runs have other keys: whoever is asked can tell a new try from an echo of the old.
    assert_eq!(shop.keys().len(), 2);
}

#[tokio::test]
async fn a_named_step_runs_again_and_what_follows_it() {
    let (shop, host) = with_shop().await;
    let old = failed(&host, &shop).await;
    let new = retry(&host, &old, json!({"from": "pay", "flow": order(&shop, "/orders/7")})).await;
    host.until_step(&new, "pay", "succeeded").await;
    assert_eq!(asked(&shop, "/echo"), 2);
    let seen = host.until(&new, "waiting").await;
    assert_eq!(seen["steps"]["ask"]["status"], "waiting", "{seen:#}");
    assert_eq!(host.resume(&new, &json!({"by": "grace"})).await.0, 200);
    let done = host.until(&new, "succeeded").await;
    assert_eq!(done["steps"]["ask"]["output"]["by"], "grace");
}

#[tokio::test]
async fn a_step_with_another_config_runs_again() {
    let (shop, host) = with_shop().await;
    let old = failed(&host, &shop).await;
    let mut flow = order(&shop, "/orders/7");
    flow["steps"][0]["config"]["body"] = json!({"n": 2});
    let new = retry(&host, &old, json!({"flow": flow})).await;
    // The answer is another one, so that the approval was for something else.
    let seen = host.until(&new, "waiting").await;
    assert_eq!(asked(&shop, "/echo"), 2, "{seen:#}");
    assert_eq!(seen["steps"]["pay"]["output"]["body"]["body"], json!({"n": 2}));
    assert_eq!(seen["steps"]["ask"]["status"], "waiting");
}

#[tokio::test]
async fn a_retry_can_be_retried() {
    let (shop, host) = with_shop().await;
    let old = failed(&host, &shop).await;
    let again = retry(&host, &old, json!({})).await;
    host.until(&again, "failed").await;
    let new = retry(&host, &again, json!({"flow": order(&shop, "/orders/7")})).await;
    let done = host.until(&new, "succeeded").await;
    assert_eq!((asked(&shop, "/echo"), asked(&shop, "/broken")), (1, 2), "{done:#}");
    assert_eq!((&done["retry_of"], &done["steps"]["ask"]["output"]["by"]), (&json!(again), &json!("ada")));
}

#[tokio::test]
async fn items_that_succeeded_are_not_repeated() {
    let (shop, host) = with_shop().await;
    let url = format!("{}{{{{ item }}}}", shop.url());
    let step = json!({"type": "http_request", "config": {"method": "POST", "url": url}});
    let items = ["/echo?0", "/echo?1", "/busy?2", "/echo?3"];
    let flow = json!({"name": "each", "steps": [
        {"id": "m", "type": "for_each", "config": {"items": items, "concurrency": 1, "step_config": step}},
    ]});
    let old = submit(&host, &flow).await;
    host.until(&old, "failed").await;
    let new = retry(&host, &old, json!({})).await;
    let done = host.until(&new, "succeeded").await;
    assert_eq!(done["output"]["m"]["count"], 4, "{done:#}");
    assert_eq!(items.map(|item| asked(&shop, item)), [1, 1, 2, 1]);
}

#[tokio::test]
async fn a_retry_that_was_acknowledged_outlives_a_kill() {
    let (shop, mut host) = with_shop().await;
    let old = failed(&host, &shop).await;
    let new = retry(&host, &old, json!({"flow": order(&shop, "/orders/7")})).await;
    host.restart().await;
    let done = host.until(&new, "succeeded").await;
    assert_eq!(
        (asked(&shop, "/echo"), &done["steps"]["ask"]["output"]["by"]),
        (1, &json!("ada")),
        "{done:#}"
    );
}

#[tokio::test]
async fn a_retry_under_a_key_is_made_once() {
    let (shop, mut host) = with_shop().await;
    let old = failed(&host, &shop).await;
    let again = async |host: &Host, how: Value| {
        let call = host.request(Method::POST, &format!("/runs/{old}/retry"));
        let answer = call.header("idempotency-key", "again-7").json(&how).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let mended = json!({"flow": order(&shop, "/orders/7")});
    let (status, first) = again(&host, mended.clone()).await;
    assert_eq!(status, 202, "{first:#}");
    host.until(first["run_id"].as_str().unwrap(), "succeeded").await;
    host.restart().await;
    assert_eq!(again(&host, mended.clone()).await.1["run_id"], first["run_id"]);
    assert_eq!(asked(&shop, "/orders/7"), 1);
    let mut other = mended;
    other["from"] = json!("ask");
    let (status, problem) = again(&host, other).await;
    assert_eq!((status, &problem["code"]), (409, &json!("idempotency_key_reused")), "{problem:#}");
    let submitted = json!({"flow": order(&shop, "/orders/7"), "idempotency_key": "again-7"});
    assert_eq!(host.post("/runs", &submitted).await.0, 409);
}

#[tokio::test]
async fn a_cancelled_run_can_be_taken_up_again() {
    let host = Host::start().await;
    let flow = json!({"name": "ask", "steps": [
        {"id": "a", "type": "transform", "config": {"output": 1}},
        {"id": "ask", "type": "wait_for_approval", "after": ["a"]},
    ]});
    let old = submit(&host, &flow).await;
    host.until(&old, "waiting").await;
    host.post(&format!("/runs/{old}/cancel"), &json!({})).await;
    let new = retry(&host, &old, json!({})).await;
    host.until(&new, "waiting").await;
    assert_eq!(host.resume(&new, &json!({"by": "ada"})).await.0, 200);
    host.until(&new, "succeeded").await;
}

#[tokio::test]
async fn what_can_not_be_tried_again_is_refused() {
    let (shop, host) = with_shop().await;
    let refused = |run: String, how: Value| {
        let host = &host;
        async move {
            let (status, problem) = host.post(&format!("/runs/{run}/retry"), &how).await;
            (status.as_u16(), problem["code"].as_str().unwrap_or_default().to_owned())
        }
    };
    let waiting = submit(&host, &order(&shop, "/orders/7")).await;
    host.until(&waiting, "waiting").await;
    assert_eq!(refused(waiting.clone(), json!({})).await, (409, "not_retryable".to_owned()));
    assert_eq!(host.resume(&waiting, &json!({})).await.0, 200);
    host.until(&waiting, "succeeded").await;
    assert_eq!(refused(waiting, json!({})).await, (409, "not_retryable".to_owned()));

    let old = failed(&host, &shop).await;
    assert_eq!(refused(old.clone(), json!({"from": "nobody"})).await.0, 404);
    let wrong = json!({"flow": {"name": "order", "steps": [{"id": "a", "type": "nothing", "config": {}}]}});
    assert_eq!(refused(old.clone(), wrong).await, (422, "invalid_flow".to_owned()));
    assert_eq!(refused(old, json!({"form": "pay"})).await.0, 400);
    assert_eq!(refused("01890a5d-ac96-774b-bcce-b302099a8057".to_owned(), json!({})).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_hands_in_the_corrected_flow() {
    let (shop, host) = with_shop().await;
    let old = failed(&host, &shop).await;
    let fixed = host.folder().join("fixed.json");
    std::fs::write(&fixed, order(&shop, "/orders/7").to_string()).unwrap();
    let arguments = ["runs", "retry", &old, "--flow", "fixed.json", "--wait", "--url", &host.url];
    let output = stepcell(host.folder(), &arguments);
    assert_eq!(output.code, Some(0), "{}", output.shown());
    assert_eq!(output.json()["ship"]["body"]["customer"], "Ada", "{}", output.shown());
    assert_eq!(asked(&shop, "/echo"), 1);
}
