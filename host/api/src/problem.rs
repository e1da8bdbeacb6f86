//! Every refusal that a client sees: problem+json (RFC 9457) with a stable `code`.

use std::{borrow::Cow, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use serde::Serialize;
use serde_json::Value;
use stepcell_core::{Failure, Fault, RunId, problem::Problem as FlowProblem};
use stepcell_engine::Error;

const CONTENT: HeaderValue = HeaderValue::from_static("application/problem+json");

/// When to try again, where nobody knows better.
const RETRY_SOON: Duration = Duration::from_secs(1);

/// An answer that says no: which thing, why, and what to do now.
///
/// It carries only text that is meant for the client; what the store or the system said goes to the host's log.
#[derive(Debug)]
pub struct Problem(Box<Body>);

/// What every handler gives back.
pub(crate) type Result<T> = std::result::Result<T, Problem>;

#[derive(Debug, Serialize)]
struct Body {
    /// Always `about:blank`: the `code` tells problems apart.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "as_number")]
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FlowProblem>,
    /// What came first, where a second one is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<Value>,
    /// Of many runs, those that have started all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    runs: Vec<StartedRun>,
    /// Finds the cause of an internal error in the host's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// When the same call is worth another try.
    #[serde(skip)]
    retry_after: Option<Duration>,
}

/// A run that has started although others of the same request did not.
#[derive(Debug, Serialize)]
pub(crate) struct StartedRun {
    #[serde(flatten)]
    pub(crate) of: Asking,
    pub(crate) run_id: RunId,
}

/// The part of a request that asks for a run.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Asking {
    /// The number of an input, from 0.
    Index(usize),
    /// The line of a body, from 1.
    Line(u32),
}

impl Problem {
    /// A problem; `detail` is one sentence, lower case, no full stop.
    pub(crate) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self(Box::new(Body {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status,
            code: code.into(),
            detail: detail.into(),
            hint: None,
            errors: Vec::new(),
            first: None,
            runs: Vec::new(),
            request_id: None,
            retry_after: None,
        }))
    }

    /// Says what to do now.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.0.hint = hint.into();
        self
    }

    /// Another status than that of a fault of the host.
    #[must_use]
    fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self.0.title = status.canonical_reason().unwrap_or("Error");
        self
    }

    /// Says where in the body.
    #[must_use]
    pub(crate) fn with_errors(mut self, errors: Vec<FlowProblem>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Names the runs, of `asked`, that have started all the same.
    #[must_use]
    pub(crate) fn with_runs(mut self, runs: Vec<StartedRun>, asked: usize) -> Self {
        if !runs.is_empty() {
            let more = format!("; {} of {asked} runs have started, and `runs` names them", runs.len());
            self.0.detail.push_str(&more);
        }
        self.0.runs = runs;
        self
    }

    /// The host's own fault: `cause` goes to the log, under an id that the client is given.
    pub(crate) fn internal(
        code: &'static str,
        detail: impl Into<String>,
        cause: &dyn std::fmt::Display,
    ) -> Self {
        let request_id = uuid::Uuid::now_v7().to_string();
        tracing::error!(code, request_id, error = %cause, "request failed");
        let mut problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, detail);
        problem.0.request_id = Some(request_id);
        problem
    }

    /// A query string that asks for what there is not.
    pub(crate) fn query(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
    }

    /// A flow that can not run; no run was created.
    pub(crate) fn flow(errors: Vec<FlowProblem>) -> Self {
        let detail = match errors.len() {
            1 => "the flow has an error".to_owned(),
            count => format!("the flow has {count} errors"),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_flow", detail).with_errors(errors)
    }

    /// Whole seconds, at least one, for calls that may succeed later as they are.
    fn retry_after(&self) -> Option<u64> {
        let passing =
            matches!(self.0.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let after = self.0.retry_after.unwrap_or(RETRY_SOON);
        passing.then(|| (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1))
    }

    /// Lines of which none was submitted, since some are wrong.
    pub(crate) fn lines(errors: Vec<FlowProblem>) -> Self {
        let detail = match errors.len() {
            1 => "there is an error in the lines".to_owned(),
            count => format!("there are {count} errors in the lines"),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_lines", detail).with_errors(errors)
    }

    #[cfg(test)]
    pub(crate) fn to_json(&self) -> Value {
        serde_json::to_value(&self.0).unwrap()
    }
}

impl From<Error> for Problem {
    /// The one place where the engine's errors become statuses.
    fn from(error: Error) -> Self {
        let (code, hint) = (error.code(), error.hint());
        let status = match &error {
            Error::NoSuchRun(_) | Error::NoSuchStep { .. } | Error::NoItems { .. } => StatusCode::NOT_FOUND,
            Error::Finished { .. }
            | Error::Unfinished { .. }
            | Error::NotWaiting { .. }
            | Error::AlreadyResumed { .. }
            | Error::AmbiguousStep { .. }
            | Error::NotRetryable { .. }
            | Error::IdempotencyKeyReused { .. }
            | Error::PluginGone { .. } => StatusCode::CONFLICT,
            Error::InvalidInput(_)
            | Error::PayloadInvalid(_)
            | Error::BlobMissing(_)
            | Error::TooManyBlobs { .. }
            // It went between the look at the input and the run's first event.
            | Error::Store(stepcell_store::Error::BlobMissing { .. }) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::ReservedEvent { .. } | Error::EventIncomplete { .. } => StatusCode::BAD_REQUEST,
            Error::BlobTooLarge { .. }
            | Error::PayloadTooLarge { .. }
            | Error::EventTooLarge { .. }
            | Error::Store(stepcell_store::Error::EventTooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Error::QueueFull { .. } => StatusCode::TOO_MANY_REQUESTS,
            Error::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Error::Store(stepcell_store::Error::Full) => StatusCode::INSUFFICIENT_STORAGE,
            Error::Store(stepcell_store::Error::Busy { .. }) => StatusCode::TOO_MANY_REQUESTS,
            Error::Store(cause @ stepcell_store::Error::Failed { .. }) => {
                let said = "the store takes no more writes, since an earlier one failed";
                return Self::internal(code, said, cause)
                    .with_status(StatusCode::SERVICE_UNAVAILABLE)
                    .with_hint(hint);
            }
            Error::Store(cause) => {
                return Self::internal(code, "the store could not do it; nothing was acknowledged", cause)
                    .with_hint(hint);
            }
            Error::Damaged { run, .. } => {
                return Self::internal(code, format!("the log of run `{run}` is damaged"), &error)
                    .with_hint(hint);
            }
        };
        let detail = match &error {
            Error::Store(cause) => cause.to_string(),
            _ => error.to_string(),
        };
        let mut problem = Self::new(status, code, detail).with_hint(hint);
        match error {
            Error::InvalidInput(errors) | Error::BlobMissing(errors) | Error::PayloadInvalid(errors) => {
                problem.0.errors = errors;
            }
            Error::AlreadyResumed { first, .. } => problem.0.first = Some(first.value().clone()),
            Error::QueueFull { retry_after, .. } => problem.0.retry_after = Some(retry_after),
            _ => {}
        }
        problem
    }
}

impl From<Failure> for Problem {
    /// The one place where the refusals of the plugin folders become statuses.
    fn from(failure: Failure) -> Self {
        let status = match (failure.code.as_deref(), failure.fault) {
            (Some("unknown_type"), _) => StatusCode::NOT_FOUND,
            (Some("plugin_too_large"), _) => StatusCode::PAYLOAD_TOO_LARGE,
            (_, Fault::Config | Fault::Limit | Fault::Failed | Fault::Timeout) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            (_, Fault::Denied) => StatusCode::FORBIDDEN,
            (_, Fault::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let code = failure.code.map_or(Cow::Borrowed("plugin_refused"), Cow::Owned);
        Self::new(status, code, failure.message).with_hint(failure.hint)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.0.status;
        let retry_after = self.retry_after();
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, CONTENT);
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn as_number<S: serde::Serializer>(
    status: &StatusCode,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

#[cfg(test)]
mod tests;
