//! A queue of executions that are ready to run, and the threads that wait for them.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use async_task::Runnable;
use parking_lot::{Condvar, Mutex};

use super::Turn;

type Ready = Runnable<Arc<Turn>>;

/// Idle threads sleep at once. Looking out for work for a moment first was tried and made short steps five
/// times slower on two cores: the looking thread kept the very core that the thread it waited for was woken on.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    /// `state.ready.len()`, for looking without the lock.
    len: AtomicUsize,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Ready>,
    asleep: usize,
    closed: bool,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.len.load(Relaxed) == 0
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    #[cfg(test)]
    pub(super) fn asleep(&self) -> usize {
        self.state.lock().asleep
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
        let wake = state.asleep > 0;
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
                return Some(ready);
            }
            state.asleep += 1;
            self.wake.wait(&mut state);
            state.asleep -= 1;
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
        let ready = mem::take(&mut state.ready);
        self.len.store(0, Relaxed);
        drop(state);
        self.wake.notify_all();
        drop(ready);
    }
}
