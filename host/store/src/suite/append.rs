//! Compare and append.

use crate::{
    Append, Error, SharedStore,
    suite::{append, event, first, run, summary},
};

pub async fn a_new_run_starts_at_one(store: &SharedStore) {
    store.append(append(run(1), 0, 2)).await.unwrap();
    assert_eq!(store.events(run(1), 0, 10).await.unwrap(), append(run(1), 0, 2).events);
}

pub async fn a_stale_writer_is_refused(store: &SharedStore) {
    store.append(append(run(1), 0, 3)).await.unwrap();
    check_conflict(store, append(run(1), 1, 1), 3).await;
    check_conflict(store, append(run(1), 0, 1), 3).await;
}

pub async fn a_writer_that_is_ahead_is_refused(store: &SharedStore) {
    check_conflict(store, append(run(1), 5, 1), 0).await;
    store.append(first(run(1))).await.unwrap();
    check_conflict(store, append(run(1), 2, 1), 1).await;
}

pub async fn a_gap_is_refused(store: &SharedStore) {
    let mut gap = append(run(1), 0, 2);
    gap.events[1] = event(3, "");
    gap.summary.seq = 3;
    check_malformed(store, gap).await;
    let mut late = append(run(1), 0, 1);
    late.events[0] = event(2, "");
    late.summary.seq = 2;
    check_malformed(store, late).await;
    let ahead = Append { summary: summary(2), ..append(run(1), 0, 1) };
    check_malformed(store, ahead).await;
}

pub async fn an_append_without_events_is_refused(store: &SharedStore) {
    check_malformed(store, append(run(1), 0, 0)).await;
}

pub async fn a_refused_append_changes_nothing(store: &SharedStore) {
    store.append(append(run(1), 0, 2)).await.unwrap();
    check_conflict(store, append(run(1), 1, 5), 2).await;
    assert_eq!(store.events(run(1), 0, 10).await.unwrap().len(), 2);
    assert_eq!(store.summary(run(1)).await.unwrap(), Some(summary(2)));
    store.append(append(run(1), 2, 1)).await.unwrap();
}

pub async fn appends_keep_their_order_without_waiting(store: &SharedStore) {
    let queued: Vec<_> = (0..100).map(|seq| store.append(append(run(1), seq, 1))).collect();
    for done in queued {
        done.await.unwrap();
    }
    assert_eq!(store.events(run(1), 0, 1000).await.unwrap(), append(run(1), 0, 100).events);
}

pub async fn an_append_behind_a_refused_one_is_refused(store: &SharedStore) {
    store.append(first(run(1))).await.unwrap();
    let refused = store.append(append(run(1), 0, 5));
    let behind = store.append(append(run(1), 5, 1));
    assert!(matches!(refused.await, Err(Error::Conflict { found: 1, .. })));
    assert!(matches!(behind.await, Err(Error::Conflict { found: 1, .. })));
}

pub async fn an_append_that_nobody_waits_for_is_done(store: &SharedStore) {
    drop(store.append(first(run(1))));
    store.append(append(run(1), 1, 1)).await.unwrap();
    assert_eq!(store.events(run(1), 0, 10).await.unwrap().len(), 2);
}

async fn check_conflict(store: &SharedStore, refused: Append, at: u64) {
    let (id, from) = (refused.run, refused.expected);
    match store.append(refused).await {
        Err(Error::Conflict { run, expected, found }) => assert_eq!((run, expected, found), (id, from, at)),
        other => panic!("{other:?}"),
    }
}

async fn check_malformed(store: &SharedStore, malformed: Append) {
    let run = malformed.run;
    let result = store.append(malformed).await;
    assert!(matches!(result, Err(Error::Malformed { .. })), "{result:?}");
    assert_eq!(store.summary(run).await.unwrap(), None);
}
