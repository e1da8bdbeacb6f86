//! A queue of executions that are ready to run, and the threads that wait for them.

use std::{
    collections::VecDeque,
    hint,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use async_task::Runnable;
use parking_lot::{Condvar, Mutex};

use super::Turn;

/// How long one idle thread looks for work before it goes to sleep. The next step of a chain comes within that
/// time, and waking a sleeping thread costs about as much as running a short step.
const SPIN: Duration = Duration::from_micros(50);
/// Looks between two readings of the clock.
const LOOKS: u32 = 64;

type Ready = Runnable<Arc<Turn>>;

pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    /// `state.ready.len()`, for looking without the lock.
    len: AtomicUsize,
    spins: bool,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Ready>,
    parked: usize,
    /// One thread looks out for work by itself. At most one does: the others would only take its core.
    spinning: bool,
    closed: bool,
}

impl Queue {
    /// For short work: an idle thread keeps looking for a while.
    pub(super) fn spinning() -> Self {
        Self { spins: true, ..Self::parking() }
    }

    /// For long work: an idle thread sleeps.
    pub(super) fn parking() -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), len: AtomicUsize::new(0), spins: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len.load(Relaxed) == 0
    }

    /// Adds an execution; drops it where the queue is closed.
    pub(super) fn push(&self, ready: Ready) {
        let mut state = self.state.lock();
        if state.closed {
            // Dropping it runs code of the execution, which may come back here.
            drop(state);
            return drop(ready);
        }
        state.ready.push_back(ready);
        self.len.store(state.ready.len(), Relaxed);
        // The thread that looks out for work finds this by itself.
        let wake = state.parked > 0 && !state.spinning;
        drop(state);
        if wake {
            self.wake.notify_one();
        }
    }

    /// The next execution; waits for one, and gives `None` once the queue is closed.
    pub(super) fn pop(&self) -> Option<Ready> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(ready) = state.ready.pop_front() {
                self.len.store(state.ready.len(), Relaxed);
                // While this thread was looking out nobody was woken for what came after the first.
                let wake = !state.ready.is_empty() && state.parked > 0;
                drop(state);
                if wake {
                    self.wake.notify_one();
                }
                return Some(ready);
            }
            if self.spins && !state.spinning {
                state.spinning = true;
                drop(state);
                self.look_out();
                state = self.state.lock();
                state.spinning = false;
                if !state.ready.is_empty() || state.closed {
                    continue;
                }
            }
            state.parked += 1;
            self.wake.wait(&mut state);
            state.parked -= 1;
        }
    }

    /// Takes an execution out of the middle of the queue.
    pub(super) fn take(&self, mut wanted: impl FnMut(&Ready) -> bool) -> Option<Ready> {
        let mut state = self.state.lock();
        let index = state.ready.iter().position(&mut wanted)?;
        let taken = state.ready.remove(index);
        self.len.store(state.ready.len(), Relaxed);
        taken
    }

    /// Ends every wait and drops what is ready.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let ready = std::mem::take(&mut state.ready);
        self.len.store(0, Relaxed);
        drop(state);
        self.wake.notify_all();
        drop(ready);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    fn look_out(&self) {
        let start = Instant::now();
        while self.is_empty() && start.elapsed() < SPIN {
            for _ in 0..LOOKS {
                hint::spin_loop();
            }
        }
    }
}
