//! A grant as it is written, in the config or in a flow.

use serde_json::Value;

use super::Grant;

/// Who writes the grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The operator, in `stepcell.yaml`.
    Operator,
    /// A flow or a step, which can only narrow.
    Narrowing,
}

/// Something wrong with a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantProblem {
    /// Within the grant: `http[1].methods`; empty for the grant itself.
    pub path: String,
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

impl Grant {
    /// Reads a grant; every mistake in it is told at once, and what can be read is there.
    pub fn read(_value: &Value, _level: Level) -> (Self, Vec<GrantProblem>) {
        (Self::default(), Vec::new())
    }
}
