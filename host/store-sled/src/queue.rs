//! Writes that wait for the committer.

use parking_lot::{Condvar, Mutex};
use stepcell_store::Error;

use crate::write::Write;

/// Writes that may wait. With [`WAITING_BYTES_MAX`], bounds what a disk that is too slow makes the host hold.
const WAITING_MAX: usize = 65_536;
/// Bytes that may wait.
const WAITING_BYTES_MAX: usize = 256 << 20;

#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    writes: Vec<Write>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    /// Adds a write behind all others. Never waits.
    pub(crate) fn push(&self, write: Write) -> Result<(), Error> {
        let mut state = self.state.lock();
        let bytes = state.bytes + write.memory_bytes();
        // A single write of any size gets through.
        if state.writes.len() >= WAITING_MAX || (bytes > WAITING_BYTES_MAX && !state.writes.is_empty()) {
            return Err(Error::Busy { waiting: state.writes.len() });
        }
        state.bytes = bytes;
        state.writes.push(write);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for writes and takes all that there are; `None` when the queue is closed and empty.
    pub(crate) fn take(&self) -> Option<Vec<Write>> {
        let mut state = self.state.lock();
        while state.writes.is_empty() {
            if state.closed {
                return None;
            }
            self.changed.wait(&mut state);
        }
        state.bytes = 0;
        // The next batch is about as large as this one.
        let room = state.writes.len();
        Some(std::mem::replace(&mut state.writes, Vec::with_capacity(room)))
    }

    /// Lets the committer end when it has done what waits.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }
}
