//! Blobs as steps see them.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use stepcell_core::{Digest, Failure, Fault, RunId};
use stepcell_store::Error;

use crate::{Blobs, engine::Inner};

/// The largest blob that a step or a client can put. Bounds the host's memory: a blob is whole in it while it is
/// written and while it is read.
pub const MAX_BLOB_BYTES: usize = 64 << 20;

/// The store's blobs for one run.
#[derive(Clone)]
pub(crate) struct RunBlobs {
    engine: Arc<Inner>,
    run: RunId,
}

impl RunBlobs {
    /// What is put is kept as long as `run` is.
    pub(crate) fn new(engine: Arc<Inner>, run: RunId) -> Arc<dyn Blobs> {
        Arc::new(Self { engine, run })
    }
}

impl Blobs for RunBlobs {
    fn put(&self, bytes: Bytes) -> BoxFuture<'static, Result<Digest, Failure>> {
        let Self { engine, .. } = self.clone();
        async move {
            if bytes.len() > MAX_BLOB_BYTES {
                return Err(too_large(bytes.len()));
            }
            engine.store.put_blob(bytes).await.map_err(|error| failure("kept", &error))
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
    let message = format!("a blob of {bytes} bytes is over the limit of {MAX_BLOB_BYTES}");
    Failure::system(Fault::Limit, "blob_too_large", message).with_hint("put it in parts")
}

fn failure(done: &str, error: &Error) -> Failure {
    let failure = Failure::system(
        Fault::Unavailable,
        error.code(),
        format!("the blob could not be {done}: {error}"),
    );
    let failure = match error {
        // Either passes by itself.
        Error::Busy { .. } | Error::Full => failure.retryable(),
        _ => failure,
    };
    match error.hint() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}
