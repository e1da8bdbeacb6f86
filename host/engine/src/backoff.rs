//! How long to wait before the next attempt.

use std::time::Duration;

use stepcell_core::{Failure, Fault, flow::Retry};

/// The wait before the attempt after `attempt` (counted from 1), or `None` where that was the last.
///
/// Only failures that may pass are tried again: those that say so, and time-outs of an attempt. `spread` is
/// a random number in `0.0..1.0`; with jitter a wait lies in the upper half of its exponential value. A wait
/// that the other side asked for is never cut short.
pub(crate) fn next_wait(retry: &Retry, attempt: u32, failure: &Failure, spread: f64) -> Option<Duration> {
    let may_pass = failure.retryable || failure.fault == Fault::Timeout;
    if !may_pass || attempt >= retry.max_attempts {
        return None;
    }
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let most = retry.max.as_secs_f64();
    let plain = (retry.initial.as_secs_f64() * retry.factor.powi(exponent)).clamp(0.0, most);
    let seconds = if retry.jitter { plain * (0.5 + spread / 2.0) } else { plain };
    let wait = Duration::try_from_secs_f64(seconds).unwrap_or(retry.max);
    let asked = Duration::from_millis(failure.retry_after_ms.unwrap_or(0).into());
    Some(wait.max(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry() -> Retry {
        Retry {
            max_attempts: 5,
            initial: Duration::from_millis(100),
            factor: 2.0,
            max: Duration::from_millis(500),
            jitter: false,
        }
    }

    fn passing() -> Failure {
        Failure::system(Fault::Unavailable, "x", "x").retryable()
    }

    #[test]
    fn waits_grow_up_to_the_most() {
        let waits: Vec<_> =
            (1..5).map(|n| next_wait(&retry(), n, &passing(), 0.0).unwrap().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 500]);
        assert_eq!(next_wait(&retry(), 5, &passing(), 0.0), None);
    }

    #[test]
    fn jitter_keeps_the_upper_half() {
        let retry = Retry { jitter: true, ..retry() };
        assert_eq!(next_wait(&retry, 1, &passing(), 0.0).unwrap().as_millis(), 50);
        assert_eq!(next_wait(&retry, 1, &passing(), 1.0).unwrap().as_millis(), 100);
    }

    #[test]
    fn what_can_not_pass_is_not_tried_again() {
        let mut failure = Failure::system(Fault::Config, "x", "x");
        assert_eq!(next_wait(&retry(), 1, &failure, 0.0), None);
        failure.fault = Fault::Timeout;
        assert!(next_wait(&retry(), 1, &failure, 0.0).is_some());
    }

    #[test]
    fn the_other_side_may_ask_for_more() {
        let failure = Failure { retry_after_ms: Some(9_000), ..passing() };
        assert_eq!(next_wait(&retry(), 1, &failure, 0.0).unwrap().as_secs(), 9);
    }

    #[test]
    fn wild_numbers_stay_within_the_most() {
        let retry = Retry { factor: 1e300, max_attempts: u32::MAX, ..retry() };
        assert_eq!(next_wait(&retry, 4_000_000, &passing(), 0.0), Some(retry.max));
    }
}
