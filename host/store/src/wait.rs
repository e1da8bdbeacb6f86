//! Which steps wait for a signal of a name, so that whoever sends one finds them without reading their logs.

use serde_json::Value;
use stepcell_core::{RunId, StepId};

/// Lets a step wait for signals of a name, or no longer. Setting what is set takes its place; clearing what is
/// not set changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum WaitChange {
    Set {
        name: String,
        step: StepId,
        /// What a signal has to match, in the engine's words.
        matching: Option<Value>,
    },
    Clear {
        name: String,
        step: StepId,
    },
}

/// A step that waits for signals of a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiter {
    pub run: RunId,
    pub step: StepId,
    /// `None` also where it is [`large`](Self::large).
    pub matching: Option<Value>,
    /// What a signal has to match is too large for the index: the run's log has it.
    pub large: bool,
}
