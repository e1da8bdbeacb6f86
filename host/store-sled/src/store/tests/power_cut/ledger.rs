//! What the writers were told, and whether a store knows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use stepcell_core::{Digest, RunId};
use stepcell_store::{
    Append, Claim, Hold, KeptEvent, Query, RunStatus, RunSummary, Store, Taken, TimerChange, WaitChange,
    suite::{self, append, at, event, noise, run, step},
};

use super::super::whole;
use crate::SledStore;

/// More runs than there ever are.
const ALL: usize = 1_000_000;
/// The writers' runs have smaller numbers.
const AFTERWARDS: u64 = 1 << 40;

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
    /// Events that are kept, and whether the run of this number has taken its own.
    pub(super) kept: BTreeMap<u64, bool>,
}

/// What runs wait for, and what they are sent.
pub(super) const SIGNAL: &str = "signal";
/// What many steps of a run wait for, and how many.
const CROWDED: &str = "crowded";
const CROWD: usize = 3_000;

/// Event `seq` of run `n`, with all that may come with it. The last one ends the run.
pub(super) fn nth(n: u64, seq: u64, is_last: bool) -> Append {
    let waits = !is_last && waits_at(seq);
    let crowd = || (0..CROWD).map(|item| step("c").item(item, None));
    let mut append = append(run(n), seq - 1, 1);
    append.events = vec![event(seq, &text(n, seq))];
    append.blobs = blobs(n, seq).iter().map(suite::bringing).collect();
    append.claim = (seq == 1 && claims(n)).then(|| Claim { key: key(n), body: digest(n) });
    if waits_at(seq - 1) {
        append.timers.push(TimerChange::Clear { step: Some(step("a")), due: due(n, seq - 1) });
        append.waits.push(suite::waits::clear(SIGNAL, "a"));
    }
    if is_crowded(n, seq - 1) {
        append.waits.extend(crowd().map(|step| WaitChange::Clear { name: CROWDED.to_owned(), step }));
    }
    if waits {
        append.timers.push(TimerChange::Set { step: Some(step("a")), due: due(n, seq) });
        append.waits.push(suite::waits::set(SIGNAL, "a", None));
    }
    if !is_last && is_crowded(n, seq) {
        let set = |step| WaitChange::Set { name: CROWDED.to_owned(), step, matching: None };
        append.waits.extend(crowd().map(set));
    }
    if is_last {
        append.summary.status = RunStatus::Succeeded;
        append.summary.finished_at = Some(at(0));
    }
    append
}

/// Whether a run that has come so far and no further waits.
fn waits_at(seq: u64) -> bool {
    seq % 4 == 1
}

/// Whether many steps of the run wait then, and are done with it together: more than a batch takes.
fn is_crowded(n: u64, seq: u64) -> bool {
    n.is_multiple_of(10) && seq == 1
}

fn due(n: u64, seq: u64) -> Timestamp {
    at(i64::try_from(n % 1_000_000 * 100 + seq).unwrap())
}

fn claims(n: u64) -> bool {
    n.is_multiple_of(3)
}

fn key(n: u64) -> String {
    format!("key {n}")
}

fn digest(n: u64) -> Digest {
    Digest::of(key(n).as_bytes())
}

/// An event for run `n`.
pub(super) fn kept(n: u64) -> KeptEvent {
    KeptEvent { until: Timestamp::MAX, ..suite::events::kept(SIGNAL, &n.to_string(), 0, 0) }
}

/// What packing makes no shorter.
static NOISE: LazyLock<String> = LazyLock::new(|| noise(80_000, 1));

/// Every size that the store treats in its own way: one row, some, many, a file. Of some runs all events are large.
fn text(n: u64, seq: u64) -> String {
    let noise = |size: usize| NOISE.get(n as usize % 1_000 + seq as usize..).unwrap().get(..size).unwrap();
    let size = match (n * 31 + seq * 17) % 40 {
        _ if n.is_multiple_of(11) && seq < 12 => return format!("{n} {seq} {}", noise(20_000)),
        0 => return format!("{n} {seq} {}", noise(70_000)),
        1 => return format!("{n} {seq} {}", noise(30_000)),
        2 => 100_000,
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
        let runs = store.list(Query { limit: ALL, ..Query::default() }).await.unwrap();
        let runs: BTreeMap<u64, RunSummary> =
            runs.into_iter().map(|(id, summary)| (number(id), summary)).collect();
        for (n, seq) in &self.at {
            let found = runs.get(n).map(|summary| summary.seq);
            if self.gone.contains(n) {
                assert_eq!(found, None, "run {n} is back");
            } else if !self.going.contains(n) {
                assert!(found >= Some(*seq), "run {n} was at event {seq}, it is at {found:?}");
            }
        }
        for (n, summary) in &runs {
            let events = store.events(run(*n), 0, usize::MAX).await.unwrap();
            let expected: Vec<_> = (1..=summary.seq).map(|seq| event(seq, &text(*n, seq))).collect();
            assert!(events == expected, "run {n} has other events");
            for blob in (1..=summary.seq).flat_map(|seq| blobs(*n, seq)) {
                assert_eq!(store.blob(Digest::of(&blob)).await.unwrap(), Some(blob), "of run {n}");
            }
            let claim = claims(*n).then(|| (run(*n), digest(*n)));
            assert_eq!(store.claimed(&key(*n)).await.unwrap(), claim, "of run {n}");
        }
        for number in &self.sent {
            let bytes = sent(*number);
            assert_eq!(store.blob(Digest::of(&bytes)).await.unwrap(), Some(bytes), "blob {number}");
        }
        self.check_waits(store, &runs).await;
        store.sweep(at(0)).await.unwrap();
        whole::check(store);
    }

    async fn check_waits(&self, store: &SledStore, runs: &BTreeMap<u64, RunSummary>) {
        let waits = |(_, summary): &(&u64, &RunSummary)| !summary.status.is_final() && waits_at(summary.seq);
        let expected: BTreeMap<u64, Timestamp> =
            runs.iter().filter(waits).map(|(n, summary)| (*n, due(*n, summary.seq))).collect();
        let waiting = store.waits(SIGNAL, None, ALL).await.unwrap();
        assert!(waiting.iter().map(|waiter| number(waiter.run)).eq(expected.keys().copied()), "{waiting:?}");
        let mut crowds = BTreeMap::new();
        for waiter in store.waits(CROWDED, None, ALL).await.unwrap() {
            *crowds.entry(number(waiter.run)).or_insert(0) += 1;
        }
        let crowded = expected.keys().filter(|n| is_crowded(**n, runs[*n].seq));
        assert_eq!(crowds, crowded.map(|n| (*n, CROWD)).collect());
        let timers = store.due_timers(Timestamp::MAX, ALL).await.unwrap();
        let timers: BTreeMap<u64, Timestamp> =
            timers.into_iter().map(|timer| (number(timer.run), timer.due)).collect();
        assert_eq!(timers, expected);
        let events = store.kept_events(SIGNAL, suite::events::anybody(), None, ALL).await.unwrap();
        let taken: BTreeMap<u64, Taken> =
            events.into_iter().map(|event| (event.id.parse().unwrap(), event.taken)).collect();
        for (n, was_taken) in &self.kept {
            let found = taken.get(n);
            assert!(found.is_some(), "the event for run {n} is gone");
            assert!(
                !was_taken || found == Some(&Taken::Run(run(*n))),
                "run {n} has taken it, it is {found:?}"
            );
        }
    }

    /// Writes, as the host would.
    pub(super) async fn go_on(&mut self, store: &SledStore) {
        let n = self.at.keys().next_back().map_or(0, |n| *n).max(AFTERWARDS) + 1;
        for seq in 1..=20 {
            store.append(nth(n, seq, false)).await.unwrap();
        }
        self.at.insert(n, 20);
        store.put_blob(sent(n), Hold::Until(Timestamp::MAX)).await.unwrap();
        self.sent.insert(n);
    }
}

fn number(run: RunId) -> u64 {
    u64::from_be_bytes(run.as_bytes()[..8].try_into().unwrap())
}
