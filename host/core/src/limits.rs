//! What one execution may use.

use std::time::Duration;

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
}

impl Default for Limits {
    fn default() -> Self {
        Self { fuel: 10_000_000_000, memory: 128 << 20, time: Duration::from_secs(60), output: 16 << 20 }
    }
}
