//! Clocks that no time passes on, but what the cell itself spends.
//!
//! They start at the logged start of the attempt and advance a little at each read, so that a program that
//! measures itself does not divide by zero. A sleep takes no time: it moves the clock.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{
    DynPollable, Pollable,
    bindings::clocks::{monotonic_clock, wall_clock},
    subscribe,
};

use super::View;

/// The longest that one attempt may sleep in all. A longer wait belongs into a `delay` step, which holds no cell.
pub(crate) const MAX_SLEEP: Duration = Duration::from_secs(1);

/// How far a read moves the clock.
const READ_STEP_NS: u64 = 1_000;

/// The monotonic clock's first reading. Not zero: the Go runtime takes a zero for a broken clock.
const ORIGIN_NS: u64 = 1_000_000_000;

/// No timer is waited for.
const NEVER: u64 = u64::MAX;

/// The guest wanted to sleep for longer than [`MAX_SLEEP`].
#[derive(Debug, thiserror::Error)]
#[error("the step sleeps for more than {MAX_SLEEP:?}")]
pub(crate) struct SleepTooLong;

/// A cell's monotonic time in nanoseconds, shared by its timers.
#[derive(Debug)]
pub(super) struct Clock {
    now: AtomicU64,
    slept: AtomicU64,
    /// The earliest timer that was polled and was not due yet.
    next_timer: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { now: ORIGIN_NS.into(), slept: 0.into(), next_timer: NEVER.into() }
    }
}

impl Clock {
    /// Reads the clock, which moves it on a little.
    pub(super) fn read(&self) -> u64 {
        self.now.fetch_add(READ_STEP_NS, Relaxed)
    }

    /// Time since the start of the attempt.
    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.read().saturating_sub(ORIGIN_NS))
    }

    /// Moves the clock to the earliest timer that was found not to be due; `false` where there was none.
    pub(super) fn sleep_until_next_timer(&self) -> Result<bool, SleepTooLong> {
        let until = self.next_timer.swap(NEVER, Relaxed);
        if until == NEVER {
            return Ok(false);
        }
        let pause = until.saturating_sub(self.now.load(Relaxed));
        let slept = self.slept.fetch_add(pause, Relaxed).saturating_add(pause);
        if Duration::from_nanos(slept) > MAX_SLEEP {
            return Err(SleepTooLong);
        }
        self.now.fetch_max(until, Relaxed);
        Ok(true)
    }

    /// How long it is to the earliest timer that was found not to be due. It is forgotten: whoever polls again
    /// finds it again.
    pub(super) fn take_next_timer(&self) -> Option<Duration> {
        let until = self.next_timer.swap(NEVER, Relaxed);
        let pause = until.saturating_sub(self.now.load(Relaxed));
        (until != NEVER).then(|| Duration::from_nanos(pause))
    }

    /// Moves the clock by time that really passed.
    pub(super) fn pass(&self, time: Duration) {
        self.now.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    fn is_due(&self, when: u64) -> bool {
        let due = self.now.load(Relaxed) >= when;
        if !due {
            self.next_timer.fetch_min(when, Relaxed);
        }
        due
    }
}

/// A point on a cell's clock.
struct Timer {
    clock: std::sync::Arc<Clock>,
    when: u64,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Timer {
    /// Nothing wakes this future: whoever polls it moves the clock and polls again, see `poll.rs`.
    async fn ready(&mut self) {
        poll_fn(|_| if self.clock.is_due(self.when) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl View<'_> {
    fn timer(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let clock = std::sync::Arc::clone(self.wasi.clock());
        let timer = self.table.push(Timer { clock, when })?;
        subscribe(self.table, timer)
    }
}

impl monotonic_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi.clock().read())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(READ_STEP_NS)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.timer(when)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        // `NEVER` itself would not be seen as a timer.
        let when = self.wasi.clock().read().saturating_add(duration).min(NEVER - 1);
        self.timer(when)
    }
}

impl wall_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let elapsed = self.wasi.clock().elapsed();
        let start = self.wasi.attempt.started_at;
        let now = start.checked_add(elapsed).unwrap_or(start);
        Ok(wall_clock::Datetime {
            seconds: u64::try_from(now.as_second()).unwrap_or_default(),
            nanoseconds: u32::try_from(now.subsec_nanosecond()).unwrap_or_default(),
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: READ_STEP_NS as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_differ_and_never_go_back() {
        let clock = Clock::default();
        let first = clock.read();
        assert!(first > 0);
        assert_eq!(clock.read() - first, READ_STEP_NS);
    }

    #[test]
    fn a_sleep_moves_the_clock_to_the_earliest_timer() {
        let clock = Clock::default();
        assert!(!clock.is_due(ORIGIN_NS + 5_000_000));
        assert!(!clock.is_due(ORIGIN_NS + 2_000_000));
        assert!(clock.sleep_until_next_timer().unwrap());
        assert!(clock.is_due(ORIGIN_NS + 2_000_000));
        assert!(!clock.is_due(ORIGIN_NS + 5_000_000));
    }

    #[test]
    fn nothing_to_wait_for_moves_nothing() {
        assert!(!Clock::default().sleep_until_next_timer().unwrap());
    }

    #[test]
    fn time_that_really_passed_moves_the_clock() {
        let clock = Clock::default();
        assert_eq!(clock.take_next_timer(), None);
        assert!(!clock.is_due(ORIGIN_NS + 5_000_000));
        assert_eq!(clock.take_next_timer(), Some(Duration::from_millis(5)));
        clock.pass(Duration::from_millis(5));
        assert!(clock.is_due(ORIGIN_NS + 5_000_000));
    }

    #[test]
    fn sleeps_add_up_to_the_limit() {
        let clock = Clock::default();
        let nap = 600_000_000;
        assert!(!clock.is_due(ORIGIN_NS + nap));
        assert!(clock.sleep_until_next_timer().unwrap());
        assert!(!clock.is_due(ORIGIN_NS + 2 * nap));
        assert!(clock.sleep_until_next_timer().is_err());
    }
}
