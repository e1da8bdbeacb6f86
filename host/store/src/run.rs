//! What listings and recovery see of a run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stepcell_core::RunId;
pub use stepcell_core::run::RunStatus;

/// The longest name of a flow that a store takes, in bytes. Keeps a summary, the name escaped in it, small.
pub const FLOW_BYTES_MAX: usize = 512;

/// A run as listings show it, and as recovery finds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// At most [`FLOW_BYTES_MAX`] long.
    pub flow: String,
    pub status: RunStatus,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The run's last event.
    pub seq: u64,
}

impl RunSummary {
    /// When the run ended; none for one that goes on.
    pub fn ended_at(&self) -> Option<Timestamp> {
        self.status.is_final().then(|| self.finished_at.unwrap_or(self.created_at))
    }
}

/// Which runs to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub status: Option<RunStatus>,
    pub flow: Option<String>,
    /// Only runs older than this one: the last of the page before.
    pub before: Option<RunId>,
    /// At most this many; a backend may give fewer only at the end.
    pub limit: usize,
}

impl Query {
    /// Whether a run belongs into the listing, its length aside.
    pub fn admits(&self, run: RunId, summary: &RunSummary) -> bool {
        self.before.is_none_or(|before| run < before)
            && self.status.is_none_or(|status| status == summary.status)
            && self.flow.as_deref().is_none_or(|flow| flow == summary.flow)
    }
}
