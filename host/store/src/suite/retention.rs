//! What has ended, by when; and removing many runs.

use bytes::Bytes;
use jiff::Timestamp;
use stepcell_core::{Digest, RunId};

use crate::{
    Append, Query, RunStatus, RunSummary, SharedStore,
    suite::{append, at, bringing, ended, first, first_as, run, summary},
};

pub async fn finished_runs_come_by_when_they_ended(store: &SharedStore) {
    for (n, seconds) in [(1, 30), (2, 10), (3, 20), (4, -2_000_000_000), (5, 20)] {
        store.append(ended_at(n, seconds)).await.unwrap();
    }
    store.append(first(run(6))).await.unwrap();
    let all = [(4, -2_000_000_000), (2, 10), (3, 20), (5, 20), (1, 30)];
    for limit in 0..7 {
        check(store, Timestamp::MAX, limit, &all[..limit.min(5)]).await;
        check(store, at(20), limit, &all[..limit.min(2)]).await;
    }
    check(store, Timestamp::MIN, 10, &[]).await;
    store.remove_run(run(2)).await.unwrap();
    check(store, at(25), 10, &[(4, -2_000_000_000), (3, 20), (5, 20)]).await;
}

pub async fn a_run_that_says_not_when_it_ended_is_as_old_as_it_is(store: &SharedStore) {
    let mut append = ended(run(1), vec![]);
    append.summary.created_at = at(7);
    store.append(append).await.unwrap();
    check(store, Timestamp::MAX, 10, &[(1, 7)]).await;
}

pub async fn finished_runs_are_counted(store: &SharedStore) {
    check_count(store, 0).await;
    for (n, status) in (1..).zip([RunStatus::Queued, RunStatus::Running, RunStatus::Waiting]) {
        store.append(first_as(run(n), status, "f")).await.unwrap();
    }
    check_count(store, 0).await;
    for (n, status) in (4..).zip([RunStatus::Succeeded, RunStatus::Failed, RunStatus::Cancelled]) {
        store.append(first_as(run(n), status, "f")).await.unwrap();
    }
    check_count(store, 3).await;
    let last = RunSummary { status: RunStatus::Failed, finished_at: Some(at(5)), ..summary(2) };
    store.append(Append { summary: last, ..append(run(1), 1, 1) }).await.unwrap();
    check_count(store, 4).await;
    assert!(store.append(ended(run(1), vec![])).await.is_err());
    check_count(store, 4).await;
    for (n, left) in [(4, 3), (4, 3), (1, 2)] {
        let _ = store.remove_run(run(n)).await.unwrap();
        check_count(store, left).await;
    }
    assert!(store.remove_run(run(2)).await.is_err());
    check_count(store, 2).await;
}

pub async fn many_runs_are_removed_together(store: &SharedStore) {
    const RUNS: u64 = 1_000;
    let shared = Bytes::from_static(b"the flow of all of them");
    let queued: Vec<_> = (1..=RUNS)
        .map(|n| {
            let own = Bytes::from(n.to_be_bytes().to_vec());
            store.append(Append { blobs: vec![bringing(&shared), bringing(&own)], ..ended_at(n, 1) })
        })
        .collect();
    for done in queued {
        done.await.unwrap();
    }
    store.append(first(run(RUNS + 1))).await.unwrap();
    let syncs = store.syncs();
    // With one that goes on, one that never was, and one twice.
    let runs: Vec<RunId> = (1..=RUNS).chain([RUNS + 1, RUNS + 2, 1]).map(run).collect();
    assert_eq!(store.remove_runs(runs).await.unwrap(), RUNS);
    assert!(store.syncs() - syncs <= 30, "{} syncs for {RUNS} removals", store.syncs() - syncs);
    let left = store.list(Query { limit: 10, ..Query::default() }).await.unwrap();
    assert_eq!(left, [(run(RUNS + 1), summary(1))]);
    check_count(store, 0).await;
    check(store, Timestamp::MAX, 10, &[]).await;
    assert!(!store.has_blob(Digest::of(&shared)).await.unwrap());
    for n in [1, RUNS / 2, RUNS] {
        assert!(store.events(run(n), 0, 10).await.unwrap().is_empty());
        assert!(!store.has_blob(Digest::of(&n.to_be_bytes())).await.unwrap());
    }
    let syncs = store.syncs();
    store.sweep(at(0)).await.unwrap();
    assert_eq!(store.syncs(), syncs, "there is nothing left to clear away");
}

/// The only event of a run that has ended then.
pub fn ended_at(n: u64, seconds: i64) -> Append {
    let mut append = ended(run(n), vec![]);
    append.summary.finished_at = Some(at(seconds));
    append
}

async fn check(store: &SharedStore, before: Timestamp, limit: usize, expected: &[(u64, i64)]) {
    let found = store.oldest_finished(before, limit).await.unwrap();
    assert_eq!(found, expected.iter().map(|(n, seconds)| (at(*seconds), run(*n))).collect::<Vec<_>>());
}

async fn check_count(store: &SharedStore, expected: u64) {
    assert_eq!(store.finished_count().await.unwrap(), expected);
}
