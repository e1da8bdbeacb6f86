//! Blobs as steps, clients and inputs see them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use stepcell_core::{Digest, Failure, Fault, Json, RunId, problem::Problem};
use stepcell_store::{BlobRef, Error as StoreError, Hold};

use crate::{Blobs, Error, engine::Inner};

/// The largest blob that a step or a client can put. Bounds the host's memory: a blob is whole in it while it is
/// written and while it is read.
pub const MAX_BLOB_BYTES: usize = 64 << 20;
/// How long a blob that a client has sent is kept without a run that refers to it.
pub const UPLOAD_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// The most blobs that one input names. Bounds what is written with a run's first event.
const MAX_INPUT_BLOBS: usize = 256;

/// A blob that a client has sent; serialises to the answer of `POST /blobs`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Upload {
    pub id: Digest,
    pub bytes: usize,
    /// When it may be removed, unless a run refers to it.
    pub expires_at: Timestamp,
    /// It was not there before.
    #[serde(skip)]
    pub is_new: bool,
}

/// Keeps what a client has sent.
pub(crate) async fn upload(engine: &Inner, bytes: Bytes) -> Result<Upload, Error> {
    let size = bytes.len();
    if size > MAX_BLOB_BYTES {
        return Err(Error::BlobTooLarge { bytes: size });
    }
    let expires_at = Timestamp::now() + UPLOAD_KEPT;
    let put = engine.store.put_blob(bytes, Hold::Until(expires_at)).await?;
    Ok(Upload { id: put.digest, bytes: size, expires_at, is_new: put.is_new })
}

/// The blobs that an input names by `{"$blob": {"sha256": …}}`, all of which are there.
pub(crate) async fn of_input(engine: &Inner, input: &Json) -> Result<Vec<BlobRef>, Error> {
    // Most inputs name none, and need not become a tree. A key that is spelled otherwise has an escape in it.
    if !input.text().contains("$blob") && !input.text().contains("\\u") {
        return Ok(Vec::new());
    }
    let mut named = Vec::new();
    find(input.value(), &mut "input".to_owned(), &mut named);
    if named.len() > MAX_INPUT_BLOBS {
        return Err(Error::TooManyBlobs { most: MAX_INPUT_BLOBS });
    }
    let (mut refs, mut missing) = (Vec::with_capacity(named.len()), Vec::new());
    for Named { path, sha256 } in named {
        match sha256.parse::<Digest>() {
            Ok(digest) if engine.store.has_blob(digest).await? => refs.push(BlobRef { digest, bytes: None }),
            _ => missing.push(is_missing(path, &sha256)),
        }
    }
    if missing.is_empty() { Ok(refs) } else { Err(Error::BlobMissing(missing)) }
}

/// A reference in an input.
#[derive(Debug, PartialEq)]
struct Named {
    path: String,
    sha256: String,
}

/// Collects references, one more than an input may have at most. `path` is as it was when this returns.
fn find(value: &Value, path: &mut String, named: &mut Vec<Named>) {
    if named.len() > MAX_INPUT_BLOBS {
        return;
    }
    let here = path.len();
    match value {
        Value::Object(map) => {
            let sha256 = map.get("$blob").and_then(|blob| blob.get("sha256")).and_then(Value::as_str);
            if let Some(sha256) = sha256 {
                named.push(Named { path: path.clone(), sha256: sha256.to_owned() });
                return;
            }
            for (key, value) in map {
                path.push('.');
                path.push_str(key);
                find(value, path, named);
                path.truncate(here);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                find(value, path, named);
                path.truncate(here);
            }
        }
        _ => {}
    }
}

fn is_missing(path: String, sha256: &str) -> Problem {
    let shown: String = sha256.chars().take(2 * size_of::<Digest>()).collect();
    Problem {
        path,
        line: 0,
        column: 0,
        code: "blob_missing",
        message: format!("there is no blob `{shown}`"),
        hint: Some("send its bytes first: `POST /api/v1/blobs`".to_owned()),
    }
}

/// The store's blobs for one run.
#[derive(Clone)]
pub(crate) struct RunBlobs {
    engine: Arc<Inner>,
    run: RunId,
}

impl RunBlobs {
    /// What is put is kept as long as `run` is.
    pub(crate) fn new(engine: Arc<Inner>, run: RunId) -> Arc<Self> {
        Arc::new(Self { engine, run })
    }
}

impl Blobs for RunBlobs {
    fn put(&self, bytes: Bytes) -> BoxFuture<'static, Result<Digest, Failure>> {
        let Self { engine, run } = self.clone();
        async move {
            if bytes.len() > MAX_BLOB_BYTES {
                return Err(too_large(bytes.len()));
            }
            let put = engine.store.put_blob(bytes, Hold::Run(run)).await;
            put.map(|put| put.digest).map_err(|error| failure("kept", &error))
        }
        .boxed()
    }

    fn get(&self, digest: Digest) -> BoxFuture<'static, Result<Option<Bytes>, Failure>> {
        let engine = self.engine.clone();
        async move { engine.store.blob(digest).await.map_err(|error| failure("read", &error)) }.boxed()
    }
}

impl std::fmt::Debug for RunBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunBlobs").field("run", &self.run).finish_non_exhaustive()
    }
}

fn too_large(bytes: usize) -> Failure {
    let error = Error::BlobTooLarge { bytes };
    Failure::system(Fault::Limit, error.code(), error.to_string()).with_hint("put it in parts")
}

fn failure(done: &str, error: &StoreError) -> Failure {
    let message = format!("the blob could not be {done}: {error}");
    let failure = Failure::system(Fault::Unavailable, error.code(), message);
    let failure = match error {
        // Either passes by itself.
        StoreError::Busy { .. } | StoreError::Full => failure.retryable(),
        _ => failure,
    };
    match error.hint() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: Value, expected: &[(&str, &str)]) {
        let mut named = Vec::new();
        let mut path = "input".to_owned();
        find(&input, &mut path, &mut named);
        let found: Vec<_> = named.iter().map(|named| (named.path.as_str(), named.sha256.as_str())).collect();
        assert_eq!(found, expected);
        assert_eq!(path, "input");
    }

    #[test]
    fn references_are_found_with_their_place() {
        let blob = |sha256| serde_json::json!({"$blob": {"sha256": sha256, "bytes": 7}});
        check(blob("a"), &[("input", "a")]);
        check(
            serde_json::json!({"files": [blob("a"), 1, [blob("b")]], "x": {"y": blob("c")}}),
            &[("input.files[0]", "a"), ("input.files[2][0]", "b"), ("input.x.y", "c")],
        );
    }

    #[test]
    fn what_only_looks_like_a_reference_is_data() {
        check(serde_json::json!({"$blob": "a", "sha256": "b"}), &[]);
        check(serde_json::json!({"$blob": {"sha256": 7}}), &[]);
        check(serde_json::json!(["$blob", {"blob": {"sha256": "a"}}]), &[]);
    }

    #[test]
    fn the_search_ends_past_the_limit() {
        let mut named = Vec::new();
        let blob = serde_json::json!({"$blob": {"sha256": "a"}});
        find(&Value::Array(vec![blob; 10_000]), &mut String::new(), &mut named);
        assert_eq!(named.len(), MAX_INPUT_BLOBS + 1);
    }
}
