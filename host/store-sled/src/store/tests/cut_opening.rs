//! A start that was cut short while sled was still at work, before the store could sync anything.

use std::path::PathBuf;

use super::*;

const EVENTS: u64 = 40;

/// A folder that was opened twice, so that sled has left a snapshot in it.
async fn written() -> TempDir {
    let folder = TempDir::new().unwrap();
    for half in 0..2 {
        let store = open(&folder);
        for seq in half * EVENTS / 2..(half + 1) * EVENTS / 2 {
            store.append(append(run(1), seq, 1)).await.unwrap();
        }
    }
    folder
}

/// The newest snapshot, and what the next one would be called.
fn snapshot(folder: &TempDir) -> (PathBuf, PathBuf) {
    let entries = fs::read_dir(folder.path().join("store")).unwrap().map(|entry| entry.unwrap().path());
    let is_snapshot = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("snap.");
    let newest = entries.filter(is_snapshot).max().unwrap();
    let number = newest.extension().unwrap().to_str().unwrap();
    let next = u64::from_str_radix(number, 16).unwrap() + 1000;
    (newest.clone(), newest.with_extension(format!("{next:016X}")))
}

async fn check_all_is_there(folder: &TempDir, about: &str) {
    let opened = SledStore::open(&DataDir::open(folder.path()).unwrap());
    let store = opened.unwrap_or_else(|error| panic!("{about}: {error}"));
    assert_eq!(store.events(run(1), 0, 1000).await.unwrap(), append(run(1), 0, EVENTS).events, "{about}");
    store.append(append(run(1), EVENTS, 1)).await.unwrap();
}

/// sled writes its snapshot under another name first, and takes whatever has that name for a snapshot later.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_was_not_written_to_its_end_does_no_harm() {
    for part in [0, 1, 12, 13, 500, usize::MAX] {
        let folder = written().await;
        let (newest, next) = snapshot(&folder);
        let bytes = fs::read(newest).unwrap();
        let begun = PathBuf::from(format!("{}.generating", next.display()));
        fs::write(begun, &bytes[..bytes.len().min(part)]).unwrap();
        check_all_is_there(&folder, &format!("{part} bytes of a snapshot")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_snapshots_do_no_harm() {
    let folder = written().await;
    let (newest, _) = snapshot(&folder);
    let older = newest.with_extension(format!("{:016X}", 1));
    fs::copy(&newest, older).unwrap();
    check_all_is_there(&folder, "two snapshots").await;
}

/// The parameters are the first thing that sled writes, and it syncs them never.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_was_cut_short_can_be_repeated() {
    let folder = TempDir::new().unwrap();
    drop(open(&folder));
    let parameters = fs::read(folder.path().join("store/conf")).unwrap();
    for length in [0, 1, 8, 9, parameters.len() - 1, parameters.len()] {
        for bytes in [parameters[..length].to_vec(), vec![0; length]] {
            let fresh = TempDir::new().unwrap();
            fs::create_dir_all(fresh.path().join("store")).unwrap();
            fs::write(fresh.path().join("store/conf"), &bytes).unwrap();
            let opened = SledStore::open(&DataDir::open(fresh.path()).unwrap());
            let store = opened.unwrap_or_else(|error| panic!("{bytes:?}: {error}"));
            store.append(first(run(1))).await.unwrap();
        }
    }
}

/// The log may have got to the disk before them, as far as it was written.
#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_are_torn_beside_a_log_are_written_again() {
    let parameters = fs::read(written().await.path().join("store/conf")).unwrap();
    for length in [0, 1, 8, 9, parameters.len() - 1, parameters.len()] {
        for bytes in [parameters[..length].to_vec(), vec![0; length]] {
            let folder = written().await;
            fs::write(folder.path().join("store/conf"), &bytes).unwrap();
            check_all_is_there(&folder, &format!("{bytes:?}")).await;
            assert_eq!(fs::read(folder.path().join("store/conf")).unwrap(), parameters);
        }
    }
}
