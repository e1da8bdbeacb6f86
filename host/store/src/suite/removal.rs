//! Removing runs, and what they held.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::{
    Append, Error, Hold, Query, RunStatus, RunSummary, SharedStore, TimerChange,
    suite::{
        append, at,
        blobs::{SIZES, bytes, check_there, put},
        bringing, ended, event, first, first_as, naming, noise, run, step, summary, with_timers,
    },
};

pub async fn nothing_of_a_removed_run_is_left(store: &SharedStore) {
    store.append(append(run(1), 0, 3)).await.unwrap();
    let last = RunSummary { status: RunStatus::Failed, ..summary(5) };
    store.append(Append { summary: last, ..append(run(1), 3, 2) }).await.unwrap();
    // Its neighbours.
    store.append(ended(run(0), vec![])).await.unwrap();
    store.append(ended(run(2), vec![])).await.unwrap();
    assert!(store.remove_run(run(1)).await.unwrap());
    check_gone(store, 1).await;
    for n in [0, 2] {
        assert_eq!(store.events(run(n), 0, 10).await.unwrap(), first(run(n)).events);
        assert!(store.summary(run(n)).await.unwrap().is_some());
    }
    assert!(!store.remove_run(run(1)).await.unwrap(), "it was removed before");
    let late = store.append(append(run(1), 5, 1)).await;
    assert!(matches!(late, Err(Error::Conflict { found: 0, .. })), "{late:?}");
}

pub async fn only_a_run_that_has_ended_is_removed(store: &SharedStore) {
    for (n, open) in (1..).zip([RunStatus::Queued, RunStatus::Running, RunStatus::Waiting]) {
        store.append(first_as(run(n), open, "f")).await.unwrap();
        match store.remove_run(run(n)).await {
            Err(Error::Unfinished { run: id, status }) => assert_eq!((id, status), (run(n), open)),
            other => panic!("{other:?}"),
        }
        assert_eq!(store.events(run(n), 0, 10).await.unwrap().len(), 1);
    }
    for (n, over) in (4..).zip([RunStatus::Succeeded, RunStatus::Failed, RunStatus::Cancelled]) {
        store.append(first_as(run(n), over, "f")).await.unwrap();
        assert!(store.remove_run(run(n)).await.unwrap());
    }
    assert!(!store.remove_run(run(9)).await.unwrap());
}

pub async fn a_removed_run_is_in_no_listing(store: &SharedStore) {
    for n in 1..=5 {
        store.append(ended(run(n), vec![])).await.unwrap();
    }
    for n in [5, 3] {
        store.remove_run(run(n)).await.unwrap();
    }
    let of_flow = Query { flow: Some("f".to_owned()), ..Query::default() };
    let of_status = Query { status: Some(RunStatus::Succeeded), ..Query::default() };
    let of_both = Query { status: of_status.status, ..of_flow.clone() };
    for query in [Query::default(), of_flow, of_status, of_both] {
        for limit in 1..=4 {
            let listed = store.list(Query { limit, ..query.clone() }).await.unwrap();
            let expected = [run(4), run(2), run(1)];
            let found: Vec<_> = listed.into_iter().map(|(id, _)| id).collect();
            assert_eq!(found, expected[..limit.min(3)], "{query:?}");
        }
    }
}

pub async fn large_events_go_with_their_run(store: &SharedStore) {
    for n in [1, 2] {
        let mut large = ended(run(n), vec![]);
        large.events[0] = event(1, &noise(300_000, n));
        store.append(large.clone()).await.unwrap();
        assert!(store.events(run(n), 0, 1).await.unwrap() == large.events);
    }
    store.remove_run(run(1)).await.unwrap();
    check_gone(store, 1).await;
    assert_eq!(store.events(run(2), 0, 10).await.unwrap().len(), 1);
}

pub async fn a_long_run_goes_whole(store: &SharedStore) {
    let mut blobs = Vec::new();
    for n in 0..100 {
        blobs.push(put(store, bytes(100 + n, 1), Hold::Run(run(1))).await);
    }
    let queued: Vec<_> = (0..3_000).map(|seq| store.append(append(run(1), seq, 1))).collect();
    for done in queued {
        done.await.unwrap();
    }
    let last = RunSummary { status: RunStatus::Succeeded, ..summary(3_001) };
    store.append(Append { summary: last, ..append(run(1), 3_000, 1) }).await.unwrap();
    assert!(store.remove_run(run(1)).await.unwrap());
    check_gone(store, 1).await;
    for blob in blobs {
        check_there(store, &blob, false).await;
    }
}

pub async fn a_blob_goes_with_the_last_run_that_holds_it(store: &SharedStore) {
    for (seed, size) in SIZES.into_iter().enumerate() {
        let id = |n| run(10 * (seed as u64 + 1) + n);
        let blob = bytes(size, seed);
        for n in 1..=3 {
            // Twice by the same run is once.
            store.append(ended(id(n), vec![bringing(&blob), bringing(&blob)])).await.unwrap();
            put(store, blob.clone(), Hold::Run(id(n))).await;
        }
        for n in [2, 1] {
            store.remove_run(id(n)).await.unwrap();
            check_there(store, &blob, true).await;
        }
        store.remove_run(id(3)).await.unwrap();
        check_there(store, &blob, false).await;
        store.append(ended(id(4), vec![bringing(&blob)])).await.unwrap();
        check_there(store, &blob, true).await;
    }
}

pub async fn a_blob_of_a_run_outlives_its_time(store: &SharedStore) {
    for (n, size) in (1..).zip(SIZES) {
        let blob = put(store, bytes(size, 1), Hold::Until(at(10))).await;
        store.append(ended(run(n), vec![naming(&blob)])).await.unwrap();
        store.sweep(at(20)).await.unwrap();
        check_there(store, &blob, true).await;
        // And an upload outlives the run.
        put(store, blob.clone(), Hold::Until(at(30))).await;
        store.remove_run(run(n)).await.unwrap();
        check_there(store, &blob, true).await;
        store.sweep(at(30)).await.unwrap();
        check_there(store, &blob, false).await;
    }
}

pub async fn what_a_run_puts_before_its_first_event_is_its_own(store: &SharedStore) {
    let blob = put(store, bytes(100, 1), Hold::Run(run(1))).await;
    store.sweep(at(1_000_000)).await.unwrap();
    store.append(ended(run(1), vec![])).await.unwrap();
    store.sweep(at(2_000_000)).await.unwrap();
    check_there(store, &blob, true).await;
    assert_eq!(store.events(run(1), 0, 10).await.unwrap().len(), 1);
    store.remove_run(run(1)).await.unwrap();
    check_there(store, &blob, false).await;
}

pub async fn timers_that_a_removed_run_left_go_when_they_are_due(store: &SharedStore) {
    let set = |seconds| vec![TimerChange::Set { step: Some(step("a")), due: at(seconds) }];
    store.append(with_timers(run(1), 0, set(5))).await.unwrap();
    store.append(Append { timers: set(6), ..ended(run(2), vec![]) }).await.unwrap();
    store.remove_run(run(2)).await.unwrap();
    store.sweep(at(6)).await.unwrap();
    let due = store.due_timers(at(100), 10).await.unwrap();
    assert_eq!(due.iter().map(|timer| timer.run).collect::<Vec<_>>(), [run(1)]);
}

/// Runs come and go, all with the same two blobs: at no time may a run be there without them.
pub async fn appends_and_removals_of_one_blob_take_turns(store: &SharedStore) {
    const WRITERS: u64 = 8;
    const ROUNDS: u64 = 12;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(store);
        writers.spawn(async move {
            let (small, large) = (bytes(100, 1), bytes(100_000, 1));
            for round in 0..ROUNDS {
                let id = run(writer * ROUNDS + round + 1);
                let brought = vec![bringing(&small), bringing(&large)];
                if round % 2 == 0 {
                    put(&store, small.clone(), Hold::Run(id)).await;
                    put(&store, large.clone(), Hold::Run(id)).await;
                    store.append(ended(id, vec![])).await.unwrap();
                } else {
                    store.append(ended(id, brought)).await.unwrap();
                }
                check_there(&store, &small, true).await;
                check_there(&store, &large, true).await;
                assert!(store.remove_run(id).await.unwrap());
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    store.sweep(at(0)).await.unwrap();
    check_there(store, &bytes(100, 1), false).await;
    check_there(store, &bytes(100_000, 1), false).await;
}

pub async fn sweeping_twice_writes_nothing(store: &SharedStore) {
    put(store, bytes(100, 1), Hold::Until(at(5))).await;
    put(store, bytes(100, 2), Hold::Until(at(50))).await;
    store.sweep(at(5)).await.unwrap();
    let syncs = store.syncs();
    store.sweep(at(6)).await.unwrap();
    assert_eq!(store.syncs(), syncs);
}

async fn check_gone(store: &SharedStore, n: u64) {
    assert_eq!(store.summary(run(n)).await.unwrap(), None);
    assert!(store.events(run(n), 0, usize::MAX).await.unwrap().is_empty());
}
