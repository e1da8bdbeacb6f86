//! Why a step says no.

use std::{error::Error, fmt, time::Duration};

use serde::Serialize;
use serde_json::Value;

/// Whose fault a failure is. The engine's retry rules read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The config or the flow is wrong; running it again can not help.
    Config,
    /// A grant, or the other side's own access rule, refuses it.
    Denied,
    /// The other side can not be reached or asks to come back later.
    Unavailable,
    /// The other side did not answer in time.
    Timeout,
    /// A limit was used up.
    Limit,
    /// The step did its work and the answer is no.
    Failed,
}

/// Why a step did not succeed. It is stored in the run's log as it is.
///
/// Every standard error turns into one of fault [`Fault::Failed`] with `?`. For
/// that reason `Failure` does not itself implement [`Error`].
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub fault: Fault,
    /// A short stable name that flows may branch on, such as `http_404`.
    pub code: Option<String>,
    /// One sentence for a person: which thing, and why.
    pub message: String,
    /// Whether the same call may succeed later. The engine retries, by the flow's `retry`; a step never does.
    pub retryable: bool,
    /// The shortest wait before a retry.
    pub retry_after: Option<Duration>,
    /// More, for a program. The host refuses what is no object. In a box, because a `Result` is as large as its
    /// larger half.
    pub details: Option<Box<Value>>,
}

/// What a step's function gives.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure that a retry does not help, unless [`Failure::retryable`] says otherwise.
    pub fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self {
            fault,
            code: None,
            message: message.into(),
            retryable: false,
            retry_after: None,
            details: None,
        }
    }

    /// The config is wrong.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Fault::Config, message)
    }

    /// The other side refuses access.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(Fault::Denied, message)
    }

    /// The other side can not be reached. May be retried.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Fault::Unavailable, message).retryable()
    }

    /// The other side did not answer in time. May be retried.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(Fault::Timeout, message).retryable()
    }

    /// A limit was used up.
    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(Fault::Limit, message)
    }

    /// The step did its work and the answer is no.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Fault::Failed, message)
    }

    /// Gives it a short stable name.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Says that the same call may succeed later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Says that the same call can not succeed later either.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.retryable = false;
        self.retry_after = None;
        self
    }

    /// May be retried, but not before this time is over.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self.retryable()
    }

    /// Adds an object for programs.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(Box::new(details));
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            message.push_str(": ");
            message.push_str(&inner.to_string());
            cause = inner.source();
        }
        Self::failed(message)
    }
}

/// What a step's function may return.
#[diagnostic::on_unimplemented(
    message = "a step returns `Result<T, Failure>`, not `{Self}`",
    note = "`T` has to be serializable, with a JSON schema: `#[stepcell::data]` on the type gives both"
)]
pub trait StepResult {
    type Output;

    fn into_result(self) -> Result<Self::Output>;
}

impl<T, E: Into<Failure>> StepResult for std::result::Result<T, E> {
    type Output = T;

    fn into_result(self) -> Result<T> {
        self.map_err(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_mark_keeps_the_whole_chain() {
        fn parse(text: &str) -> Result<i32> {
            Ok(text.parse::<i32>()?)
        }
        let failure = parse("x").unwrap_err();
        assert_eq!(failure, Failure::failed("invalid digit found in string"));
    }

    #[test]
    fn a_named_wait_makes_it_retryable() {
        let failure = Failure::failed("busy").code("http_429").retry_after(Duration::from_secs(2));
        assert!(failure.retryable);
        assert!(!failure.permanent().retryable);
    }
}
