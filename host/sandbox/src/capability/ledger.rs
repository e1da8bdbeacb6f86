//! What one execution has used of the world, and what it was refused.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;
use stepcell_core::event::CapabilityDenied;
use stepcell_engine::meter::{Exhausted, Meter, Resource};

use super::Shares;

/// Different refusals that one execution can put into its run's log. Protects the log.
pub(crate) const MAX_DENIED: usize = 32;

/// For the step's receipt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) requests: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) rows: u64,
}

/// There were too many requests, or the run's budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Spent {
    #[error("it would be one request more than the {0} that `limits.requests` allows")]
    Requests(u64),
    #[error("the run's budget of {} for {} is used up", .0.budget, .0.resource)]
    Budget(Exhausted),
}

/// Shared by a cell and the requests that are under way while it goes on: each counts before it sends.
#[derive(Debug)]
pub(crate) struct Ledger {
    requests_max: u64,
    meter: Arc<Meter>,
    requests: AtomicU64,
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    rows: AtomicU64,
    /// Each refusal once.
    denied: Mutex<Vec<CapabilityDenied>>,
    /// Whom the execution waits for now, or waited for when it was stopped.
    peers: Mutex<Vec<String>>,
    shares: Shares,
}

impl Ledger {
    /// `requests_max` is of the execution, `meter` of its run.
    pub(crate) fn new(requests_max: u64, meter: Arc<Meter>) -> Self {
        Self {
            requests_max,
            meter,
            requests: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            denied: Mutex::default(),
            peers: Mutex::default(),
            shares: Shares::default(),
        }
    }

    /// Counts a request that is about to be made, with the bytes of its body.
    pub(crate) fn count_request(&self, sent: u64) -> Result<(), Spent> {
        if self.requests.fetch_add(1, Relaxed) >= self.requests_max {
            self.requests.fetch_sub(1, Relaxed);
            return Err(Spent::Requests(self.requests_max));
        }
        let taken = self.take(Resource::Requests, 1).and_then(|()| self.take(Resource::Bytes, sent));
        match taken {
            Ok(()) => _ = self.sent_bytes.fetch_add(sent, Relaxed),
            Err(_) => _ = self.requests.fetch_sub(1, Relaxed),
        }
        taken
    }

    pub(crate) fn count_received(&self, bytes: u64) -> Result<(), Spent> {
        self.received_bytes.fetch_add(bytes, Relaxed);
        self.take(Resource::Bytes, bytes)
    }

    pub(crate) fn count_rows(&self, rows: u64) -> Result<(), Spent> {
        self.rows.fetch_add(rows, Relaxed);
        self.take(Resource::Rows, rows)
    }

    /// Waits for what a peer does, so that the end of an execution that waited too long can name it. Work that is
    /// dropped halfway counts as waited for.
    pub(crate) async fn wait_for<T>(&self, peer: &str, work: impl Future<Output = T>) -> T {
        self.peers.lock().push(peer.to_owned());
        let done = work.await;
        let mut peers = self.peers.lock();
        if let Some(at) = peers.iter().position(|waiting| waiting == peer) {
            peers.swap_remove(at);
        }
        done
    }

    /// One of those whom the execution waits for.
    pub(crate) fn waits_for(&self) -> Option<String> {
        self.peers.lock().last().cloned()
    }

    /// What it holds of the host's room.
    pub(crate) fn shares(&self) -> &Shares {
        &self.shares
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            requests: self.requests.load(Relaxed),
            sent_bytes: self.sent_bytes.load(Relaxed),
            received_bytes: self.received_bytes.load(Relaxed),
            rows: self.rows.load(Relaxed),
        }
    }

    /// Keeps a refusal for the run's log, with the lines that would allow it.
    pub(crate) fn deny(&self, event: CapabilityDenied) {
        let mut denied = self.denied.lock();
        if denied.len() < MAX_DENIED && !denied.contains(&event) {
            denied.push(event);
        }
    }

    pub(crate) fn take_denied(&self) -> Vec<CapabilityDenied> {
        std::mem::take(&mut self.denied.lock())
    }

    fn take(&self, resource: Resource, amount: u64) -> Result<(), Spent> {
        self.meter.take(resource, amount).map_err(Spent::Budget)
    }
}

#[cfg(test)]
mod tests {
    use stepcell_core::{Budget, event::Receipt};

    use super::*;

    fn ledger(requests_max: u64, budget: Budget) -> Ledger {
        Ledger::new(requests_max, Arc::new(Meter::new(budget, &Receipt::default())))
    }

    #[test]
    fn a_request_too_many_is_not_counted() {
        let ledger = ledger(1, Budget::default());
        assert_eq!(ledger.count_request(0), Ok(()));
        assert_eq!(ledger.count_request(0), Err(Spent::Requests(1)));
        assert_eq!(ledger.usage().requests, 1);
    }

    #[test]
    fn the_runs_budget_ends_it_too() {
        let ledger = ledger(9, Budget { requests: Some(1), bytes: Some(10), ..Budget::default() });
        assert_eq!(ledger.count_request(6), Ok(()));
        let spent = ledger.count_request(0).unwrap_err();
        assert_eq!(spent.to_string(), "the run's budget of 1 for requests is used up");
        let spent = ledger.count_received(6).unwrap_err();
        assert_eq!(spent.to_string(), "the run's budget of 10 for bytes is used up");
        let expected = Usage { requests: 1, sent_bytes: 6, received_bytes: 6, rows: 0 };
        assert_eq!(ledger.usage(), expected);
    }
}
