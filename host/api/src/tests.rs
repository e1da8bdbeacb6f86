//! The routes over a real engine and the in-memory store, on a host whose plugin folders are empty.
//!
//! What needs a step to run is told as user stories in the workspace's `tests/`.

mod answers;
mod blobs;
mod many;
mod server;
mod signals;

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, ready};
use http::{HeaderName, HeaderValue, Request, header::HOST};
use serde_json::Value;
use stepcell_core::{Catalog, Digest, Failure, Fault, Limits, RunId, StepId, catalog::Provider};
use stepcell_engine::{Call, Completion, Engine, PluginInfo, Plugins, StepRunner};
use stepcell_store::{MemoryStore, SharedStore};
use tower::ServiceExt;

use crate::{Api, Options, router};

/// Empty plugin folders: no step type, nothing to pin, nothing to run.
struct Empty;

impl StepRunner for Empty {
    fn catalog(&self) -> Arc<Catalog> {
        Arc::default()
    }

    fn settled(&self) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }

    fn pinned(&self, _: Digest) -> BoxFuture<'static, Option<Arc<Provider>>> {
        ready(None).boxed()
    }

    fn placeholder(&self, _: RunId, _: &StepId, secret: &str) -> String {
        unreachable!("no flow with a step is valid here, and yet there is `{secret}`")
    }

    fn run(&self, call: Call) -> BoxFuture<'static, Completion> {
        unreachable!("no flow with a step is valid here, and yet there is {call:?}")
    }
}

impl Plugins for Empty {
    fn list(&self) -> Vec<PluginInfo> {
        Vec::new()
    }

    fn install(&self, _: Bytes) -> BoxFuture<'static, Result<PluginInfo, Failure>> {
        let failure = Failure::system(Fault::Config, "plugin_refused", "the file is no component");
        ready(Err(failure)).boxed()
    }

    fn remove(&self, kind: String) -> BoxFuture<'static, Result<Vec<PluginInfo>, Failure>> {
        let message = format!("no file serves the type `{kind}`");
        ready(Err(Failure::system(Fault::Config, "unknown_type", message))).boxed()
    }

    fn ready(&self) -> bool {
        true
    }

    fn limits(&self) -> Limits {
        Limits::default()
    }
}

async fn api() -> Api {
    api_on(Arc::new(MemoryStore::default())).await
}

async fn api_on(store: SharedStore) -> Api {
    let runner = Arc::new(Empty);
    let engine = Engine::start(stepcell_engine::Options::new(store, runner.clone())).await.unwrap();
    Api::new(Options { engine, plugins: runner.clone(), runner, hosts: Vec::new() })
}

/// What came back.
struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    #[track_caller]
    fn code(&self) -> String {
        self.json()["code"].as_str().unwrap().to_owned()
    }
}

/// Sends one request to a fresh host, see [`send`].
async fn call(head: &str, body: impl Into<Body>) -> Answer {
    send(&api().await, head, body).await
}

/// Sends one request, written as `METHOD PATH` and header lines `name: value`.
async fn send(api: &Api, head: &str, body: impl Into<Body>) -> Answer {
    let mut lines = head.lines().map(str::trim);
    let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
    request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        request.headers_mut().insert(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
    }
    let response = router(api.clone()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}
