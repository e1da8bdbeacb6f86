//! The machine's clock or, where a unit test wants to know the time, a frozen one.

use std::{cell::Cell, time::SystemTime};

use crate::mocking::Mock;

thread_local! {
    static FROZEN: Cell<Option<SystemTime>> = const { Cell::new(None) };
}

/// Lets it be this time for steps on this thread. A second mock replaces the first.
///
/// ```
/// use std::time::SystemTime;
///
/// let _mock = stepcell::clock::mock(SystemTime::UNIX_EPOCH);
/// assert_eq!(stepcell::clock::now(), SystemTime::UNIX_EPOCH);
/// ```
pub fn mock(time: SystemTime) -> Mock {
    FROZEN.set(Some(time));
    Mock::new(|| FROZEN.set(None))
}

pub(super) fn now() -> SystemTime {
    FROZEN.get().unwrap_or_else(SystemTime::now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_mock_time_goes_on() {
        drop(mock(SystemTime::UNIX_EPOCH));
        assert!(now() > SystemTime::UNIX_EPOCH);
    }
}
