//! How much is measured.

use std::time::Duration;

/// All that the figures need, or just as much as shows that everything can be measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) quick: bool,
}

impl Effort {
    /// How many, in full and when it has to be quick.
    pub(crate) fn of(self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// How long, in milliseconds.
    pub(crate) fn long(self, full: u64, quick: u64) -> Duration {
        Duration::from_millis(if self.quick { quick } else { full })
    }
}
