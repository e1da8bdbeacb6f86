//! The folder is live.

use std::fs;

use serde_json::{Value, json};
use stepcell_tests::{Host, eventually, guest, plugin};

async fn types(host: &Host) -> Vec<String> {
    let (_, catalog) = host.get("/catalog/steps").await;
    catalog.as_array().unwrap().iter().map(|entry| entry["type"].as_str().unwrap().to_owned()).collect()
}

async fn until_listed(host: &Host, kind: &str, listed: bool) {
    let what = format!("{kind} is {}in the catalog", if listed { "" } else { "not " });
    eventually(&what, || async {
        (types(host).await.iter().any(|name| name == kind) == listed).then_some(())
    })
    .await;
}

async fn file(host: &Host, name: &str) -> Value {
    eventually(&format!("{name} is looked at"), || async {
        let (_, files) = host.get("/plugins").await;
        let entry = files
            .as_array()?
            .iter()
            .find(|entry| entry["file"].as_str().is_some_and(|file| file.ends_with(name)))?;
        (entry["state"] != "loading").then(|| entry.clone())
    })
    .await
}

#[tokio::test]
async fn the_catalog_lives_in_the_plugins() {
    let host = Host::start().await;
    let (_, catalog) = host.get("/catalog/steps").await;
    let shown: Vec<_> = catalog
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            ["type", "label", "icon", "category"]
                .map(|key| entry[key].as_str().unwrap().to_owned())
                .join(" | ")
        })
        .collect();
    insta::assert_debug_snapshot!(shown);
}

#[tokio::test]
async fn a_dropped_file_runs_and_a_removed_one_is_gone() {
    let host = Host::start().await;
    assert!(!types(&host).await.contains(&"hello".to_owned()));
    fs::copy(guest("hello"), host.plugins().join("hello.wasm")).unwrap();
    until_listed(&host, "hello", true).await;
    let flow = "name: hi\nsteps: [{ id: a, type: hello, config: { name: Ada } }]";
    let run = host.run(flow).await;
    assert_eq!(run["output"], json!({"a": {"greeting": "Hello, Ada!"}}), "{run:#}");

    fs::remove_file(host.plugins().join("hello.wasm")).unwrap();
    until_listed(&host, "hello", false).await;
    let (status, problem) = host.post_yaml("/runs", flow).await;
    assert_eq!(status, 422, "{problem:#}");
    assert_eq!(problem["errors"][0]["code"], "unknown_type", "{problem:#}");
}

#[tokio::test]
async fn a_file_that_arrives_slowly_is_taken_when_it_is_whole() {
    let host = Host::start().await;
    let bytes = fs::read(guest("hello")).unwrap();
    let path = host.plugins().join("slow.wasm");
    for end in [bytes.len() / 3, bytes.len() / 2, bytes.len()] {
        fs::write(&path, &bytes[..end]).unwrap();
        tokio::task::yield_now().await;
    }
    until_listed(&host, "hello", true).await;
}

#[tokio::test]
async fn a_renamed_file_is_taken() {
    let host = Host::start().await;
    fs::copy(guest("hello"), host.plugins().join(".hello.wasm.part")).unwrap();
    fs::rename(host.plugins().join(".hello.wasm.part"), host.plugins().join("hello.wasm")).unwrap();
    until_listed(&host, "hello", true).await;
}

#[tokio::test]
async fn a_running_run_keeps_its_plugin() {
    let host = Host::builder().guest("hello").start().await;
    let run = host
        .submit(
            r#"
name: keeps
steps:
  - { id: nap, type: delay, config: { seconds: 1 } }
  - { id: a, type: hello, after: nap, config: { name: Ada } }
"#,
        )
        .await;
    host.until(&run, "waiting").await;
    fs::remove_file(host.plugins().join("hello.wasm")).unwrap();
    until_listed(&host, "hello", false).await;
    let done = host.until(&run, "succeeded").await;
    assert_eq!(done["output"]["a"]["greeting"], "Hello, Ada!", "{done:#}");
}

#[tokio::test]
async fn a_bad_file_is_named_and_stops_nothing() {
    let host = Host::start().await;
    fs::write(host.plugins().join("noise.wasm"), b"\0asm but not really").unwrap();
    fs::write(host.plugins().join("empty.wasm"), b"").unwrap();
    // A core module without the section that would make a component of it.
    fs::write(host.plugins().join("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    fs::create_dir(host.plugins().join("folder.wasm")).unwrap();
    for name in ["noise.wasm", "empty.wasm", "core.wasm", "folder.wasm"] {
        let entry = file(&host, name).await;
        assert_eq!(entry["state"], "refused", "{entry:#}");
        assert!(entry["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{entry:#}");
    }
    let run = host.run("name: ok\nsteps: [{ id: a, type: transform, config: { output: 1 } }]").await;
    assert_eq!(run["status"], "succeeded");
}

#[tokio::test]
async fn a_plugin_can_be_sent_and_deleted_over_http() {
    let host = Host::start().await;
    let bytes = fs::read(guest("hello")).unwrap();
    let post = |bytes: Vec<u8>| {
        host.request(reqwest::Method::POST, "/plugins").header("content-type", "application/wasm").body(bytes)
    };
    let answer = post(bytes).send().await.unwrap();
    assert_eq!(answer.status(), 201, "{:?}", answer.text().await);
    until_listed(&host, "hello", true).await;
    let refused = post(b"no wasm".to_vec()).send().await.unwrap();
    assert_eq!(refused.status(), 422);
    let answer = host.request(reqwest::Method::DELETE, "/plugins/hello").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    until_listed(&host, "hello", false).await;
}

#[tokio::test]
async fn an_operators_file_goes_before_the_built_in() {
    let host = Host::start().await;
    fs::copy(plugin("transform"), host.plugins().join("my_transform.wasm")).unwrap();
    eventually("the operator's file serves the type", || async {
        let (_, catalog) = host.get("/catalog/steps").await;
        let entry = catalog.as_array()?.iter().find(|entry| entry["type"] == "transform")?.clone();
        entry["providers"][0]["file"].as_str()?.ends_with("my_transform.wasm").then_some(())
    })
    .await;
}
