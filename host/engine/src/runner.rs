//! What the engine asks of whoever runs steps. The sandbox implements it.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use stepcell_core::{
    Catalog, Digest, Failure, Fault, Json, Limits, RunId, StepId,
    catalog::{Describe, Provider},
    event::{CapabilityDenied, Receipt},
    grant::Grant,
};
use tokio_util::sync::CancellationToken;

use crate::meter::Meter;

/// Runs one step at a time in a fresh cell.
pub trait StepRunner: Send + Sync + 'static {
    /// What there is now. Cheap: a shared snapshot.
    fn catalog(&self) -> Arc<Catalog>;

    /// Done when every file that was in the folders at the start is in the catalog or refused.
    fn settled(&self) -> BoxFuture<'static, ()>;

    /// A component by digest, for a run that pinned it: from the folders, or from the cache where its file
    /// is no longer there. May compile; `None` where it is gone for good.
    fn pinned(&self, digest: Digest) -> BoxFuture<'static, Option<Arc<Provider>>>;

    /// What a step's config holds in place of a secret: unguessable, the same on every attempt, and swapped only
    /// for the calls that name the secret in [`Call::secrets`].
    fn placeholder(&self, run: RunId, step: &StepId, secret: &str) -> String;

    /// Runs one attempt to its end. Dropping the future cancels the attempt, as `call.cancel` does.
    fn run(&self, call: Call) -> BoxFuture<'static, Completion>;
}

/// One attempt at a step.
#[derive(Debug, Clone)]
pub struct Call {
    pub run: RunId,
    pub step: StepId,
    /// The step's type, for grants and messages.
    pub kind: String,
    pub attempt: u32,
    /// When the log says that the attempt started; the cell's clock starts here.
    pub started_at: Timestamp,
    pub provider: Arc<Provider>,
    pub entry: Entry,
    /// The resolved config, as JSON text.
    pub config: String,
    /// The context, as JSON text, cut to what the provider asks for.
    pub context: String,
    /// What the flow and the step allow; the runner takes the smaller of it and the operator's.
    pub limits: LimitsRequest,
    /// How far the flow and the step narrow what the operator grants; each has to allow what is asked for.
    pub grants: Vec<Arc<Grant>>,
    /// Names of the secrets whose placeholders stand in the config. Only these are swapped for this call.
    pub secrets: Vec<String>,
    /// What the run may still use. The runner takes from it while the step works.
    pub meter: Arc<Meter>,
    /// The store's blobs, kept for the run.
    pub blobs: Arc<dyn Blobs>,
    pub cancel: CancellationToken,
}

/// Bytes by their digest. The engine implements it, for one run.
pub trait Blobs: Send + Sync + std::fmt::Debug {
    /// Keeps bytes for as long as the run is kept. Done when they are on the disk.
    fn put(&self, bytes: bytes::Bytes) -> BoxFuture<'static, Result<Digest, Failure>>;

    /// The bytes of a blob, `None` for no such blob.
    fn get(&self, digest: Digest) -> BoxFuture<'static, Result<Option<bytes::Bytes>, Failure>>;
}

/// Where no store stands behind a runner, as in measurements: nothing is kept, nothing is there.
#[derive(Debug, Clone, Copy)]
pub struct NoBlobs;

impl Blobs for NoBlobs {
    fn put(&self, _: bytes::Bytes) -> BoxFuture<'static, Result<Digest, Failure>> {
        let failure = Failure::system(Fault::Unavailable, "store_unavailable", "there is no store");
        Box::pin(std::future::ready(Err(failure)))
    }

    fn get(&self, _: Digest) -> BoxFuture<'static, Result<Option<bytes::Bytes>, Failure>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// Limits that the flow or step set; where none, the operator's hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitsRequest {
    pub fuel: Option<u64>,
    pub memory: Option<u64>,
    /// `limits.time`: past it the failure is a `limit`.
    pub time: Option<Duration>,
    pub output: Option<u64>,
    pub request: Option<u64>,
    pub response: Option<u64>,
    pub requests: Option<u64>,
    /// The step's `timeout`: past it the failure is a `timeout`, which the step's `retry` may try again.
    pub timeout: Option<Duration>,
}

/// Which function of the component to call.
#[derive(Debug, Clone)]
pub enum Entry {
    Execute,
    /// For a control step whose wait is over.
    Resume {
        signal: Json,
    },
}

/// The end of an attempt.
#[derive(Debug)]
pub struct Completion {
    pub result: Result<Outcome, Failure>,
    pub receipt: Receipt,
    /// What the step printed, cut to the limit.
    pub log: String,
    pub log_dropped_bytes: u64,
    /// What it asked for and did not get.
    pub denied: Vec<CapabilityDenied>,
}

/// What a step decided. A `handler` always gives `Done`.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Done(Json),
    Branch { port: String, output: Json },
    WaitTimer { seconds: f64 },
    WaitSignal { name: String, form: Option<Json>, matching: Option<Json>, deadline_seconds: Option<f64> },
    FanOut { items: Json, body: Json, concurrency: Option<u32>, keep_going: bool },
}

/// The plugin folders, as the API shows and changes them. The sandbox implements it.
pub trait Plugins: Send + Sync + 'static {
    /// Every file in the folders, the refused ones too.
    fn list(&self) -> Vec<PluginInfo>;

    /// Writes a file into the first folder, after it was checked as by a drop into it.
    fn install(&self, bytes: bytes::Bytes) -> BoxFuture<'static, Result<PluginInfo, Failure>>;

    /// Removes the files that serve a type; says which.
    fn remove(&self, kind: String) -> BoxFuture<'static, Result<Vec<PluginInfo>, Failure>>;

    /// Whether every file that was there at the start is described or refused.
    fn ready(&self) -> bool;

    /// The operator's limits, for messages.
    fn limits(&self) -> Limits;
}

/// A file in a plugin folder.
#[derive(Debug, Clone, Serialize)]
pub struct PluginInfo {
    /// The path as the operator would write it.
    pub file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    pub bytes: u64,
    /// Interfaces that the component imports, such as `stepcell:http/http@0.1.0`.
    pub imports: Vec<String>,
    /// Capabilities among them, such as `http`.
    pub capabilities: Vec<String>,
    #[serde(flatten)]
    pub state: PluginState,
    /// The catalog entry, where there is one.
    #[serde(skip)]
    pub describe: Option<Arc<Describe>>,
}

/// How far a file has come.
#[derive(Debug, Clone, Serialize, PartialEq)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PluginState {
    /// Being checked and compiled.
    Loading,
    /// In the catalog, under this type.
    Ready {
        #[serde(rename = "type")]
        kind: String,
    },
    /// Not in the catalog.
    Refused {
        reason: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}
