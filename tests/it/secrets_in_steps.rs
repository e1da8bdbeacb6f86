//! What a step does with a secret by `wit/secrets`, without seeing it.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use stepcell_tests::{Host, Shop};

const VALUE: &str = "s3cr3t-Qm7vKx2LhT9";

async fn granted() -> (Shop, Host) {
    let shop = Shop::start().await;
    let url = shop.url();
    let host = Host::builder()
        .guest("uses_secrets")
        .variable("SHOP_TOKEN", VALUE)
        .config(&format!(
            "secrets: {{ token: {{ env: SHOP_TOKEN, hosts: [\"{url}\"] }}, other: {{ value: x, hosts: [\"{url}\"] }} }}"
        ))
        .config(&format!("grants: {{ uses_secrets: {{ http: [\"{url}\"], secrets: [token] }} }}"))
        .start()
        .await;
    (shop, host)
}

async fn uses(host: &Host, config: Value) -> Value {
    let step = host.step("uses_secrets", config).await;
    assert!(!step.to_string().contains(VALUE), "{step:#}");
    step
}

#[tokio::test]
async fn a_placeholder_of_a_step_is_the_flows() {
    let (shop, host) = granted().await;
    let step = uses(&host, json!({"secret": "token", "how": "placeholder"})).await;
    let placeholder = step["output"]["placeholder"].as_str().unwrap_or_else(|| panic!("{step:#}"));
    assert!(placeholder.starts_with("secret_"), "{placeholder}");
    for how in ["header", "query", "body"] {
        let config = json!({"secret": "token", "how": how, "url": format!("{}/mirror", shop.url())});
        let step = uses(&host, config).await;
        assert_eq!(step["output"]["status"], 200, "{how}: {step:#}");
        let seen = shop.seen().pop().unwrap();
        let all = format!("{} {:?} {}", seen.path, seen.headers, seen.body);
        assert!(all.contains(VALUE) && !all.contains("secret_"), "{how}: {all}");
    }
}

#[tokio::test]
async fn basic_makes_the_whole_header_and_its_echo_is_masked() {
    let (shop, host) = granted().await;
    let config =
        json!({"secret": "token", "how": "basic", "user": "ada", "url": format!("{}/mirror", shop.url())});
    let step = uses(&host, config).await;
    let encoded = BASE64_STANDARD.encode(format!("ada:{VALUE}"));
    assert_eq!(shop.seen()[0].header("authorization"), Some(format!("Basic {encoded}").as_str()));
    let body = step["output"]["body"].as_str().unwrap();
    assert!(!body.contains(&encoded) && body.contains("authorization"), "{body}");
}

#[tokio::test]
async fn a_hash_is_made_with_the_secret_as_key() {
    let (_shop, host) = granted().await;
    let step = uses(&host, json!({"secret": "token", "how": "hmac", "text": "payload"})).await;
    let mut mac = Hmac::<Sha256>::new_from_slice(VALUE.as_bytes()).unwrap();
    mac.update(b"payload");
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(step["output"]["hmac"], expected, "{step:#}");
}

#[tokio::test]
async fn another_secret_is_denied_with_the_line() {
    let (shop, host) = granted().await;
    let url = format!("{}/mirror", shop.url());
    for config in [
        json!({"secret": "other", "how": "placeholder"}),
        json!({"secret": "other", "how": "hmac", "text": "x"}),
        json!({"secret": "other", "how": "basic", "user": "ada", "url": url}),
        json!({"secret": "unknown", "how": "header", "url": url}),
    ] {
        let step = uses(&host, config.clone()).await;
        assert_eq!(step["error"]["code"], "secrets_denied", "{config}: {step:#}");
        let refusals = host.refusals(&step).await;
        let allow = refusals[0]["allow"].as_str().unwrap();
        assert!(
            allow.contains("uses_secrets") && allow.contains(config["secret"].as_str().unwrap()),
            "{allow}"
        );
    }
    assert_eq!(shop.seen().len(), 0);
}
