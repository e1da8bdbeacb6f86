//! Blobs.

use bytes::Bytes;
use futures_util::future::join_all;
use jiff::Timestamp;
use stepcell_core::Digest;

use crate::{
    Append, Error, Hold, SharedStore,
    suite::{append, at, bringing, ended, first, naming, run},
};

/// Sizes around the one at which a backend may keep a blob elsewhere.
pub const SIZES: [usize; 3] = [100, 60_000, 200_000];

const FOR_LONG: Hold = Hold::Until(Timestamp::MAX);

pub async fn bytes_come_back(store: &SharedStore) {
    for size in [0, 1, 100, 4_096, 5_000, 65_536, 65_537, 200_000] {
        check(store, bytes(size, 1)).await;
    }
}

pub async fn the_same_bytes_are_kept_once(store: &SharedStore) {
    for size in [100, 200_000] {
        let puts = join_all((0..8).map(|_| store.put_blob(bytes(size, 2), FOR_LONG))).await;
        let puts: Vec<_> = puts.into_iter().map(Result::unwrap).collect();
        assert!(puts.iter().all(|put| put.digest == Digest::of(&bytes(size, 2))));
        assert_eq!(puts.iter().filter(|put| put.is_new).count(), 1, "{puts:?}");
        let syncs = store.syncs();
        check(store, bytes(size, 2)).await;
        assert_eq!(store.syncs(), syncs, "bytes that are kept are synced again");
    }
}

pub async fn large_blobs_come_back(store: &SharedStore) {
    check(store, bytes(7 << 20, 3)).await;
    check(store, bytes((7 << 20) + 1, 4)).await;
}

pub async fn an_unknown_digest_has_no_bytes(store: &SharedStore) {
    check(store, bytes(100, 5)).await;
    assert_eq!(store.blob(Digest::of(b"unknown")).await.unwrap(), None);
}

pub async fn a_blob_is_kept_until_its_time_is_over(store: &SharedStore) {
    for size in SIZES {
        let blob = put(store, bytes(size, 6), Hold::Until(at(10))).await;
        store.sweep(at(9)).await.unwrap();
        check_there(store, &blob, true).await;
        store.sweep(at(10)).await.unwrap();
        check_there(store, &blob, false).await;
        // It can come back.
        let again = store.put_blob(blob.clone(), Hold::Until(at(20))).await.unwrap();
        assert!(again.is_new);
        check_there(store, &blob, true).await;
    }
}

pub async fn the_latest_time_counts(store: &SharedStore) {
    for until in [20, 30, 10] {
        put(store, bytes(100, 7), Hold::Until(at(until))).await;
    }
    store.sweep(at(29)).await.unwrap();
    check_there(store, &bytes(100, 7), true).await;
    store.sweep(at(30)).await.unwrap();
    check_there(store, &bytes(100, 7), false).await;
}

pub async fn an_append_holds_what_it_names(store: &SharedStore) {
    for (n, size) in (1..).zip(SIZES) {
        let blob = put(store, bytes(size, 8), Hold::Until(at(10))).await;
        store.append(Append { blobs: vec![naming(&blob)], ..first(run(n)) }).await.unwrap();
        store.sweep(at(10)).await.unwrap();
        check_there(store, &blob, true).await;
    }
}

pub async fn an_append_brings_what_is_not_there(store: &SharedStore) {
    for (n, size) in (1..).zip(SIZES) {
        let blob = bytes(size, 9);
        check_there(store, &blob, false).await;
        // Twice in the same append, and then by another run.
        let twice = vec![bringing(&blob), bringing(&blob)];
        store.append(Append { blobs: twice, ..first(run(2 * n)) }).await.unwrap();
        check_there(store, &blob, true).await;
        store.append(ended(run(2 * n + 1), vec![bringing(&blob)])).await.unwrap();
        assert!(!store.put_blob(blob, FOR_LONG).await.unwrap().is_new);
    }
}

pub async fn an_append_that_names_what_is_not_there_is_refused(store: &SharedStore) {
    store.append(first(run(1))).await.unwrap();
    let unknown = bytes(100, 10);
    let refused = Append { blobs: vec![naming(&unknown)], ..append(run(1), 1, 1) };
    match store.append(refused).await {
        Err(Error::BlobMissing { digest }) => assert_eq!(digest, Digest::of(&unknown)),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.events(run(1), 0, 10).await.unwrap().len(), 1);
    store.append(append(run(1), 1, 1)).await.unwrap();
}

pub async fn blobs_of_a_refused_append_are_not_held(store: &SharedStore) {
    for (n, size) in (1..).zip(SIZES) {
        store.append(first(run(n))).await.unwrap();
        let blob = put(store, bytes(size, 11), Hold::Until(at(10))).await;
        let new = bytes(size, 12);
        let stale = Append { blobs: vec![naming(&blob), bringing(&new)], ..first(run(n)) };
        assert!(matches!(store.append(stale).await, Err(Error::Conflict { .. })));
        store.sweep(at(10)).await.unwrap();
        check_there(store, &blob, false).await;
        check_there(store, &new, false).await;
    }
}

pub async fn what_a_run_holds_is_listed_in_pages(store: &SharedStore) {
    let mut expected = Vec::new();
    for (n, size) in (2..).zip(SIZES) {
        let own = put(store, bytes(size, 13), Hold::Run(run(1))).await;
        let named = put(store, bytes(size, 14), FOR_LONG).await;
        store.append(ended(run(n), vec![naming(&named)])).await.unwrap();
        expected.push(Digest::of(&own));
        assert_eq!(store.blobs_of(run(n), None, 9).await.unwrap(), [Digest::of(&named)]);
    }
    store.append(ended(run(1), vec![])).await.unwrap();
    expected.sort();
    let first = store.blobs_of(run(1), None, 2).await.unwrap();
    assert_eq!(first, expected[..2]);
    assert_eq!(store.blobs_of(run(1), first.last().copied(), 2).await.unwrap(), expected[2..]);
    store.remove_run(run(1)).await.unwrap();
    assert!(store.blobs_of(run(1), None, 9).await.unwrap().is_empty());
}

/// Bytes that are others for another size or seed.
pub fn bytes(size: usize, seed: usize) -> Bytes {
    (0..size).map(|i| (i.wrapping_mul(31) ^ (i >> 8) ^ seed) as u8).collect()
}

/// Puts bytes and gives them back.
pub async fn put(store: &SharedStore, bytes: Bytes, hold: Hold) -> Bytes {
    let put = store.put_blob(bytes.clone(), hold).await.unwrap();
    assert_eq!(put.digest, Digest::of(&bytes));
    bytes
}

/// Whether the store has all of these bytes, or none of them.
pub async fn check_there(store: &SharedStore, bytes: &Bytes, there: bool) {
    let digest = Digest::of(bytes);
    let found = store.blob(digest).await.unwrap();
    assert_eq!(store.has_blob(digest).await.unwrap(), there, "{digest}");
    assert!(found.as_ref() == there.then_some(bytes), "{digest}: {} bytes", found.map_or(0, |b| b.len()));
}

async fn check(store: &SharedStore, bytes: Bytes) {
    let blob = put(store, bytes, FOR_LONG).await;
    check_there(store, &blob, true).await;
}
