//! The suite, and what only a store on a disk has to do.

use std::{fs, path::Path, sync::Arc};

use jiff::Timestamp;
use stepcell_store::{
    Hold, Query, RunStatus, TimerChange,
    suite::{self, Fixture, append, at, first, first_as, noise, run, step, with_timers},
};
use tempfile::TempDir;

use super::*;

mod alike;
mod cut_opening;
mod damage;
mod device;
mod flips;
mod gate;
mod holds;
mod kill;
mod large;
mod power_cut;
mod signals;
mod whole;

const FOR_LONG: Hold = Hold::Until(Timestamp::MAX);

async fn fresh() -> Fixture {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    Fixture::keeping(Arc::new(store), folder)
}

stepcell_store::compliance!(fresh);

fn open(folder: &TempDir) -> SledStore {
    SledStore::open(&DataDir::open(folder.path()).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_there_after_reopening() {
    let folder = TempDir::new().unwrap();
    let (small, large) = (Bytes::from_static(b"small"), Bytes::from(vec![7; 1 << 20]));
    let set = TimerChange::Set { step: Some(step("a")), due: at(5) };
    {
        let store = open(&folder);
        store.append(append(run(1), 0, 10)).await.unwrap();
        store.append(first_as(run(2), RunStatus::Waiting, "g")).await.unwrap();
        store.append(with_timers(run(2), 1, vec![set])).await.unwrap();
        store.put_blob(small.clone(), FOR_LONG).await.unwrap();
        store.put_blob(large.clone(), FOR_LONG).await.unwrap();
    }
    let store = open(&folder);
    assert_eq!(store.events(run(1), 0, 100).await.unwrap(), append(run(1), 0, 10).events);
    assert_eq!(store.summary(run(1)).await.unwrap(), Some(suite::summary(10)));
    let all = Query { limit: 10, ..Query::default() };
    assert_eq!(store.list(all).await.unwrap().len(), 2);
    assert_eq!(store.next_timer().await.unwrap(), Some(at(5)));
    for bytes in [small, large] {
        assert_eq!(store.blob(Digest::of(&bytes)).await.unwrap(), Some(bytes));
    }
    store.append(append(run(1), 10, 1)).await.unwrap();
    assert!(matches!(store.append(first(run(1))).await, Err(Error::Conflict { found: 11, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waited_for_is_written_before_the_store_closes() {
    let folder = TempDir::new().unwrap();
    {
        let store = open(&folder);
        for seq in 0..500 {
            drop(store.append(append(run(1), seq, 1)));
        }
    }
    let store = open(&folder);
    assert_eq!(store.summary(run(1)).await.unwrap(), Some(suite::summary(500)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sync_serves_all_that_wait() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let before = store.syncs();
    let queued: Vec<_> = (0..1000).map(|seq| store.append(append(run(1), seq, 1))).collect();
    for done in queued {
        done.await.unwrap();
    }
    let syncs = store.syncs() - before;
    assert!((1..=500).contains(&syncs), "{syncs} syncs for 1000 appends");
}

/// sled writes a page that has become too large into a file of its own, which is never synced.
#[tokio::test(flavor = "multi_thread")]
async fn sled_keeps_no_page_outside_of_its_log() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let mut queued = Vec::new();
    for seq in 0..200 {
        let mut large = append(run(1 + seq % 3), seq / 3, 1);
        large.events[0] = suite::event(seq / 3 + 1, &noise(60_000, seq));
        queued.push(store.append(large));
        let name = format!("{seq}{}", "\0".repeat(500));
        queued.push(store.append(first_as(run(1000 + seq), RunStatus::Running, &name)));
    }
    for done in queued {
        done.await.unwrap();
    }
    let outside: Vec<_> = fs::read_dir(folder.path().join("store/blobs")).unwrap().collect();
    assert!(outside.is_empty(), "{outside:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_files_are_removed_at_the_next_start() {
    let folder = TempDir::new().unwrap();
    drop(open(&folder));
    let unfinished = folder.path().join("blobs/.half.0");
    fs::write(&unfinished, b"half").unwrap();
    drop(open(&folder));
    assert!(!unfinished.exists());
}

/// A new flow comes with its run, and the next run of it only names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_its_flow_costs_one_sync() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let flow = Bytes::from(vec![b'f'; 10_000]);
    for n in 1..=3 {
        let before = store.syncs();
        store.append(suite::ended(run(n), vec![suite::bringing(&flow)])).await.unwrap();
        assert_eq!(store.syncs() - before, 1, "run {n}");
    }
}

/// Many flows that nobody has seen yet, each too large to share a batch with many others.
#[tokio::test(flavor = "multi_thread")]
async fn new_flows_do_not_make_a_batch_too_large() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let flows: Vec<_> = (0..64).map(|n| Bytes::from(vec![n; 60_000])).collect();
    let before = store.syncs();
    let appends = flows
        .iter()
        .zip(1..)
        .map(|(flow, n)| store.append(suite::ended(run(n), vec![suite::bringing(flow)])));
    for done in appends.collect::<Vec<_>>() {
        done.await.unwrap();
    }
    // Four of them fill a batch.
    assert!(store.syncs() - before >= 16, "{} syncs", store.syncs() - before);
}

#[test]
fn a_data_folder_has_one_store() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    assert!(matches!(DataDir::open(folder.path()), Err(Error::InUse)));
    drop(store);
    drop(open(&folder));
}

/// The earliest timer, of which there is one.
async fn only_timer(store: &SledStore) -> Timer {
    let timers = store.due_timers(Timestamp::MAX, 10).await.unwrap();
    assert_eq!(timers.len(), 1, "{timers:?}");
    timers[0].clone()
}
