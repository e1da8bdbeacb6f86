use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Value, json};
use stepcell_core::{Budget, Limits};

use super::*;
use crate::capability::testing::Given;

/// A store of the tests' own: the engine's needs a run.
#[derive(Debug, Default, Clone)]
struct Kept(Arc<Mutex<BTreeMap<Digest, Bytes>>>);

impl Blobs for Kept {
    fn put(&self, bytes: Bytes) -> BoxFuture<'static, Result<Digest, core::Failure>> {
        let kept = self.0.clone();
        Box::pin(async move {
            let digest = Digest::of(&bytes);
            kept.lock().insert(digest, bytes);
            Ok(digest)
        })
    }

    fn get(&self, digest: Digest) -> BoxFuture<'static, Result<Option<Bytes>, core::Failure>> {
        let found = self.0.lock().get(&digest).cloned();
        Box::pin(async move { Ok(found) })
    }
}

fn given(operator: Value) -> Given {
    Given { operator, blobs: Some(Arc::new(Kept::default())), ..Given::default() }
}

const NO_BLOB: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[tokio::test]
async fn what_is_put_is_there() {
    let mut session = given(json!({"blobs": "write"})).session();
    let id = session.put(b"hello".to_vec()).await.unwrap();
    assert_eq!(id, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_eq!(session.get(id).await.unwrap(), b"hello");
    let usage = session.ledger.usage();
    assert_eq!((usage.requests, usage.sent_bytes, usage.received_bytes), (2, 5, 5));
}

#[tokio::test]
async fn what_is_not_there_is_missing() {
    let mut session = given(json!({"blobs": "read"})).session();
    let result = session.get(NO_BLOB.to_owned()).await;
    assert!(matches!(result, Err(Failure::Missing(_))), "{result:?}");
    for id in ["", "../x", &NO_BLOB[1..], &NO_BLOB.replace('0', "g")] {
        let result = session.get(id.to_owned()).await;
        assert!(matches!(result, Err(Failure::Invalid(_))), "{id}: {result:?}");
    }
}

#[track_caller]
fn check_denied<T: std::fmt::Debug>(
    session: &Session,
    result: Result<T, Failure>,
    reason: &str,
    allow: &str,
) {
    match result {
        Err(Failure::Denied(text)) => assert_eq!(text, format!("`blobs` is refused: {reason}")),
        other => panic!("{other:?}"),
    }
    assert_eq!(session.refusal(), ("blobs".to_owned(), allow.to_owned()));
}

#[tokio::test]
async fn nothing_is_granted_by_default() {
    let mut session = given(json!({"http": []})).session();
    let result = session.get(NO_BLOB.to_owned()).await;
    let line = "grants:\n  my_step: { http: [], blobs: read }";
    check_denied(&session, result, "no grant of `my_step` admits reading blobs", line);
}

#[tokio::test]
async fn reading_is_not_putting() {
    let mut session = given(json!({"blobs": "read"})).session();
    let result = session.put(Vec::new()).await;
    let line = "grants:\n  my_step: { blobs: write }";
    check_denied(&session, result, "no grant of `my_step` admits putting blobs", line);
}

#[tokio::test]
async fn the_flow_and_the_step_narrow() {
    let mut session = Given { flow: json!({"blobs": "read"}), ..given(json!({"blobs": "write"})) }.session();
    assert!(matches!(session.get(NO_BLOB.to_owned()).await, Err(Failure::Missing(_))));
    let result = session.put(Vec::new()).await;
    let line = "grants: { blobs: write }";
    check_denied(&session, result, "the flow's own `grants` do not admit putting blobs", line);
    let mut session = Given { step: json!({"blobs": "read"}), ..given(json!({"blobs": "write"})) }.session();
    let result = session.put(Vec::new()).await;
    check_denied(&session, result, "the step's own `grants` do not admit putting blobs", line);
}

#[tokio::test]
async fn what_is_too_large_is_a_limit() {
    let limits = Limits { request: 4, response: 3, ..Limits::default() };
    let mut session = Given { limits, ..given(json!({"blobs": "write"})) }.session();
    let result = session.put(b"hello".to_vec()).await;
    let Err(Failure::Limit(text)) = result else { panic!("{result:?}") };
    assert_eq!(text, "the blob has 5 bytes, of 4 bytes that `limits.request` allows");
    let id = session.put(b"four".to_vec()).await.unwrap();
    assert!(matches!(session.get(id).await, Err(Failure::Limit(_))));
}

#[tokio::test]
async fn a_budget_ends_it() {
    let budget = Budget { bytes: Some(7), ..Budget::default() };
    let mut session = Given { budget, ..given(json!({"blobs": "write"})) }.session();
    session.put(b"hello".to_vec()).await.unwrap();
    assert!(matches!(session.put(b"hello".to_vec()).await, Err(Failure::Limit(_))));
    assert!(session.caller.meter.overdrawn().is_some());
}
