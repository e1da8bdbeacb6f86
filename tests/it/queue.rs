//! More is asked for than may go on at a time.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};
use stepcell_tests::{Host, Shop};

/// A flow that hangs at the shop's gate; `n` tells its requests apart.
fn at_the_gate(shop: &Shop, name: &str, n: usize) -> String {
    let url = format!("{}/gate?{name}={n}", shop.url());
    json!({"name": name, "steps": [{"id": "a", "type": "http_request", "config": {"url": url}}]}).to_string()
}

async fn host(shop: &Shop, concurrency: &str) -> Host {
    Host::builder().config(&shop.grant()).config(&format!("concurrency: {concurrency}")).start().await
}

/// What the shop was asked, each thing once, in the order of the first time.
fn asked(shop: &Shop) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for seen in shop.seen() {
        if !paths.contains(&seen.path) {
            paths.push(seen.path);
        }
    }
    paths
}

#[tokio::test]
async fn runs_beyond_the_places_wait_and_beyond_the_queue_are_refused() {
    let shop = Shop::start().await;
    let host = host(&shop, "{ runs: 1, queue: 1 }").await;
    let first = host.submit(&at_the_gate(&shop, "a", 1)).await;
    shop.until_seen(1).await;
    let second = host.submit(&at_the_gate(&shop, "a", 2)).await;
    let queued = host.show(&second).await;
    assert_eq!((&queued["status"], &queued["steps"]["a"]["status"]), (&json!("queued"), &json!("pending")));

    let third: Value = serde_json::from_str(&at_the_gate(&shop, "a", 3)).unwrap();
    let refused = host.request(Method::POST, "/runs").json(&json!({"flow": third})).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let after: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "queue_full", "{problem:#}");
    assert_eq!(host.get("/runs").await.1["runs"].as_array().unwrap().len(), 2);

    shop.open();
    host.until(&first, "succeeded").await;
    host.until(&second, "succeeded").await;
    assert_eq!(asked(&shop), ["/gate?a=1", "/gate?a=2"]);
}

#[tokio::test]
async fn a_flow_at_its_limit_holds_up_no_other() {
    let shop = Shop::start().await;
    let host = host(&shop, "{ runs: 9, flows: { slow: 1 } }").await;
    let first = host.submit(&at_the_gate(&shop, "slow", 1)).await;
    let second = host.submit(&at_the_gate(&shop, "slow", 2)).await;
    let other = host.submit("name: other\nsteps: [{ id: a, type: transform, config: { output: 1 } }]").await;
    host.until(&other, "succeeded").await;
    assert_eq!(host.show(&second).await["status"], "queued");
    shop.open();
    host.until(&first, "succeeded").await;
    host.until(&second, "succeeded").await;
}

#[tokio::test]
async fn a_flow_says_how_many_of_it_go_on() {
    let shop = Shop::start().await;
    let host = host(&shop, "{ runs: 9 }").await;
    let flow = format!(
        "name: narrow\nconcurrency: 2\nsteps: [{{ id: a, type: http_request, config: {{ url: \"{}/work\" }} }}]",
        shop.url()
    );
    let mut runs = Vec::new();
    for _ in 0..8 {
        runs.push(host.submit(&flow).await);
    }
    for run in runs {
        host.until(&run, "succeeded").await;
    }
    assert!((1..=2).contains(&shop.most_at_work()), "{}", shop.most_at_work());
}

#[tokio::test]
async fn a_step_type_has_a_limit_over_all_runs() {
    let shop = Shop::start().await;
    let host = host(&shop, "{ steps: { http_request: 2 } }").await;
    let flow: Value = json!({"name": "work", "steps": [
        {"id": "a", "type": "http_request", "config": {"url": format!("{}/work", shop.url())}},
        {"id": "b", "type": "http_request", "config": {"url": format!("{}/work", shop.url())}},
    ]});
    let (status, accepted) = host.post("/runs", &json!({"flow": flow, "inputs": vec![json!({}); 6]})).await;
    assert_eq!(status, 202, "{accepted:#}");
    for run in accepted["runs"].as_array().unwrap() {
        host.until(run["run_id"].as_str().unwrap(), "succeeded").await;
    }
    assert_eq!((shop.seen().len(), shop.most_at_work()), (12, 2));
}

#[tokio::test]
async fn the_queue_outlives_a_kill_in_order() {
    let shop = Shop::start().await;
    let mut host = host(&shop, "{ runs: 1 }").await;
    let mut runs = Vec::new();
    for n in 0..5 {
        runs.push(host.submit(&at_the_gate(&shop, "a", n)).await);
    }
    shop.until_seen(1).await;
    host.restart().await;
    shop.until_seen(2).await;
    let late = host.submit(&at_the_gate(&shop, "b", 9)).await;
    shop.open();
    for run in runs.iter().chain([&late]) {
        host.until(run, "succeeded").await;
    }
    assert_eq!(asked(&shop), ["/gate?a=0", "/gate?a=1", "/gate?a=2", "/gate?a=3", "/gate?a=4", "/gate?b=9"]);
    assert_eq!(shop.seen().len(), 7);
}

#[tokio::test]
async fn a_queued_run_is_cancelled_without_a_start() {
    let shop = Shop::start().await;
    let host = host(&shop, "{ runs: 1 }").await;
    let first = host.submit(&at_the_gate(&shop, "a", 1)).await;
    shop.until_seen(1).await;
    let second = host.submit(&at_the_gate(&shop, "a", 2)).await;
    let (status, cancelled) = host.post(&format!("/runs/{second}/cancel"), &json!({})).await;
    assert_eq!((status.as_u16(), &cancelled["status"]), (200, &json!("cancelled")));
    let types: Vec<_> = host.events(&cancelled).await.iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types, ["run.created", "run.cancelled"]);
    shop.open();
    host.until(&first, "succeeded").await;
    assert_eq!(shop.seen().len(), 1);
}

#[tokio::test]
async fn a_run_that_waits_holds_no_place() {
    let host = Host::builder().config("concurrency: { runs: 1, queue: 0 }").start().await;
    let wait = "name: ask\nsteps: [{ id: ok, type: wait_for_approval, config: { label: Go } }]";
    let mut runs = Vec::new();
    for _ in 0..10 {
        let run = host.submit(wait).await;
        host.until(&run, "waiting").await;
        // Its driver leaves right after that can be read.
        stepcell_tests::eventually("its place is free", || async {
            let metrics = reqwest::get(format!("{}/metrics", host.url)).await.unwrap().text().await.unwrap();
            metrics.lines().any(|line| line == "stepcell_runs_active 0").then_some(())
        })
        .await;
        runs.push(run);
    }
    for run in runs {
        let (status, resumed) = host.resume(&run, &json!({"payload": null})).await;
        assert_eq!(status, 200, "{resumed:#}");
        host.until(&run, "succeeded").await;
    }
}

#[tokio::test]
async fn a_cancel_is_quick_while_others_queue() {
    let shop = Shop::start().await;
    let host = host(&shop, "{ runs: 4, queue: 100 }").await;
    let mut runs = Vec::new();
    for n in 0..40 {
        runs.push(host.submit(&at_the_gate(&shop, "a", n)).await);
    }
    for run in &runs {
        let asked = Instant::now();
        let (_, cancelled) = host.post(&format!("/runs/{run}/cancel"), &json!({})).await;
        assert_eq!(cancelled["status"], "cancelled", "{cancelled:#}");
        // On a machine that is loaded a hundred times over it is still not a time-out of anything.
        assert!(asked.elapsed().as_secs() < 5, "{:?}", asked.elapsed());
    }
}
