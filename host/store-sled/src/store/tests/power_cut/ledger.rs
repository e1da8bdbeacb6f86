//! What the writers were told, and whether a store knows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use stepcell_core::Digest;
use stepcell_store::{Append, Hold, Query, RunStatus, Store, suite};

use super::super::whole;
use crate::SledStore;

/// More runs than there ever are.
const ALL: usize = 1_000_000;

pub(super) type SharedLedger = Arc<Mutex<Ledger>>;

/// What was acknowledged.
#[derive(Debug, Default, Clone)]
pub(super) struct Ledger {
    /// The last event of each run.
    pub(super) at: BTreeMap<u64, u64>,
    /// Runs that somebody has begun to remove.
    pub(super) going: BTreeSet<u64>,
    pub(super) gone: BTreeSet<u64>,
    /// Blobs that were sent for long, by the number that makes them.
    pub(super) sent: BTreeSet<u64>,
}

/// Event `seq` of run `n`, with its blobs. The last one ends the run.
pub(super) fn nth(n: u64, seq: u64, is_last: bool) -> Append {
    let mut append = suite::append(suite::run(n), seq - 1, 1);
    append.events = vec![suite::event(seq, &text(n, seq))];
    append.blobs = blobs(n, seq).iter().map(suite::bringing).collect();
    if is_last {
        append.summary.status = RunStatus::Succeeded;
    }
    append
}

/// Every size that the store treats in its own way: one row, some, many, a file.
fn text(n: u64, seq: u64) -> String {
    let size = match (n * 31 + seq * 17) % 40 {
        0 => 70_000,
        1..3 => 30_000,
        3..10 => 6_000,
        10..20 => 1_500,
        _ => 100,
    };
    format!("{n} {seq} {}", "x".repeat(size))
}

/// Of its own, and shared with others; small and large.
fn blobs(n: u64, seq: u64) -> Vec<Bytes> {
    match (n * 7 + seq * 3) % 23 {
        0 => vec![blob(n % 4, 100_000)],
        1 | 2 => vec![blob(n, 2_000), blob(n % 3, 300)],
        3 => vec![blob(n, 90_000)],
        _ => Vec::new(),
    }
}

fn blob(number: u64, size: usize) -> Bytes {
    Bytes::from(format!("{number} {}", "b".repeat(size)))
}

/// What is sent without a run.
pub(super) fn sent(number: u64) -> Bytes {
    blob(1_000_000 + number, if number.is_multiple_of(3) { 80_000 } else { 500 })
}

impl Ledger {
    /// Checks that nothing acknowledged is missing, and that all that is there is right.
    pub(super) async fn check(&self, store: &SledStore) {
        for (n, seq) in &self.at {
            let found = store.summary(suite::run(*n)).await.unwrap().map(|summary| summary.seq);
            if self.gone.contains(n) {
                assert_eq!(found, None, "run {n} is back");
            } else if !self.going.contains(n) {
                assert!(found >= Some(*seq), "run {n} was at event {seq}, it is at {found:?}");
            }
        }
        for (id, summary) in store.list(Query { limit: ALL, ..Query::default() }).await.unwrap() {
            let n = u64::from_be_bytes(id.as_bytes()[..8].try_into().unwrap());
            let events = store.events(id, 0, usize::MAX).await.unwrap();
            let expected: Vec<_> = (1..=summary.seq).map(|seq| suite::event(seq, &text(n, seq))).collect();
            assert!(events == expected, "run {n} has other events");
            for blob in (1..=summary.seq).flat_map(|seq| blobs(n, seq)) {
                assert_eq!(store.blob(Digest::of(&blob)).await.unwrap(), Some(blob), "of run {n}");
            }
        }
        for number in &self.sent {
            let bytes = sent(*number);
            assert_eq!(store.blob(Digest::of(&bytes)).await.unwrap(), Some(bytes), "blob {number}");
        }
        store.sweep(suite::at(0)).await.unwrap();
        whole::check(store);
    }

    /// Writes, as the host would.
    pub(super) async fn go_on(&mut self, store: &SledStore) {
        let run = self.at.keys().next_back().map_or(1, |n| n + 1_000_000);
        for seq in 1..=20 {
            store.append(nth(run, seq, false)).await.unwrap();
        }
        self.at.insert(run, 20);
        store.put_blob(sent(run), Hold::Until(Timestamp::MAX)).await.unwrap();
        self.sent.insert(run);
    }
}
