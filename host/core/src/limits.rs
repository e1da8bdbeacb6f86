//! What one execution may use.

use std::time::Duration;

use crate::flow::LimitsPatch;

/// The limits of one execution. The config sets them for all; a grant, a flow or a step may set others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Units of guest work, about one per wasm instruction. Stops endless loops, the same on every machine.
    pub fuel: u64,
    /// Bytes of linear memory, all memories of a cell together. Protects the host's memory.
    pub memory: u64,
    /// Wall clock of one attempt, host calls included. Protects the run from a peer that never answers.
    pub time: Duration,
    /// Bytes of JSON that a step may return. Protects the store and the host's memory.
    pub output: u64,
    /// Bytes of one request's body. Protects the host's memory and the peer.
    pub request: u64,
    /// Bytes of one response's body. Protects the host's memory; the cell's own limit comes on top.
    pub response: u64,
    /// Requests of one execution, redirects, statements, mails and blobs included. Protects the peers from a loop.
    pub requests: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 10_000_000_000,
            memory: 128 << 20,
            time: Duration::from_secs(60),
            output: 16 << 20,
            request: 16 << 20,
            response: 16 << 20,
            requests: 1_000,
        }
    }
}

impl Limits {
    /// With what a grant of the operator sets instead.
    #[must_use]
    pub fn replaced_by(&self, patch: &LimitsPatch) -> Self {
        self.with(patch, |_, set| set, |_, set| set)
    }

    /// The smaller of both, as a flow or a step sets them.
    #[must_use]
    pub fn narrowed_by(&self, patch: &LimitsPatch) -> Self {
        self.with(patch, Ord::min, Ord::min)
    }

    /// All of them, as they may stand in the config.
    pub fn to_patch(&self) -> LimitsPatch {
        let Self { fuel, memory, time, output, request, response, requests } = *self;
        LimitsPatch {
            fuel: Some(fuel),
            memory: Some(memory),
            time: Some(time),
            output: Some(output),
            request: Some(request),
            response: Some(response),
            requests: Some(requests),
        }
    }

    fn with(
        &self,
        patch: &LimitsPatch,
        amount: impl Fn(u64, u64) -> u64,
        time: impl Fn(Duration, Duration) -> Duration,
    ) -> Self {
        let amount = |own: u64, set: Option<u64>| set.map_or(own, |set| amount(own, set));
        Self {
            fuel: amount(self.fuel, patch.fuel),
            memory: amount(self.memory, patch.memory),
            time: patch.time.map_or(self.time, |set| time(self.time, set)),
            output: amount(self.output, patch.output),
            request: amount(self.request, patch.request),
            response: amount(self.response, patch.response),
            requests: amount(self.requests, patch.requests),
        }
    }
}

/// What one run may use, all its steps and attempts together. `None`: as much as it likes. The config sets one
/// for all runs, a flow a smaller one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    pub fuel: Option<u64>,
    /// HTTP requests, redirects included; statements; mails; blobs put and got.
    pub requests: Option<u64>,
    /// Of bodies, results and mails, sent and received.
    pub bytes: Option<u64>,
    /// Of databases: read, or changed.
    pub rows: Option<u64>,
    /// Of language models, as far as the steps tell.
    pub tokens: Option<u64>,
}

impl Budget {
    /// The smaller of both, for each resource.
    #[must_use]
    pub fn narrowed_by(&self, other: &Self) -> Self {
        let smaller = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self {
            fuel: smaller(self.fuel, other.fuel),
            requests: smaller(self.requests, other.requests),
            bytes: smaller(self.bytes, other.bytes),
            rows: smaller(self.rows, other.rows),
            tokens: smaller(self.tokens, other.tokens),
        }
    }
}
