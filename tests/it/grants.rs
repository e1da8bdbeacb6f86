//! A step reaches what the operator granted and no more; the refusal of anything else says how to grant it.

use std::fs;

use serde_json::{Value, json};
use stepcell_tests::{Host, HostBuilder, Shop, Smtp};

/// Asks for something that nobody granted, pastes what the refusal says into the config, and asks again.
async fn refused_until_pasted(builder: HostBuilder, capability: &str, kind: &str, config: Value) {
    let mut host = builder.start().await;
    let step = host.step(kind, config.clone()).await;
    assert_eq!(step["error"]["fault"], "denied", "{step:#}");
    let refusals = host.refusals(&step).await;
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert_eq!(refusals[0]["capability"], capability, "{refusals:#?}");
    host.paste(refusals[0]["allow"].as_str().unwrap()).await;
    let step = host.step(kind, config).await;
    assert_eq!(step["status"], "succeeded", "{step:#}\nafter {refusals:#?}");
    assert_eq!(host.refusals(&step).await, [json!(null); 0]);
}

#[tokio::test]
async fn an_address_is_refused_until_its_line_is_there() {
    let shop = Shop::start().await;
    let config = json!({"url": format!("{}/orders/7", shop.url())});
    refused_until_pasted(Host::builder(), "http", "http_request", config).await;
    assert_eq!(shop.seen().len(), 1, "only the granted call was made");
}

#[tokio::test]
async fn a_statement_is_refused_until_its_line_is_there() {
    for query in ["SELECT 1 AS n", "CREATE TABLE orders (id INTEGER)"] {
        refused_until_pasted(Host::builder(), "database", "database_query", json!({"query": query})).await;
    }
}

#[tokio::test]
async fn a_secret_is_refused_until_its_line_is_there() {
    let shop = Shop::start().await;
    let secret = format!("secrets: {{ token: {{ value: t0p, hosts: [\"{}\"] }} }}", shop.url());
    let builder = Host::builder().config(&shop.grant()).config(&secret);
    let config = json!({
        "url": format!("{}/echo", shop.url()),
        "headers": {"authorization": "Bearer {{ secret.token }}"},
    });
    refused_until_pasted(builder, "secrets", "http_request", config).await;
    let seen = shop.seen();
    assert_eq!(seen.len(), 1, "only the granted call was made");
    assert_eq!(seen[0].header("authorization"), Some("Bearer t0p"));
}

#[tokio::test]
async fn a_mail_is_refused_until_its_line_is_there() {
    let smtp = Smtp::start().await;
    let builder =
        Host::builder().config(&format!("email: {{ url: \"{}\", from: flows@example.com }}", smtp.url()));
    let config = json!({"to": "ada@example.com", "subject": "S", "body": "B"});
    refused_until_pasted(builder, "email", "send_email", config).await;
    assert_eq!(smtp.mails().len(), 1);
}

#[tokio::test]
async fn a_blob_is_refused_until_its_line_is_there() {
    let builder = Host::builder().guest("uses_blobs");
    refused_until_pasted(builder, "blobs", "uses_blobs", json!({"put": ["some text"]})).await;
}

#[tokio::test]
async fn a_refused_secret_that_nobody_named_shows_how_to_name_it() {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).start().await;
    // `llm_call` asks by itself for the secret that is named after the provider.
    let config = json!({"provider": "openai", "model": "m", "prompt": "hi", "base_url": shop.url()});
    let step = host.step("llm_call", config).await;
    assert_eq!(step["error"]["fault"], "denied", "{step:#}");
    let allow = host.refusals(&step).await[0]["allow"].as_str().unwrap().to_owned();
    let read: Value = serde_yaml_ng::from_str(&allow).unwrap();
    assert!(read["secrets"]["openai"]["hosts"].is_array(), "{allow}");
    assert_eq!(read["grants"]["llm_call"]["secrets"], json!(["openai"]), "{allow}");
    assert_eq!(shop.seen().len(), 0);
}

#[tokio::test]
async fn a_file_that_only_calls_itself_http_request_gets_nothing() {
    let shop = Shop::start().await;
    let mut host = Host::builder().guest("impostor").start().await;
    let config = json!({"url": format!("{}/orders/7", shop.url())});
    for url in [config.clone(), json!({"url": "http://example.com/"})] {
        let step = host.step("http_request", url).await;
        assert_eq!(step["error"]["fault"], "denied", "{step:#}");
    }

    // The operator may still mean this very file.
    let (_, files) = host.get("/plugins").await;
    let file = |name: &str| {
        files.as_array().unwrap().iter().find(|file| file["file"].as_str().unwrap().ends_with(name)).unwrap()
    };
    let (own, shipped) = (
        file("impostor.wasm")["digest"].as_str().unwrap(),
        file("/transform.wasm")["digest"].as_str().unwrap(),
    );
    let (own, shipped) = (own.trim_start_matches("sha256:"), shipped.trim_start_matches("sha256:"));
    host.paste(&format!("grants: {{ \"http_request@sha256:{shipped}\": {{ http: [\"{}\"] }} }}", shop.url()))
        .await;
    let step = host.step("http_request", config.clone()).await;
    assert_eq!(step["error"]["fault"], "denied", "the grant is another file's: {step:#}");
    host.paste(&format!("grants: {{ \"http_request@sha256:{own}\": {{ http: [\"{}\"] }} }}", shop.url()))
        .await;
    let step = host.step("http_request", config).await;
    assert_eq!(step["output"]["status_code"], 200, "{step:#}");
}

#[tokio::test]
async fn an_entry_for_a_type_replaces_what_the_shipped_file_gets() {
    let host = Host::builder()
        .config("grants: { http_request: { http: [\"https://api.example.com\"] } }")
        .start()
        .await;
    let step = host.step("http_request", json!({"url": "http://example.com/"})).await;
    assert_eq!(step["error"]["fault"], "denied", "{step:#}");
}

#[tokio::test]
async fn an_unused_grant_widens_nothing() {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).start().await;
    let url = format!("{}/orders/7", shop.url());
    let flow = json!({
        "name": "wide",
        "grants": {"http": ["http://*:*", "https://*:*"]},
        "steps": [{
            "id": "a",
            "type": "webhook",
            "grants": {"http": [url]},
            "config": {"url": url},
        }],
    });
    let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
    assert_eq!(run["error"]["fault"], "denied", "the shop is granted to another type: {run:#}");
    assert_eq!(shop.seen().len(), 0);
}

#[test]
fn a_grant_that_can_not_be_read_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("flow.yaml"),
        "name: a\nsteps: [{ id: a, type: transform, config: { output: 1 } }]",
    )
    .unwrap();
    let config = "grants:\n  a: { http: [\"*\"], databases: { main: all } }\n  b: { secret: [x], blobs: both, email: [ada] }\n";
    fs::write(folder.path().join("stepcell.yaml"), config).unwrap();
    let output = stepcell_tests::stepcell(folder.path(), &["run", "flow.yaml"]);
    assert_eq!(output.code, Some(2), "{}", output.shown());
    insta::assert_snapshot!(output.stderr);
}
