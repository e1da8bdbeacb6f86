//! Keys of submissions.

use bytes::Bytes;
use stepcell_core::{Digest, RunId};

use crate::{
    Append, Claim, Error, SharedStore, TimerChange, WaitChange,
    suite::{append, at, bringing, ended, first, naming, run, step},
};

pub async fn a_claim_finds_its_run(store: &SharedStore) {
    assert_eq!(store.claimed("k").await.unwrap(), None);
    store.append(claiming(run(1), "k", "one")).await.unwrap();
    store.append(claiming(run(2), "", "two")).await.unwrap();
    store.append(first(run(3))).await.unwrap();
    check(store, "k", Some((run(1), "one"))).await;
    check(store, "", Some((run(2), "two"))).await;
    check(store, "other", None).await;
    store.append(append(run(1), 1, 1)).await.unwrap();
    check(store, "k", Some((run(1), "one"))).await;
}

pub async fn a_key_is_claimed_once(store: &SharedStore) {
    store.append(claiming(run(1), "k", "one")).await.unwrap();
    for body in ["one", "two"] {
        let mut second = claiming(run(2), "k", body);
        second.timers = vec![TimerChange::Set { step: None, due: at(1) }];
        second.waits = vec![WaitChange::Set { name: "n".to_owned(), step: step("a"), matching: None }];
        second.blobs = vec![bringing(&Bytes::from_static(b"brought"))];
        check_refused(store.append(second).await, (run(1), "one"));
    }
    // Nothing of it is there.
    assert_eq!(store.summary(run(2)).await.unwrap(), None);
    assert_eq!(store.next_timer().await.unwrap(), None);
    assert!(store.waits("n", None, 10).await.unwrap().is_empty());
    assert!(!store.has_blob(Digest::of(b"brought")).await.unwrap());
    store.append(claiming(run(2), "l", "two")).await.unwrap();
}

pub async fn of_many_claims_at_a_time_one_wins(store: &SharedStore) {
    const RIVALS: u64 = 50;
    // All are queued before the first is answered, so that they share their batches.
    let queued: Vec<_> = (1..=RIVALS).map(|n| store.append(claiming(run(n), "k", "one"))).collect();
    let mut won = Vec::new();
    for (n, done) in (1..).zip(queued) {
        match done.await {
            Ok(()) => won.push(n),
            refused => check_refused(refused, (run(1), "one")),
        }
    }
    assert_eq!(won, [1], "a store takes what is queued in order");
    check(store, "k", Some((run(1), "one"))).await;
}

pub async fn a_claim_that_comes_late_is_refused(store: &SharedStore) {
    store.append(first(run(1))).await.unwrap();
    let late = Append { claim: claiming(run(1), "k", "one").claim, ..append(run(1), 1, 1) };
    let result = store.append(late).await;
    assert!(matches!(result, Err(Error::Malformed { .. })), "{result:?}");
    check(store, "k", None).await;
}

pub async fn a_refused_append_claims_nothing(store: &SharedStore) {
    let unknown = Bytes::from_static(b"unknown");
    let refused = Append { blobs: vec![naming(&unknown)], ..claiming(run(1), "k", "one") };
    assert!(matches!(store.append(refused).await, Err(Error::BlobMissing { .. })));
    check(store, "k", None).await;
    store.append(claiming(run(2), "k", "two")).await.unwrap();
    check(store, "k", Some((run(2), "two"))).await;
}

pub async fn a_claim_goes_with_its_run(store: &SharedStore) {
    for n in 1..=3 {
        let claim = claiming(run(n), "k", "one").claim;
        store.append(Append { claim, ..ended(run(n), vec![]) }).await.unwrap();
        check(store, "k", Some((run(n), "one"))).await;
        assert!(store.remove_run(run(n)).await.unwrap());
        check(store, "k", None).await;
    }
    // A run and the one that takes over its key, behind each other without waiting.
    let claim = claiming(run(4), "k", "one").claim;
    let begun = store.append(Append { claim, ..ended(run(4), vec![]) });
    let removed = store.remove_runs(vec![run(4)]);
    begun.await.unwrap();
    assert_eq!(removed.await.unwrap(), 1);
    store.append(claiming(run(5), "k", "two")).await.unwrap();
    check(store, "k", Some((run(5), "two"))).await;
}

/// The first event of a run that claims a key for this body.
pub fn claiming(run: RunId, key: &str, body: &str) -> Append {
    let claim = Claim { key: key.to_owned(), body: Digest::of(body.as_bytes()) };
    Append { claim: Some(claim), ..first(run) }
}

async fn check(store: &SharedStore, key: &str, expected: Option<(RunId, &str)>) {
    let expected = expected.map(|(run, body)| (run, Digest::of(body.as_bytes())));
    assert_eq!(store.claimed(key).await.unwrap(), expected, "{key}");
}

#[track_caller]
fn check_refused(result: Result<(), Error>, (holder, text): (RunId, &str)) {
    match result {
        Err(Error::Claimed { run, body }) => assert_eq!((run, body), (holder, Digest::of(text.as_bytes()))),
        other => panic!("{other:?}"),
    }
}
