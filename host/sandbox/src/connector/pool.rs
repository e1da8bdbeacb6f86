//! Connections that wait for their next request.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

use super::connection::{Connection, Key};

/// How long a connection waits. Shorter than most servers', so that few are found closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Idle connections to one host and port. Protects the peer.
const MAX_IDLE_PER_KEY: usize = 32;
/// Idle connections in all. Protects file descriptors, and bounds the search.
const MAX_IDLE: usize = 128;

pub(super) struct Pool {
    idle: Mutex<Idle>,
    runtime: Handle,
}

#[derive(Default)]
struct Idle {
    /// Longest idle first. A search from the back over so few costs less than a map with its keys.
    waiting: VecDeque<Connection>,
    /// A sweeper is on its way.
    swept: bool,
}

impl Pool {
    pub(super) fn new(runtime: Handle) -> Arc<Self> {
        Arc::new(Self { idle: Mutex::default(), runtime })
    }

    /// The connection that was used last among those that go where this caller may go too. It may be closed by now.
    pub(super) fn take(&self, key: &Key, opens: impl Fn(IpAddr) -> bool) -> Option<Connection> {
        let mut idle = self.idle.lock();
        let found = idle
            .waiting
            .iter()
            .rposition(|connection| connection.key == *key && opens(connection.address))?;
        idle.waiting.remove(found)
    }

    /// Keeps a connection that is ready for another request, unless there are enough for its host.
    pub(super) fn put(self: &Arc<Self>, mut connection: Connection) {
        connection.idle_since = Instant::now();
        let mut idle = self.idle.lock();
        let alike = idle.waiting.iter().filter(|other| other.key == connection.key).count();
        if alike >= MAX_IDLE_PER_KEY {
            return;
        }
        let evicted = if idle.waiting.len() >= MAX_IDLE { idle.waiting.pop_front() } else { None };
        idle.waiting.push_back(connection);
        if !idle.swept {
            idle.swept = true;
            self.runtime.spawn(sweep(Arc::downgrade(self), Instant::now() + IDLE_TIMEOUT));
        }
        drop(idle);
        // A socket is closed outside the lock.
        drop(evicted);
    }

    /// Closes what has waited too long; says when to look again.
    pub(super) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut closed = Vec::new();
        let mut idle = self.idle.lock();
        let next = loop {
            match idle.waiting.front().map(|oldest| oldest.idle_since + IDLE_TIMEOUT) {
                Some(end) if end <= now => closed.extend(idle.waiting.pop_front()),
                next => break next,
            }
        };
        idle.swept = next.is_some();
        drop(idle);
        drop(closed);
        next
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.idle.lock().waiting.len()
    }
}

/// Lives as long as something is idle.
async fn sweep(pool: Weak<Pool>, mut next: Instant) {
    loop {
        sleep_until(next).await;
        let Some(pool) = pool.upgrade() else { return };
        match pool.expire(Instant::now()) {
            Some(later) => next = later,
            None => return,
        }
    }
}
