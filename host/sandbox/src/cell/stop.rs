//! The word from outside that a cell must end.

use std::sync::atomic::{AtomicU8, Ordering::AcqRel, Ordering::Acquire};

use futures_util::task::AtomicWaker;

/// Why a cell is stopped from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The run was cancelled, or nobody waits for the result any more.
    Cancelled,
    /// The step's own `timeout` is over.
    StepTimeout,
    /// `limits.time` is over.
    TimeLimit,
}

/// What a stopped guest traps with.
#[derive(Debug, thiserror::Error)]
#[error("stopped: {0:?}")]
pub(crate) struct Stopped(pub(crate) StopReason);

/// Set once, by the first who wants the cell to end.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    reason: AtomicU8,
    /// Wakes a cell that waits in a host call.
    pub(crate) waker: AtomicWaker,
}

impl Stop {
    /// Says that the cell must end; the first reason stays.
    pub(crate) fn set(&self, reason: StopReason) {
        let _ = self.reason.compare_exchange(0, reason as u8 + 1, AcqRel, Acquire);
        self.waker.wake();
    }

    pub(crate) fn reason(&self) -> Option<StopReason> {
        match self.reason.load(Acquire) {
            0 => None,
            1 => Some(StopReason::Cancelled),
            2 => Some(StopReason::StepTimeout),
            _ => Some(StopReason::TimeLimit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays() {
        let stop = Stop::default();
        assert_eq!(stop.reason(), None);
        stop.set(StopReason::TimeLimit);
        stop.set(StopReason::Cancelled);
        assert_eq!(stop.reason(), Some(StopReason::TimeLimit));
    }
}
