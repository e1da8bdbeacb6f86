//! Why a step or a run did not succeed.

use serde::{Deserialize, Serialize};

use crate::Json;

/// Whose fault a failure is; the same words as in `wit/step`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The config or the flow is wrong.
    Config,
    /// A grant, or the other side's access rule, refuses it.
    Denied,
    /// The other side can not be reached, or asks to come back later.
    Unavailable,
    /// Time was up.
    Timeout,
    /// A limit was used up.
    Limit,
    /// The step did its work and the answer is no.
    Failed,
}

/// Who says so: the step itself, or the host that could not run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The step ran and says no.
    Business,
    /// The host could not run the step to its end: a limit, a trap, a missing plugin, a refused capability.
    System,
}

/// Why a step did not succeed: `{fault, kind, code?, message, retryable, retry_after_ms?, hint?, details?}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub fault: Fault,
    pub kind: FailureKind,
    /// A short stable name, such as `http_404` or `fuel_exhausted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Which thing, and why. One sentence, lower case, no full stop.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
    /// What to do now: the exact key, flag or line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Json>,
}

impl Failure {
    /// A failure that the host found, not the step.
    pub fn system(fault: Fault, code: &str, message: impl Into<String>) -> Self {
        Self {
            fault,
            kind: FailureKind::System,
            code: Some(code.to_owned()),
            message: message.into(),
            retryable: false,
            retry_after_ms: None,
            hint: None,
            details: None,
        }
    }

    /// Whether it has this code.
    pub fn is_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Says what to do now.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says that the same call may succeed later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
