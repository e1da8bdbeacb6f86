//! Why there is no response.

use std::{fmt, io, time::Duration};

use stepcell_core::grant::TargetError;

/// Which thing, why, and what to do now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The request can not be sent as it is.
    #[error("the request to `{target}` can not be sent: {reason}")]
    Invalid { target: String, reason: String },
    /// No connection, or it broke.
    #[error("`{peer}` is not available: {reason}")]
    Unavailable { peer: String, reason: String },
    #[error("`{peer}` took too long: no end of {phase} after {} ms", after.as_millis())]
    Timeout { peer: String, phase: Phase, after: Duration },
    #[error("{message}")]
    Limit { message: String },
}

/// No grant admits it. Nothing was connected to; where the name itself is refused, nothing was resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{target}` is refused: {reason}")]
pub struct Denied {
    /// Origin and path, never user info or query.
    pub target: String,
    pub reason: String,
    /// The lines of `stepcell.yaml` that would allow it; none where nothing can.
    pub allow: Option<String>,
}

impl From<TargetError> for Denied {
    fn from(TargetError { target, reason }: TargetError) -> Self {
        Self::for_good(target, reason)
    }
}

impl From<TargetError> for Error {
    fn from(error: TargetError) -> Self {
        Self::Denied(error.into())
    }
}

impl Denied {
    /// Refused whatever the grants say.
    pub(crate) fn for_good(target: String, reason: impl Into<String>) -> Self {
        Self { target, reason: reason.into(), allow: None }
    }

    pub(super) fn redirected_from(mut self, origin: &str) -> Self {
        self.reason = format!("`{origin}` redirects there, and {}", self.reason);
        self
    }
}

/// How far a request had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Too many others are under way.
    Queueing,
    Resolving,
    Connecting,
    Securing,
    Responding,
    Reading,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queueing => "the wait for its turn",
            Self::Resolving => "name resolution",
            Self::Connecting => "connecting",
            Self::Securing => "the TLS handshake",
            Self::Responding => "the wait for a response",
            Self::Reading => "the response body",
        })
    }
}

/// The whole chain on one line, in our own case; the number of the system's error says nothing to a reader.
pub(super) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = match error.downcast_ref::<io::Error>() {
            Some(io) if io.raw_os_error().is_some() => io.kind().to_string(),
            _ => error.to_string(),
        };
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    parts.join(": ")
}
