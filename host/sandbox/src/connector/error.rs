//! Why there is no response.

use std::{fmt, io, time::Duration};

use stepcell_core::{event::CapabilityDenied, grant::TargetError};
use stepcell_engine::meter::Resource;

use crate::{capability::Spent, limits::Bytes};

/// Which thing, why, and what to do now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The request can not be sent as it is.
    #[error("the request to `{target}` can not be sent: {reason}")]
    Invalid { target: String, reason: String },
    /// No connection, or it broke.
    #[error("`{peer}` is not available: {reason}")]
    Unavailable { peer: String, phase: Phase, reason: String },
    #[error("`{peer}` took too long: no end of {phase} after {} ms", after.as_millis())]
    Timeout { peer: String, phase: Phase, after: Duration },
    #[error("{message}")]
    Limit { bound: Bound, message: String },
}

/// No grant admits it. Nothing was connected to; where the name itself is refused, nothing was resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{target}` is refused: {reason}")]
pub(crate) struct Denied {
    /// `http` or `secrets`.
    pub(crate) capability: &'static str,
    /// Origin and path, never user info or query; of a secret its name.
    pub(crate) target: String,
    pub(crate) reason: String,
    /// The lines of `stepcell.yaml`, or of the flow, that would allow it; none where nothing can.
    pub(crate) allow: Option<String>,
}

/// What there was too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    RequestHead,
    RequestBody,
    ResponseHead,
    ResponseBody,
    /// Of the execution, or of its run's budget.
    Requests,
    /// Of the run's budget.
    Bytes,
    Redirects,
}

impl Error {
    pub(super) fn request_too_large(peer: &str, max: usize) -> Self {
        let most = Bytes(max as u64);
        let message =
            format!("the request body to `{peer}` is larger than the {most} that `limits.request` allows");
        Self::Limit { bound: Bound::RequestBody, message }
    }

    pub(super) fn response_too_large(peer: &str, max: usize) -> Self {
        let most = Bytes(max as u64);
        let message =
            format!("the response body of `{peer}` is larger than the {most} that `limits.response` allows");
        Self::Limit { bound: Bound::ResponseBody, message }
    }

    pub(super) fn spent(peer: &str, spent: Spent) -> Self {
        let bound = match spent {
            Spent::Budget(exhausted) if exhausted.resource == Resource::Bytes => Bound::Bytes,
            Spent::Requests(_) | Spent::Budget(_) => Bound::Requests,
        };
        Self::Limit { bound, message: format!("no more of `{peer}`: {spent}") }
    }
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
        Self { capability: "http", target, reason: reason.into(), allow: None }
    }

    /// For the run's log.
    pub(crate) fn event(&self) -> CapabilityDenied {
        CapabilityDenied {
            capability: self.capability.to_owned(),
            target: self.target.clone(),
            message: self.reason.clone(),
            allow: self.allow.clone().unwrap_or_default(),
        }
    }

    pub(super) fn redirected_from(mut self, origin: &str) -> Self {
        self.reason = format!("`{origin}` redirects there, and {}", self.reason);
        self
    }
}

/// How far a request had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
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
pub(crate) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
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
