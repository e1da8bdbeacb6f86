//! Places that no guest and no flow may choose, by every way in which one can: the table is the connector's own.

#[path = "../../host/sandbox/src/connector/refused.rs"]
mod table;

use serde_json::{Value, json};
use stepcell_tests::{Dns, Host, Shop};

use self::table::{REFUSED, Refused};

/// A host whose step types may reach every public address on every port, and the shop for the redirects. Names
/// resolve as the table says.
async fn host(shop: &Shop, dns: &Dns) -> Host {
    let all = format!("{{ http: [\"http://*:*\", \"https://*:*\", \"{}\"], secrets: [openai] }}", shop.url());
    let types = ["http_request", "webhook", "llm_call", "fetches_with_wasi_http"];
    let grants: Vec<String> = types.iter().map(|kind| format!("{kind}: {all}")).collect();
    Host::builder()
        .guest("fetches_with_wasi_http")
        .config(&format!("network: {{ dns: [\"{}\"] }}", dns.address))
        .config("secrets: { openai: { value: sk, hosts: [\"https://*\", \"http://*\"] } }")
        .config(&format!("grants: {{ {} }}", grants.join(", ")))
        .start()
        .await
}

async fn names() -> Dns {
    let dns = Dns::start().await;
    for Refused { url, resolves_to } in REFUSED {
        if let Some(host) = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)) {
            dns.set(host.trim_end_matches('.'), &[resolves_to]);
        }
    }
    dns
}

/// Tries every target in steps of one run and gives each target with its step.
async fn tried(
    host: &Host,
    kind: &str,
    targets: Vec<&str>,
    config: impl Fn(&str) -> Value,
) -> Vec<(String, Value)> {
    let steps: Vec<Value> = targets
        .iter()
        .enumerate()
        .map(|(at, url)| json!({"id": format!("s{at}"), "type": kind, "on_error": "continue", "config": config(url)}))
        .collect();
    let (status, run) =
        host.post("/runs?wait=60s", &json!({"flow": {"name": "refused", "steps": steps}})).await;
    assert_eq!(status, 200, "{run:#}");
    let step = |at: usize| run["steps"][format!("s{at}")].clone();
    targets.iter().enumerate().map(|(at, url)| ((*url).to_owned(), step(at))).collect()
}

async fn all_denied(kind: &str, config: impl Fn(&str) -> Value) {
    let (shop, dns) = (Shop::start().await, names().await);
    let host = host(&shop, &dns).await;
    let targets = REFUSED.iter().map(|refused| refused.url).collect();
    for (url, step) in tried(&host, kind, targets, config).await {
        assert_eq!(step["error"]["fault"], "denied", "{kind} {url:?}: {step:#}");
    }
}

#[tokio::test]
async fn by_http_request() {
    all_denied("http_request", |url| json!({ "url": url })).await;
}

#[tokio::test]
async fn by_webhook() {
    all_denied("webhook", |url| json!({ "url": url })).await;
}

#[tokio::test]
async fn by_the_base_url_of_a_model() {
    all_denied(
        "llm_call",
        |url| json!({"provider": "openai", "model": "m", "prompt": "hi", "base_url": url}),
    )
    .await;
}

#[tokio::test]
async fn by_wasi_http() {
    let (shop, dns) = (Shop::start().await, names().await);
    let host = host(&shop, &dns).await;
    let targets = REFUSED.iter().map(|refused| refused.url).collect();
    for (url, step) in tried(&host, "fetches_with_wasi_http", targets, |url| json!({ "url": url })).await {
        // What WASI's types can not even hold does not get as far as the host.
        let unspeakable = step["error"]["code"] == "wasi_http_misuse";
        let denied = step["error"]["message"].as_str().is_some_and(|message| message.contains("Denied"));
        assert!(unspeakable || denied, "{url:?}: {step:#}");
    }
}

#[tokio::test]
async fn by_a_redirect() {
    let (shop, dns) = (Shop::start().await, names().await);
    let host = host(&shop, &dns).await;
    // Without a scheme it is a path of the shop; with these no header can hold it.
    let targets = REFUSED
        .iter()
        .map(|refused| refused.url)
        .filter(|url| url.contains(':') && !url.contains(['\r', '\n', '\0']))
        .collect();
    let through = |url: &str| {
        let encoded: String = url.bytes().map(|byte| format!("%{byte:02x}")).collect();
        json!({"url": format!("{}/go?to={encoded}", shop.url())})
    };
    let tried = tried(&host, "http_request", targets, through).await;
    assert_eq!(shop.seen().len(), tried.len(), "every redirect was asked for");
    for (url, step) in tried {
        assert_eq!(step["error"]["fault"], "denied", "{url:?}: {step:#}");
    }
}
