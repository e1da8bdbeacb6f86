//! `wasi:http`, as existing HTTP libraries use it: the same way out, with the same grants.

use serde_json::{Value, json};
use stepcell_tests::{Host, Peer, Shop};

const GUEST: &str = "fetches_with_wasi_http";

async fn granted(rules: &str) -> Host {
    Host::builder()
        .guest(GUEST)
        .config(&format!("grants: {{ {GUEST}: {{ http: [{rules}] }} }}"))
        .start()
        .await
}

async fn fetch(host: &Host, config: Value) -> Value {
    host.step(GUEST, config).await
}

#[tokio::test]
async fn a_request_goes_out_and_its_answer_comes_back() {
    let shop = Shop::start().await;
    let host = granted(&format!("\"{}\"", shop.url())).await;
    let step = fetch(
        &host,
        json!({"method": "POST", "url": format!("{}/echo?a=b", shop.url()), "headers": {"content-type": "application/json", "x-order": "7"}, "body": "[1]"}),
    )
    .await;
    assert_eq!(step["output"]["status"], 200, "{step:#}");
    let body: Value = serde_json::from_str(step["output"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body, json!({"method": "POST", "body": [1]}));
    let seen = &shop.seen()[0];
    assert_eq!((seen.path.as_str(), seen.header("x-order")), ("/echo?a=b", Some("7")));
    assert_eq!(seen.header("host"), Some(shop.address.to_string().as_str()));
    let flow = json!({"name": "big", "steps": [
        {"id": "a", "type": GUEST, "config": {"url": format!("{}/big", shop.url())}},
        {"id": "b", "type": "transform", "config": {"output": "{{ steps.a.body | length }}"}},
    ]});
    let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
    assert_eq!(run["steps"]["b"]["output"], 300_000, "{run:#}");
    let step = fetch(&host, json!({"url": format!("{}/away", shop.url())})).await;
    assert_eq!(step["output"]["status"], 302, "who asks follows a redirect by itself: {step:#}");
}

#[tokio::test]
async fn it_is_refused_until_its_line_is_there() {
    let peer = Peer::start().await;
    let mut host = Host::builder().guest(GUEST).start().await;
    let config = json!({"url": format!("{}/ok", peer.url())});
    let step = fetch(&host, config.clone()).await;
    assert_eq!(step["error"]["code"], "wasi_http", "{step:#}");
    assert!(step["error"]["message"].as_str().unwrap().contains("Denied"), "{step:#}");
    let refusals = host.refusals(&step).await;
    assert_eq!(refusals[0]["capability"], "http", "{refusals:#?}");
    assert_eq!(peer.accepted(), 0);
    host.paste(refusals[0]["allow"].as_str().unwrap()).await;
    let step = fetch(&host, config).await;
    assert_eq!(step["output"]["body"], r#"{"well":true}"#, "{step:#}");
}

#[tokio::test]
async fn limits_and_receipts_hold_for_it_too() {
    let shop = Shop::start().await;
    let host = granted(&format!("\"{}\"", shop.url())).await;
    let call = async |limits: Value, config: Value| {
        let flow = json!({"name": "limits", "steps": [{"id": "a", "type": GUEST, "limits": limits, "config": config}]});
        host.post("/runs?wait=60s", &json!({"flow": flow})).await.1
    };
    let big = json!({"url": format!("{}/big", shop.url())});
    assert_eq!(call(json!({"response": "10KiB"}), big).await["status"], "failed");
    let long = json!({"method": "POST", "url": format!("{}/text", shop.url()), "body": "x".repeat(2_000)});
    let before = shop.seen().len();
    assert_eq!(call(json!({"request": "1KiB"}), long.clone()).await["status"], "failed");
    assert_eq!(shop.seen().len(), before, "what is too large is not sent");
    let run = call(json!({}), long).await;
    let events = host.events(&run).await;
    let receipt = &events.iter().find(|event| event["type"] == "step.succeeded").unwrap()["data"]["receipt"];
    assert_eq!(
        [&receipt["requests"], &receipt["sent_bytes"], &receipt["received_bytes"]],
        [1, 2_000, 11],
        "{receipt}"
    );
}

#[tokio::test]
async fn a_peer_that_misbehaves_is_left_in_time() {
    let peer = Peer::start().await;
    let host = granted(&format!("\"{}\"", peer.url())).await;
    for path in Peer::PATHS {
        let flow = json!({"name": "peer", "steps": [{
            "id": "a", "type": GUEST, "limits": {"time": "1s"}, "config": {"url": format!("{}{path}", peer.url())},
        }]});
        let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
        assert_eq!(run["status"], "failed", "{path}: {run:#}");
        peer.until_alone().await;
    }
}
