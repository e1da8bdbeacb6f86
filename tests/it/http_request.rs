//! `http_request` against a server on loopback.

use serde_json::{Value, json};
use stepcell_tests::{Host, Shop};

async fn call(host: &Host, config: Value) -> Value {
    let flow = json!({"name": "call", "steps": [{"id": "a", "type": "http_request", "config": config}]});
    let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
    run["steps"]["a"].clone()
}

async fn granted() -> (Shop, Host) {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).start().await;
    (shop, host)
}

#[tokio::test]
async fn json_is_parsed_and_text_is_not() {
    let (shop, host) = granted().await;
    let step = call(&host, json!({"method": "GET", "url": format!("{}/orders/7", shop.url())})).await;
    assert_eq!(step["output"]["status_code"], 200, "{step:#}");
    assert_eq!(step["output"]["body"]["total"], 250);
    assert_eq!(step["output"]["headers"]["content-type"], "application/json");
    let step = call(&host, json!({"url": format!("{}/text", shop.url())})).await;
    assert_eq!(step["output"]["body"], "plain words", "{step:#}");
}

#[tokio::test]
async fn every_method_headers_params_and_body_go_out() {
    let (shop, host) = granted().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let mut config = json!({
            "method": method,
            "url": format!("{}/echo", shop.url()),
            "headers": {"X-Order": "7"},
            "params": {"q": "a b", "n": 1},
        });
        if method != "GET" {
            config["body"] = json!({"x": [1, 2]});
        }
        let step = call(&host, config).await;
        assert_eq!(step["output"]["body"]["method"], method, "{step:#}");
    }
    let seen = shop.seen();
    assert_eq!(seen.len(), 5);
    for seen in &seen {
        assert_eq!(seen.header("x-order"), Some("7"), "{seen:?}");
        assert!(seen.path == "/echo?q=a+b&n=1" || seen.path == "/echo?q=a%20b&n=1", "{}", seen.path);
    }
    assert_eq!(serde_json::from_str::<Value>(&seen[1].body).unwrap(), json!({"x": [1, 2]}));
    assert_eq!(seen[1].header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn refusals_of_the_server_fail_the_step() {
    let (shop, host) = granted().await;
    for (path, code, retryable) in [("/missing", "http_404", false), ("/broken", "http_500", true)] {
        let step = call(&host, json!({"url": format!("{}{path}", shop.url())})).await;
        assert_eq!(step["status"], "failed");
        assert_eq!(step["error"]["code"], code, "{step:#}");
        assert_eq!(step["error"]["retryable"], retryable, "{step:#}");
        assert_eq!(step["error"]["kind"], "business", "{step:#}");
    }
}

#[tokio::test]
async fn a_big_body_is_kept_whole_beside_the_log() {
    let (shop, host) = granted().await;
    let flow = json!({
        "name": "big",
        "steps": [
            {"id": "a", "type": "http_request", "config": {"url": format!("{}/big", shop.url())}},
            {"id": "b", "type": "transform", "config": {"output": "{{ steps.a.body | length }}"}},
        ],
        "output": "{{ steps.b }}",
    });
    let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
    assert_eq!(run["output"], 300_000, "{run:#}");
    assert_eq!(run["steps"]["a"]["output"]["status_code"], 200);
}

#[tokio::test]
async fn a_redirect_to_a_refused_place_is_refused() {
    let (shop, host) = granted().await;
    let step = call(&host, json!({"url": format!("{}/away", shop.url())})).await;
    assert_eq!(step["error"]["fault"], "denied", "{step:#}");
}
