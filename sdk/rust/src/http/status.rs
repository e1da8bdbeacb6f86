//! What a status means for a step that did not want it.

use serde_json::{Value, json};

use super::{Response, retry_after};
use crate::{Failure, Fault};

/// How much of an error's body goes into the run's log: enough for its message, too little to fill the log.
const DETAIL_BODY_BYTES: usize = 4096;

/// Whatever the status is: what is a failure is for the caller to say.
pub(super) fn failure(response: &Response) -> Failure {
    let status = response.status();
    let mut failure =
        Failure::new(fault(status), format!("`{}` answered {}", response.request, named(status)))
            .code(format!("http_{status}"))
            .details(json!({ "status_code": status, "body": excerpt(response) }));
    if matches!(status, 408 | 425 | 429 | 500..) {
        failure = failure.retryable();
        failure.retry_after = retry_after::of(response);
    }
    failure
}

fn fault(status: u16) -> Fault {
    match status {
        401 | 403 | 407 => Fault::Denied,
        408 | 504 => Fault::Timeout,
        425 | 502 | 503 => Fault::Unavailable,
        429 => Fault::Limit,
        _ => Fault::Failed,
    }
}

fn named(status: u16) -> String {
    let name = match status {
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        425 => "Too Early",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => return status.to_string(),
    };
    format!("{status} {name}")
}

/// The body as JSON where it is that and short, else the start of its text.
fn excerpt(response: &Response) -> Value {
    let body = response.body();
    if let Some(whole) = (body.len() <= DETAIL_BODY_BYTES && response.is_json())
        .then(|| serde_json::from_slice(body).ok())
        .flatten()
    {
        return whole;
    }
    let start = body.get(..DETAIL_BODY_BYTES).unwrap_or(body);
    String::from_utf8_lossy(start).into_owned().into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check(status: u16, fault: Fault, retryable: bool) {
        let failure = failure(&Response::new(status));
        assert_eq!((failure.fault, failure.retryable), (fault, retryable));
        assert_eq!(failure.code, Some(format!("http_{status}")));
    }

    #[test]
    fn only_what_may_pass_is_retryable() {
        check(400, Fault::Failed, false);
        check(401, Fault::Denied, false);
        check(404, Fault::Failed, false);
        check(408, Fault::Timeout, true);
        check(429, Fault::Limit, true);
        check(500, Fault::Failed, true);
        check(503, Fault::Unavailable, true);
        check(302, Fault::Failed, false);
    }

    #[test]
    fn a_named_wait_is_kept_only_where_a_retry_helps() {
        let wait = |status| failure(&Response::new(status).with_header("retry-after", "7")).retry_after;
        assert_eq!(wait(503), Some(Duration::from_secs(7)));
        assert_eq!(wait(404), None);
    }

    #[test]
    fn a_long_body_is_cut() {
        let failure = failure(&Response::new(500).with_body("x".repeat(10_000)));
        assert_eq!(failure.details.unwrap()["body"].as_str().unwrap().len(), DETAIL_BODY_BYTES);
    }

    #[test]
    fn a_short_json_body_stays_json() {
        let failure = failure(&Response::new(422).with_json(&json!({ "field": "name" })));
        assert_eq!(*failure.details.unwrap(), json!({ "status_code": 422, "body": { "field": "name" } }));
    }
}
