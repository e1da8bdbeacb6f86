//! Blobs.

use bytes::Bytes;
use futures_util::future::join_all;
use stepcell_core::Digest;

use crate::SharedStore;

pub async fn bytes_come_back(store: &SharedStore) {
    for size in [0, 1, 100, 4_096, 5_000, 65_536, 65_537, 200_000] {
        check(store, bytes(size, 1)).await;
    }
}

pub async fn the_same_bytes_are_kept_once(store: &SharedStore) {
    for size in [100, 200_000] {
        let digests = join_all((0..8).map(|_| store.put_blob(bytes(size, 2)))).await;
        for digest in digests {
            assert_eq!(digest.unwrap(), Digest::of(&bytes(size, 2)));
        }
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

fn bytes(size: usize, seed: usize) -> Bytes {
    (0..size).map(|i| (i.wrapping_mul(31) ^ (i >> 8) ^ seed) as u8).collect()
}

async fn check(store: &SharedStore, bytes: Bytes) {
    let digest = store.put_blob(bytes.clone()).await.unwrap();
    assert_eq!(digest, Digest::of(&bytes));
    assert!(store.blob(digest).await.unwrap() == Some(bytes), "other bytes come back for {digest}");
}
