//! The words that all capabilities share for why there is nothing, and what they mean for a step.

use crate::Failure;

/// Why a capability gave nothing. The WIT of each has some of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Denied,
    Invalid,
    Missing,
    Rejected,
    Conflict,
    Unavailable,
    Timeout,
    Limit,
}

/// The failure with the code `http_denied` and the like.
pub(crate) fn failure(capability: &str, why: Why, message: impl Into<String>) -> Failure {
    let (failure, word) = match why {
        Why::Denied => (Failure::denied(message), "denied"),
        Why::Invalid => (Failure::config(message), "invalid"),
        Why::Missing => (Failure::failed(message), "missing"),
        Why::Rejected => (Failure::failed(message), "rejected"),
        Why::Conflict => (Failure::unavailable(message), "conflict"),
        Why::Unavailable => (Failure::unavailable(message), "unavailable"),
        Why::Timeout => (Failure::timeout(message), "timeout"),
        Why::Limit => (Failure::limit(message), "limit"),
    };
    failure.code(format!("{capability}_{word}"))
}

/// What a native call gets where no mock answers it.
pub(crate) fn no_host(capability: &str) -> Failure {
    let message = format!("there is no host here: a unit test answers with `stepcell::{capability}::mock`");
    failure(capability, Why::Unavailable, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    #[track_caller]
    fn check(why: Why, fault: Fault, code: &str, retryable: bool) {
        let failure = failure("http", why, "no");
        assert_eq!(
            (failure.fault, failure.code.as_deref(), failure.retryable),
            (fault, Some(code), retryable)
        );
    }

    #[test]
    fn only_what_may_pass_is_retryable() {
        check(Why::Denied, Fault::Denied, "http_denied", false);
        check(Why::Invalid, Fault::Config, "http_invalid", false);
        check(Why::Missing, Fault::Failed, "http_missing", false);
        check(Why::Rejected, Fault::Failed, "http_rejected", false);
        check(Why::Conflict, Fault::Unavailable, "http_conflict", true);
        check(Why::Unavailable, Fault::Unavailable, "http_unavailable", true);
        check(Why::Timeout, Fault::Timeout, "http_timeout", true);
        check(Why::Limit, Fault::Limit, "http_limit", false);
    }
}
