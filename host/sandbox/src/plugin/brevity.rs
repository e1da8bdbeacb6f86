//! What can be expected of the next execution of a plugin.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

/// Work below it costs about as much as waking another thread for it on a machine that has gone idle. In fuel, since
/// on a busy machine the clock makes everything long.
const BRIEF_FUEL: u64 = 400_000;
/// For what fuel does not count: making the cell, what it hands to the host, the look at what it gave.
const BRIEF_TIME: Duration = Duration::from_millis(1);
/// Points from which on the next execution is expected to be brief. Each brief one is a point: a plugin that is
/// brief now and then has its long executions on its callers' threads too seldom to delay anybody.
const ENOUGH: u32 = 16;
/// What an execution that was not brief costs.
const FINE: u32 = 16;
/// So that a plugin which changes its ways is noticed soon.
const MOST: u32 = 64;

/// Counts brief executions.
#[derive(Default)]
pub(crate) struct Brevity {
    /// Two executions that end at once may count as one: that does no harm.
    points: AtomicU32,
}

impl Brevity {
    pub(crate) fn expected(&self) -> bool {
        self.points.load(Relaxed) >= ENOUGH
    }

    /// An execution was over after this time in the guest, and this much fuel.
    pub(crate) fn took(&self, time: Duration, fuel: u64) {
        let points = self.points.load(Relaxed);
        let is_brief = time < BRIEF_TIME && fuel < BRIEF_FUEL;
        let points = if is_brief { (points + 1).min(MOST) } else { points.saturating_sub(FINE) };
        self.points.store(points, Relaxed);
    }

    /// An execution had to leave its caller's thread.
    pub(crate) fn disappointed(&self) {
        self.points.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(brief: u32) -> Brevity {
        let brevity = Brevity::default();
        (0..brief).for_each(|_| brevity.took(BRIEF_TIME / 2, 0));
        brevity
    }

    #[test]
    fn brevity_is_expected_after_enough_of_it() {
        assert!(!after(0).expected());
        assert!(!after(ENOUGH - 1).expected());
        assert!(after(ENOUGH).expected());
    }

    #[test]
    fn a_few_long_executions_are_forgiven() {
        let brevity = after(1_000);
        brevity.took(BRIEF_TIME, 0);
        assert!(brevity.expected());
        (0..MOST / FINE).for_each(|_| brevity.took(Duration::ZERO, BRIEF_FUEL));
        assert!(!brevity.expected());
    }

    #[test]
    fn one_that_had_to_leave_is_not() {
        let brevity = after(1_000);
        brevity.disappointed();
        assert!(!brevity.expected());
        brevity.took(BRIEF_TIME / 2, 0);
        assert!(!brevity.expected());
    }
}
