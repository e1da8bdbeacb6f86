//! Idempotent submission: which run a key stands for.

use stepcell_core::Digest;

/// A key under which a run is submitted, so that a second submission finds the first.
///
/// Comes with the run's first append and is decided with it: of two runs that claim one key, one is begun. The
/// claim goes with its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub key: String,
    /// Of what was submitted: the same key with another body is a mistake of the sender.
    pub body: Digest,
}
