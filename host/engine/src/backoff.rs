//! How long to wait before the next attempt.

use std::time::Duration;

use stepcell_core::{Failure, flow::Retry};

/// The wait before the attempt after `attempt` (counted from 1), or `None` where that was the last.
///
/// `elapsed` is the time since the first attempt started. `spread` is a random number in `0.0..1.0`: with jitter a
/// wait lies in the upper half of what the rule says. A wait that the other side asked for is never cut short; where
/// it would end past the most total time, there is no next attempt.
pub(crate) fn next_wait(
    retry: &Retry,
    attempt: u32,
    elapsed: Duration,
    failure: &Failure,
    spread: f64,
) -> Option<Duration> {
    let rule = retry.rule_for(failure)?;
    let plain = rule.wait_after(attempt)?;
    let own = if rule.jitter { plain.mul_f64(0.5 + spread.clamp(0.0, 1.0) / 2.0) } else { plain };
    let asked = Duration::from_millis(failure.retry_after_ms.unwrap_or(0).into());
    let wait = own.max(asked);
    let in_time = retry.max_elapsed.is_none_or(|most| elapsed.saturating_add(wait) <= most);
    in_time.then_some(wait)
}

#[cfg(test)]
mod tests;
