//! What readers see while a sync goes on, or has failed.

use stepcell_core::StepId;
use stepcell_store::RunSummary;

use super::{
    device::{TestDevice, TestStore},
    *,
};
use crate::disk::FREE_MIN;

/// Runs 1 to 3, synced, and then a batch that is held up on its way to the disk: it adds to run 1 and finishes
/// it, moves the timer of run 2, and makes run 4.
struct Held {
    device: Arc<TestDevice>,
    store: TestStore,
    appends: Vec<BoxFuture<'static, Result<(), Error>>>,
    _folder: TempDir,
}

async fn held() -> Held {
    let (folder, device) = (TempDir::new().unwrap(), Arc::new(TestDevice::default()));
    let store = device.open_store(&folder);
    store.append(first(run(1))).await.unwrap();
    store.append(with_timers(run(2), 0, vec![set("old", 10)])).await.unwrap();
    store.append(first_as(run(3), RunStatus::Queued, "g")).await.unwrap();
    device.close_gate();
    // The first one takes the committer to the gate alone; it must not be what the test looks at.
    let mut appends = device.until_sync(|| vec![store.append(first(run(9)))]);
    let ended = RunSummary { status: RunStatus::Succeeded, ..suite::summary(3) };
    appends.push(store.append(Append { summary: ended, ..append(run(1), 1, 2) }));
    appends.push(store.append(with_timers(run(2), 1, vec![clear("old", 10), set("new", 20)])));
    appends.push(store.append(first(run(4))));
    device.until_sync(|| device.let_one_through());
    assert_eq!(appends.remove(0).await.unwrap(), ());
    Held { device, store, appends, _folder: folder }
}

fn set(id: &str, seconds: i64) -> TimerChange {
    TimerChange::Set { step: Some(step(id)), due: at(seconds) }
}

fn clear(id: &str, seconds: i64) -> TimerChange {
    TimerChange::Clear { step: Some(step(id)), due: at(seconds) }
}

/// What every read must give as long as the batch is not on the disk.
async fn check_before(store: &SledStore) {
    assert_eq!(store.events(run(1), 0, 10).await.unwrap(), append(run(1), 0, 1).events);
    assert_eq!(store.summary(run(1)).await.unwrap(), Some(suite::summary(1)));
    assert!(store.events(run(4), 0, 10).await.unwrap().is_empty());
    assert_eq!(store.summary(run(4)).await.unwrap(), None);
    check_listed(store, Query::default(), &[9, 3, 2, 1]).await;
    check_listed(store, Query { before: Some(run(9)), ..Query::default() }, &[3, 2, 1]).await;
    check_listed(store, Query { status: Some(RunStatus::Running), ..Query::default() }, &[9, 2, 1]).await;
    check_listed(store, Query { status: Some(RunStatus::Succeeded), ..Query::default() }, &[]).await;
    for limit in 1..5 {
        let expected = [run(1), run(2), run(3), run(9)];
        assert_eq!(store.unfinished(None, limit).await.unwrap(), expected[..limit]);
    }
    assert_eq!(only_timer(store).await, Timer { due: at(10), run: run(2), step: Some(step("old")) });
    assert_eq!(store.due_timers(at(15), 1).await.unwrap().len(), 1);
}

async fn check_after(store: &SledStore) {
    assert_eq!(store.events(run(1), 0, 10).await.unwrap(), append(run(1), 0, 3).events);
    assert_eq!(store.events(run(4), 0, 10).await.unwrap(), append(run(4), 0, 1).events);
    check_listed(store, Query::default(), &[9, 4, 3, 2, 1]).await;
    check_listed(store, Query { status: Some(RunStatus::Succeeded), ..Query::default() }, &[1]).await;
    assert_eq!(store.unfinished(None, 10).await.unwrap(), [run(2), run(3), run(4), run(9)]);
    assert_eq!(only_timer(store).await, Timer { due: at(20), run: run(2), step: Some(step("new")) });
}

/// Lists with every page size.
async fn check_listed(store: &SledStore, query: Query, expected: &[u64]) {
    for limit in 1..8 {
        let listed = store.list(Query { limit, ..query.clone() }).await.unwrap();
        let found: Vec<RunId> = listed.into_iter().map(|(id, _)| id).collect();
        let expected: Vec<RunId> = expected.iter().take(limit).map(|n| run(*n)).collect();
        assert_eq!(found, expected, "{query:?} {limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_what_is_not_synced() {
    let held = held().await;
    let mut news = held.store.subscribe();
    check_before(&held.store).await;
    assert!(news.try_recv().is_err());
    held.device.open_gate();
    for done in held.appends {
        done.await.unwrap();
    }
    check_after(&held.store).await;
    let mut told = [news.recv().await.unwrap(), news.recv().await.unwrap(), news.recv().await.unwrap()];
    told.sort();
    assert_eq!(told, [run(1), run(2), run(4)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_not_there_before_its_sync() {
    let (folder, device) = (TempDir::new().unwrap(), Arc::new(TestDevice::default()));
    let store = Arc::new(device.open_store(&folder));
    device.close_gate();
    let bytes = Bytes::from_static(b"blob");
    let put = {
        let (store, bytes) = (Arc::clone(&store), bytes.clone());
        device.until_sync(|| tokio::spawn(async move { store.put_blob(bytes, FOR_LONG).await }))
    };
    assert_eq!(store.blob(Digest::of(&bytes)).await.unwrap(), None);
    device.open_gate();
    put.await.unwrap().unwrap();
    assert_eq!(store.blob(Digest::of(&bytes)).await.unwrap(), Some(bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_sync_nothing_is_shown_or_taken() {
    let held = held().await;
    let mut news = held.store.subscribe();
    held.device.fail_syncs(true);
    held.device.open_gate();
    for done in held.appends {
        assert!(matches!(done.await, Err(Error::Io { action: "sync the store", .. })));
    }
    held.device.fail_syncs(false);
    check_before(&held.store).await;
    assert!(news.try_recv().is_err());
    for refused in [append(run(1), 1, 1), append(run(1), 3, 1), first(run(5))] {
        let result = held.store.append(refused).await;
        assert!(matches!(result, Err(Error::Failed { .. })), "{result:?}");
    }
    assert!(matches!(
        held.store.put_blob(Bytes::from_static(b"x"), FOR_LONG).await,
        Err(Error::Failed { .. })
    ));
    check_before(&held.store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_until_there_is_room() {
    let (folder, device) = (TempDir::new().unwrap(), Arc::new(TestDevice::default()));
    let store = device.open_store(&folder);
    store.append(first(run(1))).await.unwrap();
    device.fill(Some(0));
    assert!(matches!(store.append(append(run(1), 1, 1)).await, Err(Error::Full)));
    assert!(matches!(store.put_blob(Bytes::from(vec![1; 10]), FOR_LONG).await, Err(Error::Full)));
    assert!(matches!(store.put_blob(Bytes::from(vec![1; 1 << 20]), FOR_LONG).await, Err(Error::Full)));
    assert_eq!(store.summary(run(1)).await.unwrap(), Some(suite::summary(1)));
    device.fill(None);
    store.append(append(run(1), 1, 1)).await.unwrap();
    store.put_blob(Bytes::from(vec![1; 1 << 20]), FOR_LONG).await.unwrap();
    assert_eq!(store.events(run(1), 0, 10).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_emptied_by_removing_runs() {
    let (folder, device) = (TempDir::new().unwrap(), Arc::new(TestDevice::default()));
    let store = device.open_store(&folder);
    for n in 1..=2 {
        store
            .append(suite::ended(run(n), vec![suite::bringing(&Bytes::from(vec![7; 100_000]))]))
            .await
            .unwrap();
    }
    store.put_blob(Bytes::from_static(b"over"), Hold::Until(at(0))).await.unwrap();
    // Too little for an append, and enough for what makes room.
    device.fill(Some(FREE_MIN));
    assert!(matches!(store.append(append(run(1), 1, 1)).await, Err(Error::Full)));
    assert!(store.remove_run(run(1)).await.unwrap());
    store.sweep(at(0)).await.unwrap();
    whole::check(&store);
    device.fill(Some(0));
    assert!(matches!(store.remove_run(run(2)).await, Err(Error::Full)));
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_of_items_are_hidden_one_by_one() {
    let (folder, device) = (TempDir::new().unwrap(), Arc::new(TestDevice::default()));
    let store = device.open_store(&folder);
    let item = |index| StepId::new("m").unwrap().item(index, None);
    let set = |index| TimerChange::Set { step: Some(item(index)), due: at(1) };
    store.append(with_timers(run(1), 0, (0..5).map(set).collect())).await.unwrap();
    device.close_gate();
    let later = with_timers(run(1), 1, (3..8).map(set).collect());
    let done = device.until_sync(|| store.append(later));
    for limit in 1..10 {
        assert_eq!(store.due_timers(at(1), limit).await.unwrap().len(), limit.min(5), "{limit}");
    }
    device.open_gate();
    done.await.unwrap();
    assert_eq!(store.due_timers(at(1), 100).await.unwrap().len(), 8);
}

/// A finished run with a blob, removed by a batch that is held up on its way to the disk.
async fn removing() -> (Held, Bytes) {
    let (folder, device) = (TempDir::new().unwrap(), Arc::new(TestDevice::default()));
    let store = device.open_store(&folder);
    let blob = Bytes::from(vec![7; 100_000]);
    store.append(suite::ended(run(1), vec![suite::bringing(&blob)])).await.unwrap();
    store.append(first(run(2))).await.unwrap();
    device.close_gate();
    let removed = store.write(Body::Remove(run(1)));
    let removed = device.until_sync(|| removed.map_ok(|_| ()).boxed());
    (Held { device, store, appends: vec![removed], _folder: folder }, blob)
}

async fn check_still_there(store: &SledStore, blob: &Bytes) {
    assert_eq!(store.events(run(1), 0, 10).await.unwrap(), first(run(1)).events);
    assert!(store.summary(run(1)).await.unwrap().is_some());
    check_listed(store, Query::default(), &[2, 1]).await;
    check_listed(store, Query { status: Some(RunStatus::Succeeded), ..Query::default() }, &[1]).await;
    assert!(store.blob(Digest::of(blob)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_there_until_its_removal_is_synced() {
    let (held, blob) = removing().await;
    check_still_there(&held.store, &blob).await;
    let mut news = held.store.subscribe();
    held.device.open_gate();
    for done in held.appends {
        done.await.unwrap();
    }
    check_listed(&held.store, Query::default(), &[2]).await;
    assert!(held.store.events(run(1), 0, 10).await.unwrap().is_empty());
    assert!(news.try_recv().is_err(), "there is nothing to read of a removed run");
    // Its caller is gone: a sweep does the rest.
    held.store.sweep(at(0)).await.unwrap();
    assert_eq!(held.store.blob(Digest::of(&blob)).await.unwrap(), None);
    whole::check(&held.store);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_removal_failed_is_still_there() {
    let (held, blob) = removing().await;
    held.device.fail_syncs(true);
    held.device.open_gate();
    for done in held.appends {
        assert!(done.await.is_err());
    }
    held.device.fail_syncs(false);
    check_still_there(&held.store, &blob).await;
    assert!(held.store.remove_run(run(1)).await.is_err());
    assert!(held.store.sweep(at(0)).await.is_err());
    check_still_there(&held.store, &blob).await;
}

/// The only holder of a blob lets go, and somebody else comes: in the same batch, or in the one behind it.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_as_the_last_holder_goes_finds_the_bytes() {
    let blob = Bytes::from(vec![7; 100_000]);
    let hold = || Body::Blob { digest: Digest::of(&[7; 100_000]), bytes: None, hold: FOR_LONG };
    for together in [true, false] {
        let (folder, device) = (TempDir::new().unwrap(), Arc::new(TestDevice::default()));
        let store = device.open_store(&folder);
        store.append(suite::ended(run(1), vec![suite::bringing(&blob)])).await.unwrap();
        store.write(Body::Remove(run(1))).await.unwrap();
        device.close_gate();
        // Holds the committer up, so that what follows shares a batch.
        let first = device.until_sync(|| store.append(first(run(2))));
        let clear = store.write(Body::Clear(vec![run(1)]));
        let held = if together {
            let held = store.write(hold());
            device.open_gate();
            held
        } else {
            device.until_sync(|| device.let_one_through());
            let held = store.write(hold());
            device.open_gate();
            held
        };
        first.await.unwrap();
        clear.await.unwrap();
        match held.await {
            Ok(is_new) => assert!(together && is_new),
            Err(Error::BlobMissing { .. }) => assert!(!together),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(store.has_blob(Digest::of(&blob)).await.unwrap(), together);
        whole::check(&store);
        // And whoever brings the bytes gets through.
        store.put_blob(blob.clone(), FOR_LONG).await.unwrap();
        assert_eq!(store.blob(Digest::of(&blob)).await.unwrap(), Some(blob.clone()));
    }
}
