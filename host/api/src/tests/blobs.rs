use stepcell_store::{
    RunStatus,
    suite::{at, ended, first_as, naming, run},
};

use super::{
    answers::{NO_BLOB, check},
    *,
};
use stepcell_engine::MAX_BLOB_BYTES;

/// The address under which `bytes` are kept now.
async fn put(api: &Api, bytes: impl Into<Body>) -> String {
    let answer = send(api, "POST /api/v1/blobs", bytes).await;
    assert!(matches!(answer.status, 200 | 201), "{:?}", answer.body);
    answer.headers["location"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn bytes_come_back_as_they_were() {
    let api = api().await;
    for bytes in [&b""[..], b"\0\xff", b"<script>", &[7; 1_000_000]] {
        let address = put(&api, bytes).await;
        let answer = send(&api, &format!("GET {address}"), "").await;
        assert_eq!(answer.status, 200);
        assert!(answer.body == bytes);
        assert_eq!(answer.headers["content-type"], "application/octet-stream");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["content-length"], bytes.len().to_string().as_str());
        assert!(answer.headers["cache-control"].to_str().unwrap().contains("immutable"));
    }
}

#[tokio::test]
async fn an_upload_says_how_long_it_is_kept() {
    let api = api().await;
    let answer = send(&api, "POST /api/v1/blobs\ncontent-type: image/png", "picture").await;
    assert_eq!(answer.status, 201);
    let said = answer.json();
    let id = Digest::of(b"picture").to_string();
    assert_eq!((&said["id"], &said["bytes"]), (&id.as_str().into(), &7.into()));
    assert_eq!(answer.headers["location"], format!("/api/v1/blobs/{id}").as_str());
    let left = said["expires_at"].as_str().unwrap().to_owned();
    let again = send(&api, "POST /api/v1/blobs", "picture").await;
    assert_eq!((again.status, &again.json()["id"]), (200, &said["id"]));
    // RFC 3339 in UTC sorts as text as long as the number of digits is the same: compare whole seconds.
    assert!(again.json()["expires_at"].as_str().unwrap()[..19] >= left[..19]);
}

#[tokio::test]
async fn json_is_json_for_who_asks_for_it() {
    let api = api().await;
    let (json, large, text) =
        (put(&api, "[1]").await, put(&api, "1".repeat(300)).await, put(&api, "[1").await);
    let long = put(&api, format!("[{}0]", "1,".repeat(50_000))).await;
    let cases = [
        (&json, "application/json", "application/json"),
        (&json, "text/html, Application/JSON;q=0.5", "application/json"),
        (&long, "application/json", "application/json"),
        (&json, "*/*", "application/octet-stream"),
        (&text, "application/json", "application/octet-stream"),
        (&large, "application/octet-stream", "application/octet-stream"),
    ];
    for (address, accept, expected) in cases {
        let answer = send(&api, &format!("GET {address}\naccept: {accept}"), "").await;
        assert_eq!(answer.headers["content-type"], expected, "{address} {accept}");
        assert_eq!(answer.headers["vary"], "accept");
    }
}

#[tokio::test]
async fn what_the_caller_has_is_not_sent_again() {
    let api = api().await;
    let address = put(&api, "x").await;
    let tag = send(&api, &format!("GET {address}"), "").await.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(tag, format!("\"{}\"", Digest::of(b"x")));
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let answer = send(&api, &format!("GET {address}\nif-none-match: {known}"), "").await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
        assert_eq!(answer.headers["etag"], tag.as_str());
    }
    let other = send(&api, &format!("GET {address}\nif-none-match: \"other\""), "").await;
    assert_eq!(other.status, 200);
    let gone = send(&api, &format!("GET /api/v1/blobs/{NO_BLOB}\nif-none-match: *"), "").await;
    check(&gone, 404, "no_such_blob");
}

#[tokio::test]
async fn a_page_of_another_origin_can_not_send_blobs() {
    let answer = call("POST /api/v1/blobs\norigin: http://evil.example", "x").await;
    check(&answer, 403, "origin_refused");
}

#[tokio::test]
async fn a_blob_over_the_limit_is_413() {
    let head = format!("POST /api/v1/blobs\ncontent-length: {}", MAX_BLOB_BYTES + 1);
    check(&call(&head, "x").await, 413, "body_too_large");
}

#[tokio::test]
async fn a_removed_run_is_gone_with_its_blobs() {
    let store: SharedStore = Arc::new(MemoryStore::default());
    let api = api_on(Arc::clone(&store)).await;
    let address = put(&api, "x").await;
    store.append(ended(run(1), vec![naming(&Bytes::from_static(b"x"))])).await.unwrap();
    store.sweep(at(1_000_000_000)).await.unwrap();
    assert_eq!(send(&api, &format!("GET {address}"), "").await.status, 200);
    let deleted = send(&api, &format!("DELETE /api/v1/runs/{}", run(1)), "").await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    check(&send(&api, &format!("DELETE /api/v1/runs/{}", run(1)), "").await, 404, "no_such_run");
    check(&send(&api, &format!("GET /api/v1/runs/{}/events", run(1)), "").await, 404, "no_such_run");
    check(&send(&api, &format!("GET {address}"), "").await, 404, "no_such_blob");
}

#[tokio::test]
async fn a_run_that_goes_on_is_not_removed() {
    let store: SharedStore = Arc::new(MemoryStore::default());
    let api = api_on(Arc::clone(&store)).await;
    store.append(first_as(run(1), RunStatus::Waiting, "f")).await.unwrap();
    let refused = send(&api, &format!("DELETE /api/v1/runs/{}", run(1)), "").await;
    check(&refused, 409, "run_unfinished");
    assert!(refused.json()["hint"].as_str().unwrap().contains("/cancel"));
}
