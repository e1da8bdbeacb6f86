//! A flow: a directed acyclic graph of steps, as its author wrote it.

use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;

use crate::{Digest, StepId, grant::Grant, limits::Budget};

mod retry;

pub use retry::{Backoff, MAX_ATTEMPTS, MAX_RETRY_FACTOR, Retry, Rule};

/// The largest flow file in bytes. Bounds parsing and what a run pins.
pub const MAX_FLOW_BYTES: usize = 4 << 20;
/// The most steps of one flow, those of the bodies in it included. Bounds the time of validation, and the graph's
/// memory: the ancestors of all steps take up to `steps² / 16` bytes.
pub const MAX_STEPS: usize = 10_000;
/// The shortest `deadline` of a run: less is a mistake in the unit. The longest is
/// [`MAX_DURATION`](crate::parse::units::MAX_DURATION).
pub const MIN_DEADLINE: Duration = Duration::from_secs(1);
/// The most runs of a flow at a time that `concurrency` may ask for. Bounds the memory of active runs.
pub const MAX_CONCURRENCY: u32 = 10_000;

/// A parsed flow. `source` is the same flow as plain JSON: what a run pins, and what its digest is taken of.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    pub name: String,
    pub description: Option<String>,
    /// JSON Schema 2020-12 of the run's input.
    pub input: Option<Value>,
    /// In the order of the file.
    pub steps: IndexMap<StepId, Step>,
    /// A template; without one the output is `{id: output}` of the last steps, those that nothing needs.
    pub output: Option<Value>,
    pub limits: LimitsPatch,
    /// What its steps may reach at most; it can only narrow the operator's word.
    pub grants: Grant,
    /// What one run of it may use at most; it can only narrow the operator's word.
    pub budget: Budget,
    /// How long one run of it may take, from its start to its end, its waits included.
    pub deadline: Option<Duration>,
    /// How many runs of it may be active at a time; the others queue.
    pub concurrency: Option<u32>,
    pub source: Value,
}

impl Flow {
    /// The name of the flow's definition: the digest of its source as JSON text.
    pub fn digest(&self) -> Digest {
        Digest::of(self.source.to_string().as_bytes())
    }
}

/// How the body of a fan-out is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// One step without an id: item 3 of `m` is the step `m[3]`.
    Step,
    /// A list of steps: `m[3].x`.
    Steps,
    /// A flow of its own, which sees nothing of what is around it: its input is the item.
    Flow,
}

/// One node of a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub id: StepId,
    /// `type` in the file: a name in the catalog.
    pub kind: String,
    /// Always an object.
    pub config: Value,
    pub after: Vec<After>,
    /// `if` in the file: a template; the step is skipped where it is false.
    pub condition: Option<String>,
    /// Of one attempt; the smaller of it and the limit wins.
    pub timeout: Option<Duration>,
    pub retry: Retry,
    pub on_error: OnError,
    pub limits: LimitsPatch,
    /// Narrows what the flow leaves.
    pub grants: Grant,
}

/// `id`, meaning any port, or `id.port`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct After {
    pub step: StepId,
    pub port: Option<String>,
}

/// How the flow goes on when a step has failed for good.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum OnError {
    #[default]
    Fail,
    Continue,
    Use(Value),
}

/// Limits that a flow or a step sets; they can only narrow what the operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitsPatch {
    pub fuel: Option<u64>,
    pub memory: Option<u64>,
    pub time: Option<Duration>,
    pub output: Option<u64>,
    pub request: Option<u64>,
    pub response: Option<u64>,
    pub requests: Option<u64>,
}
