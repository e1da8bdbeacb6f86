//! How a step is tried again.

use std::{collections::BTreeMap, time::Duration};

use crate::{Failure, Fault};

/// The most attempts that `retry` may ask for. Bounds a run's log.
pub const MAX_ATTEMPTS: u32 = 100;
/// The most by which `retry` may lengthen each wait. Beyond it the second wait is the longest already.
pub const MAX_RETRY_FACTOR: f64 = 100.0;

/// How often and how long after a failure a step is tried again. The default tries once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Retry {
    pub rule: Rule,
    /// Rules for failures of one fault; what such a rule leaves out is as in `rule`.
    pub faults: BTreeMap<Fault, Rule>,
    /// From the start of the first attempt; a wait that would end later is not begun.
    pub max_elapsed: Option<Duration>,
}

/// How often, and after which waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The first attempt counts, and so does every one after a failure of another fault.
    pub max_attempts: u32,
    pub backoff: Backoff,
    /// Spreads each wait over its upper half, so that many runs do not come back at once.
    pub jitter: bool,
}

/// The waits between attempts, before jitter.
#[derive(Debug, Clone, PartialEq)]
pub enum Backoff {
    /// Each wait is `factor` times the one before.
    Exponential {
        initial: Duration,
        factor: f64,
        max: Duration,
    },
    Constant(Duration),
    /// The first wait, the second and so on; past its end there is no attempt.
    Listed(Vec<Duration>),
}

impl Retry {
    /// The rule for a failure, or `None` where such a failure is final. Without a rule of its own only a failure that
    /// says that it may pass is tried again, as the host's own time-out of an attempt does.
    pub fn rule_for(&self, failure: &Failure) -> Option<&Rule> {
        let own = self.faults.get(&failure.fault);
        own.or_else(|| failure.retryable.then_some(&self.rule))
    }
}

impl Rule {
    /// The wait before the attempt after `attempt` (counted from 1), without jitter; `None` where that was the last.
    pub fn wait_after(&self, attempt: u32) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        let before = attempt.saturating_sub(1);
        match &self.backoff {
            Backoff::Exponential { initial, factor, max } => {
                let times = factor.powi(i32::try_from(before).unwrap_or(i32::MAX));
                let seconds = initial.as_secs_f64() * times;
                Some(Duration::try_from_secs_f64(seconds).map_or(*max, |wait| wait.min(*max)))
            }
            Backoff::Constant(wait) => Some(*wait),
            Backoff::Listed(waits) => waits.get(usize::try_from(before).ok()?).copied(),
        }
    }
}

impl Default for Rule {
    fn default() -> Self {
        Self { max_attempts: 1, backoff: Backoff::default(), jitter: true }
    }
}

impl Backoff {
    /// The first wait, where none is written.
    pub const INITIAL: Duration = Duration::from_millis(200);
    /// How each wait grows, where nothing is written.
    pub const FACTOR: f64 = 2.0;
    /// The longest wait, where none is written; never less than the first.
    pub const MAX: Duration = Duration::from_secs(30);
}

impl Default for Backoff {
    fn default() -> Self {
        Self::Exponential { initial: Self::INITIAL, factor: Self::FACTOR, max: Self::MAX }
    }
}
