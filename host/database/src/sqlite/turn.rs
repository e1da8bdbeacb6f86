//! The call that a connection works for: what SQLite's hooks have to know of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::hooks::{AuthContext, Authorization};

use super::{
    guard::{Refusal, Scope},
    room::Room,
};

/// How often the disk is looked at while a statement writes.
const ROOM_CHECKED: Duration = Duration::from_millis(50);

/// So much earlier than the caller does a wait for another process's lock ends: its answer says more.
const HEAD_START: Duration = Duration::from_millis(50);

/// How long such a wait sleeps between two attempts.
const LOCK_POLL: Duration = Duration::from_millis(2);

/// Stops its statement when it is dropped: nobody waits for it any more.
#[derive(Default)]
pub(super) struct Canceller(Arc<AtomicBool>);

/// When a statement has to stop.
#[derive(Clone)]
pub(super) struct Stop {
    deadline: Instant,
    cancelled: Arc<AtomicBool>,
}

/// Between calls nothing stops, and everything is the host's own.
#[derive(Default)]
pub(super) struct Turn {
    stop: Option<Stop>,
    /// None: the host's own statement.
    scope: Option<Arc<Scope>>,
    /// Looked at where the statement writes.
    room: Option<Room>,
    room_checked: Option<Instant>,
    /// The first thing that was not admitted.
    refusal: Option<Refusal>,
    is_disk_full: bool,
}

impl Canceller {
    pub(super) fn stop(&self, deadline: Instant) -> Stop {
        Stop { deadline, cancelled: Arc::clone(&self.0) }
    }
}

impl Drop for Canceller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Stop {
    fn is_over(&self, ahead: Duration) -> bool {
        self.cancelled.load(Ordering::Relaxed)
            || self.deadline.saturating_duration_since(Instant::now()) <= ahead
    }
}

impl Turn {
    pub(super) fn begin(&mut self, stop: Stop) {
        *self = Self { stop: Some(stop), ..Self::default() };
    }

    /// From now on it is the caller's statement.
    pub(super) fn enter(&mut self, scope: Arc<Scope>, room: Option<Room>) {
        self.scope = Some(scope);
        self.room = room;
        self.room_checked = None;
    }

    /// From now on it is the host's own again.
    pub(super) fn leave(&mut self) {
        (self.scope, self.room) = (None, None);
    }

    /// For a statement of the host's own in between; [`Self::come_back`] takes what it gives.
    pub(super) fn step_aside(&mut self) -> (Option<Arc<Scope>>, Option<Room>) {
        (self.scope.take(), self.room.take())
    }

    pub(super) fn come_back(&mut self, (scope, room): (Option<Arc<Scope>>, Option<Room>)) {
        (self.scope, self.room) = (scope, room);
    }

    /// From now on nothing stops: what has to be done is done.
    pub(super) fn finish(&mut self) {
        self.leave();
        self.stop = None;
    }

    pub(super) fn take_refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// Whether the disk was the reason to stop.
    pub(super) fn is_disk_full(&self) -> bool {
        self.is_disk_full
    }

    /// SQLite asks for each thing that a statement touches.
    pub(super) fn authorize(&mut self, context: &AuthContext<'_>) -> Authorization {
        let Some(scope) = &self.scope else { return Authorization::Allow };
        match scope.judge(context) {
            Ok(()) => Authorization::Allow,
            Err(refusal) => {
                self.refusal.get_or_insert(refusal);
                Authorization::Deny
            }
        }
    }

    /// Whether the statement that runs has to stop. Asked every few microseconds.
    pub(super) fn is_over(&mut self) -> bool {
        let Some(stop) = &self.stop else { return false };
        if stop.is_over(Duration::ZERO) {
            return true;
        }
        if let Some(room) = &self.room
            && self.room_checked.is_none_or(|checked| checked.elapsed() >= ROOM_CHECKED)
        {
            self.is_disk_full = !room.is_left();
            self.room_checked = Some(Instant::now());
        }
        self.is_disk_full
    }

    /// Waits a little for a lock of another process; false where it is time to give up.
    pub(super) fn wait(&self) -> bool {
        let is_over = self.stop.as_ref().is_some_and(|stop| stop.is_over(HEAD_START));
        if !is_over {
            std::thread::sleep(LOCK_POLL);
        }
        !is_over
    }
}
