//! Bytes by their digest: sent to the server, put by a step, or an output too large for the log.

use reqwest::Method;
use serde_json::{Value, json};
use stepcell_tests::{Host, Shop};

async fn put(host: &Host, bytes: &str) -> Value {
    let answer = host.request(Method::POST, "/blobs").body(bytes.to_owned()).send().await.unwrap();
    assert!(answer.status().is_success(), "{:?}", answer.text().await);
    answer.json().await.unwrap()
}

/// The bytes, where they are there.
async fn get(host: &Host, id: &str) -> Option<Vec<u8>> {
    let answer = host.request(Method::GET, &format!("/blobs/{id}")).send().await.unwrap();
    match answer.status().as_u16() {
        200 => Some(answer.bytes().await.unwrap().to_vec()),
        404 => None,
        other => panic!("{other}: {:?}", answer.text().await),
    }
}

async fn granted(access: &str) -> Host {
    let grant = format!("grants: {{ uses_blobs: {{ blobs: {access} }} }}");
    Host::builder().guest("uses_blobs").config(&grant).start().await
}

#[tokio::test]
async fn what_was_sent_is_used_by_reference_and_survives_a_kill() {
    let mut host = granted("read").await;
    let blob = put(&host, "a long letter").await;
    let id = blob["id"].as_str().unwrap();
    assert_eq!((id.len(), &blob["bytes"]), (64, &json!(13)), "{blob:#}");
    let flow = "name: reads\nsteps: [{ id: a, type: uses_blobs, config: { get: [\"{{ input.letter['$blob'].sha256 }}\"] } }]";
    let run = host.run_with(flow, json!({"letter": {"$blob": {"sha256": id}}})).await;
    assert_eq!(run["output"]["a"]["got"], json!(["a long letter"]), "{run:#}");
    host.restart().await;
    assert_eq!(get(&host, id).await.as_deref(), Some(b"a long letter".as_slice()));
}

#[tokio::test]
async fn an_input_that_refers_to_nothing_is_refused() {
    let host = Host::start().await;
    let flow = json!({"name": "reads", "steps": [{"id": "a", "type": "transform", "config": {"output": 1}}]});
    let input = json!({"letter": {"$blob": {"sha256": "0".repeat(64)}}});
    let (status, problem) = host.post("/runs", &json!({"flow": flow, "input": input})).await;
    assert_eq!(status.as_u16() / 100, 4, "{problem:#}");
    assert!(problem.to_string().contains(&"0".repeat(64)), "it names the blob: {problem:#}");
}

#[tokio::test]
async fn a_step_keeps_bytes_and_another_reads_them() {
    let host = granted("write").await;
    let run = host
        .run(
            r#"
name: hands
steps:
  - { id: a, type: uses_blobs, config: { put: [one, two, one] } }
  - { id: b, type: uses_blobs, config: { get: "{{ steps.a.put }}" } }
"#,
        )
        .await;
    assert_eq!(run["steps"]["b"]["output"]["got"], json!(["one", "two", "one"]), "{run:#}");
    let ids = &run["steps"]["a"]["output"]["put"];
    assert_eq!(ids[0], ids[2], "the same bytes are kept once");
    assert_eq!(get(&host, ids[1].as_str().unwrap()).await.as_deref(), Some(b"two".as_slice()));
}

#[tokio::test]
async fn reading_is_no_writing() {
    let host = granted("read").await;
    let step = host.step("uses_blobs", json!({"put": ["x"]})).await;
    assert_eq!(step["error"]["code"], "blobs_denied", "{step:#}");
    let refusals = host.refusals(&step).await;
    assert!(refusals[0]["allow"].as_str().unwrap().contains("write"), "{refusals:#?}");
    for (id, code) in [("0".repeat(64), "blobs_missing"), ("nonsense".to_owned(), "blobs_invalid")] {
        let step = host.step("uses_blobs", json!({"get": [id]})).await;
        assert_eq!(step["error"]["code"], code, "{step:#}");
    }
}

#[tokio::test]
async fn a_blob_has_a_largest_size() {
    let host = granted("write").await;
    let flow = json!({"name": "large", "steps": [{
        "id": "a", "type": "uses_blobs", "limits": {"request": "1KiB"}, "config": {"put_bytes": 1025},
    }]});
    let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
    assert_eq!(run["error"]["code"], "blobs_limit", "{run:#}");
    assert!(run["error"]["message"].as_str().unwrap().contains("limits.request"), "{run:#}");
}

#[tokio::test]
async fn a_large_output_goes_with_its_run_and_a_shared_one_with_the_last() {
    let shop = Shop::start().await;
    let host = Host::builder()
        .guest("uses_blobs")
        .config(&format!(
            "grants: {{ http_request: {{ http: [\"{}\"] }}, uses_blobs: {{ blobs: write }} }}",
            shop.url()
        ))
        .start()
        .await;
    let flow = format!(
        r#"
name: large
steps:
  - {{ id: fetched, type: http_request, config: {{ url: "{}/big" }} }}
  - {{ id: kept, type: uses_blobs, config: {{ put: [shared, "own {{{{ input.n }}}}"] }} }}
"#,
        shop.url()
    );
    let mut runs = Vec::new();
    for n in [1, 2] {
        let run = host.run_with(&flow, json!({"n": n})).await;
        assert_eq!(run["status"], "succeeded", "{run:#}");
        runs.push(run);
    }
    let ids = |run: &Value| -> Vec<String> {
        run["steps"]["kept"]["output"]["put"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_str().unwrap().to_owned())
            .collect()
    };
    let (first, second) = (ids(&runs[0]), ids(&runs[1]));
    let events = host.events(&runs[0]).await;
    let fetched =
        events.iter().find(|event| event["type"] == "step.succeeded" && event["step"] == "fetched").unwrap();
    let large = fetched["data"]["output"]["blob"]["digest"]
        .as_str()
        .unwrap_or_else(|| panic!("{fetched:#}"))
        .to_owned();
    let large = large.trim_start_matches("sha256:");

    let delete = async |run: &Value| {
        let id = run["run_id"].as_str().unwrap();
        let answer = host.request(Method::DELETE, &format!("/runs/{id}")).send().await.unwrap();
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
        assert_eq!(host.get(&format!("/runs/{id}")).await.0, 404);
    };
    delete(&runs[0]).await;
    stepcell_tests::eventually("the first run's own blob is gone", || async {
        get(&host, &first[1]).await.is_none().then_some(())
    })
    .await;
    assert!(get(&host, &first[0]).await.is_some(), "the other run refers to it");
    assert!(get(&host, large).await.is_some(), "the other run got the same bytes");
    delete(&runs[1]).await;
    stepcell_tests::eventually("nothing is left", || async {
        let left = [&first[0], &second[1], large];
        let mut kept = 0;
        for id in left {
            kept += usize::from(get(&host, id).await.is_some());
        }
        (kept == 0).then_some(())
    })
    .await;
}
