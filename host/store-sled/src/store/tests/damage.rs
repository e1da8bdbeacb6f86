//! Folders that are not as they were left.

use std::{io::Write as _, os::unix::fs::FileExt, path::PathBuf};

use super::*;
use crate::keys;

/// A folder with a closed store in it that holds `count` events of run 1.
async fn closed(count: u64) -> TempDir {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for seq in 0..count {
        store.append(append(run(1), seq, 1)).await.unwrap();
    }
    drop(store);
    folder
}

fn reopen(folder: &TempDir) -> Result<SledStore, Error> {
    SledStore::open(&DataDir::open(folder.path()).unwrap())
}

fn log(folder: &TempDir) -> PathBuf {
    folder.path().join("store/db")
}

#[track_caller]
fn check_damaged(result: Result<SledStore, Error>) {
    match result {
        Err(Error::Damaged { what, reason }) => assert!(!what.is_empty() && !reason.is_empty()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_its_end_is_damaged() {
    let folder = closed(50).await;
    let file = fs::OpenOptions::new().write(true).open(log(&folder)).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - length / 4).unwrap();
    check_damaged(reopen(&folder));
    // The way out that the message names.
    fs::remove_file(folder.path().join("store.mark")).unwrap();
    let store = reopen(&folder).unwrap();
    let left = store.events(run(1), 0, 100).await.unwrap();
    assert!(left.len() < 50 && left == append(run(1), 0, left.len() as u64).events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_damaged() {
    let folder = closed(50).await;
    let file = fs::OpenOptions::new().read(true).write(true).open(log(&folder)).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 1], middle).unwrap();
    check_damaged(reopen(&folder));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_the_last_commit_is_dropped() {
    let folder = closed(50).await;
    let mut file = fs::OpenOptions::new().append(true).open(log(&folder)).unwrap();
    file.write_all(&[0xab; 1000]).unwrap();
    let store = reopen(&folder).unwrap();
    assert_eq!(store.events(run(1), 0, 100).await.unwrap().len(), 50);
    store.append(append(run(1), 50, 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_mark_loses_nothing() {
    for mark in [b"".as_slice(), b"half", &[0xab; 16]] {
        let folder = closed(5).await;
        fs::write(folder.path().join("store.mark"), mark).unwrap();
        let store = reopen(&folder).unwrap();
        assert_eq!(store.summary(run(1)).await.unwrap(), Some(suite::summary(5)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_of_other_bytes_is_damaged() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let digest = store.put_blob(Bytes::from(vec![1; 100_000]), FOR_LONG).await.unwrap().digest;
    fs::write(folder.path().join(format!("blobs/{digest}")), vec![2; 100_000]).unwrap();
    assert!(matches!(store.blob(digest).await, Err(Error::Damaged { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_its_file_is_damaged() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let mut large = first(run(1));
    large.events[0] = suite::event(1, &noise(100_000, 1));
    store.append(large).await.unwrap();
    fs::remove_dir_all(folder.path().join("blobs")).unwrap();
    let result = store.events(run(1), 0, 10).await;
    assert!(matches!(result, Err(Error::Damaged { .. })), "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_without_its_file_is_damaged() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let digest = store.put_blob(Bytes::from(vec![1; 100_000]), FOR_LONG).await.unwrap().digest;
    fs::remove_file(folder.path().join(format!("blobs/{digest}"))).unwrap();
    assert!(matches!(store.blob(digest).await, Err(Error::Damaged { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_nobody_holds_go_at_the_next_start() {
    let folder = TempDir::new().unwrap();
    let held = open(&folder).put_blob(Bytes::from(vec![1; 100_000]), FOR_LONG).await.unwrap().digest;
    let stray = vec![2; 100_000];
    let path = |digest: Digest| folder.path().join(format!("blobs/{digest}"));
    fs::write(path(Digest::of(&stray)), &stray).unwrap();
    drop(open(&folder));
    assert!(!path(Digest::of(&stray)).exists());
    assert!(path(held).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_layout_is_refused_by_its_number() {
    let folder = closed(1).await;
    {
        let db = sled::open(folder.path().join("store")).unwrap();
        db.insert(keys::LAYOUT, &[1]).unwrap();
        db.flush().unwrap();
    }
    match reopen(&folder) {
        Err(error @ Error::Layout { found: 1, known: keys::LAYOUT_VERSION }) => {
            assert!(error.hint().unwrap().contains("--data"));
        }
        other => panic!("{other:?}"),
    }
}
