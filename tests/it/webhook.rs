//! `webhook`: one signed message to a server.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use stepcell_tests::{Host, Shop};

const KEY: &[u8] = b"twenty-four bytes, no less";

async fn granted() -> (Shop, Host) {
    let shop = Shop::start().await;
    let url = shop.url();
    let host = Host::builder()
        .config(&format!(
            "secrets: {{ hook: {{ value: \"whsec_{}\", hosts: [\"{url}\"] }}, plain: {{ value: a-plain-key, hosts: [\"{url}\"] }} }}",
            BASE64_STANDARD.encode(KEY)
        ))
        .config(&format!("grants: {{ webhook: {{ http: [\"{url}\"], secrets: [hook, plain] }} }}"))
        .start()
        .await;
    (shop, host)
}

#[tokio::test]
async fn a_payload_is_posted_as_json() {
    let (shop, host) = granted().await;
    let step = host
        .step(
            "webhook",
            json!({"url": format!("{}/text", shop.url()), "payload": {"n": [1, null]}, "headers": {"X-Order": 7}}),
        )
        .await;
    assert_eq!(step["output"], json!({"status_code": 200, "body": "plain words"}), "{step:#}");
    let seen = &shop.seen()[0];
    assert_eq!((seen.method.as_str(), seen.body.as_str()), ("POST", r#"{"n":[1,null]}"#));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("x-order"), Some("7"));
    assert_eq!(seen.header("webhook-signature"), None);
    assert!(seen.header("idempotency-key").is_some(), "{seen:?}");
}

#[tokio::test]
async fn a_long_answer_is_cut() {
    let (shop, host) = granted().await;
    let step = host.step("webhook", json!({"url": format!("{}/big", shop.url())})).await;
    assert_eq!(step["output"]["body"], "x".repeat(1_000), "{step:#}");
}

/// As the receiver does it: <https://github.com/standard-webhooks/standard-webhooks>
#[tokio::test]
async fn a_receiver_can_verify_the_signature() {
    let (shop, host) = granted().await;
    for (secret, key) in [("hook", KEY), ("plain", b"a-plain-key".as_slice())] {
        let config =
            json!({"url": format!("{}/text", shop.url()), "secret": secret, "payload": {"text": "é"}});
        let step = host.step("webhook", config).await;
        assert_eq!(step["status"], "succeeded", "{step:#}");
        let seen = shop.seen().pop().unwrap();
        let [id, timestamp, signature] = ["id", "timestamp", "signature"].map(|name| {
            seen.header(&format!("webhook-{name}"))
                .unwrap_or_else(|| panic!("no {name}: {seen:?}"))
                .to_owned()
        });
        let now = jiff::Timestamp::now().as_second();
        assert!((now - timestamp.parse::<i64>().unwrap()).abs() < 60, "{timestamp}, but it is {now}");
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(format!("{id}.{timestamp}.{}", seen.body).as_bytes());
        let signature = signature.strip_prefix("v1,").unwrap_or_else(|| panic!("{signature}"));
        mac.verify_slice(&BASE64_STANDARD.decode(signature).unwrap()).unwrap();
    }
}

#[tokio::test]
async fn an_attempt_after_a_failed_one_has_the_same_id() {
    let (shop, host) = granted().await;
    let flow = json!({"name": "again", "steps": [{
        "id": "a", "type": "webhook", "retry": {"max_attempts": 3, "initial": "1ms"},
        "config": {"url": format!("{}/flaky", shop.url()), "secret": "hook"},
    }]});
    let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    let seen = shop.seen();
    let ids: Vec<_> = seen.iter().map(|seen| seen.header("webhook-id").unwrap()).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
}

#[tokio::test]
async fn what_goes_wrong_is_typed() {
    let (shop, host) = granted().await;
    let to = |path: &str| json!({"url": format!("{}{path}", shop.url())});
    let with = |mut config: Value, key: &str, value: Value| {
        config[key] = value;
        config
    };
    for (config, fault, code) in [
        (to("/missing"), "failed", "http_404"),
        (to("/broken"), "failed", "http_500"),
        (with(to("/text"), "secret", json!("unknown")), "denied", "secrets_denied"),
        (with(to("/text"), "timeout", json!("soon")), "config", "config_invalid"),
        (with(to("/never"), "timeout", json!("200ms")), "timeout", "http_timeout"),
    ] {
        let step = host.step("webhook", config.clone()).await;
        assert_eq!(
            (&step["error"]["fault"], &step["error"]["code"]),
            (&json!(fault), &json!(code)),
            "{config}: {step:#}"
        );
    }
    // Nobody follows a redirect with a signed message.
    let step = host.step("webhook", to("/away")).await;
    assert_eq!(step["error"]["code"], "http_302", "{step:#}");
}
