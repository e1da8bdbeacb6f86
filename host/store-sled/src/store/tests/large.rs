//! Batches that are larger than what the log may take between two syncs.

use stepcell_core::StepId;
use stepcell_store::{RunSummary, WaitChange, suite::waits};

use super::{
    device::{TestDevice, TestStore},
    *,
};
use crate::{
    batch::{Base, Batch},
    log::BATCH_BYTES_MAX,
    view::Counts,
};

const WAITS: usize = 6_000;

fn steps() -> impl Iterator<Item = StepId> {
    (0..WAITS).map(|item| step("m").item(item, None))
}

/// A run whose steps all begin to wait, until the same time.
fn crowded() -> Append {
    let set = |step| WaitChange::Set { name: "n".to_owned(), step, matching: None };
    let timers = steps().map(|step| TimerChange::Set { step: Some(step), due: at(5) });
    Append { timers: timers.collect(), ..waits::waiting(1, steps().map(set).collect()) }
}

/// Its end, which is that of all waits.
fn over() -> Append {
    let clear = |step| WaitChange::Clear { name: "n".to_owned(), step };
    let timers = steps().map(|step| TimerChange::Clear { step: Some(step), due: at(5) });
    let append = waits::changing(1, 1, steps().map(clear).collect());
    let summary = RunSummary { status: RunStatus::Cancelled, ..suite::summary(2) };
    Append { timers: timers.collect(), summary, ..append }
}

/// How far the run is; fails where some of its rows are from another time.
async fn seq(store: &SledStore) -> u64 {
    let seq = store.summary(run(1)).await.unwrap().map_or(0, |summary| summary.seq);
    let waiting = if seq == 1 { WAITS } else { 0 };
    assert_eq!(store.events(run(1), 0, 10).await.unwrap().len() as u64, seq);
    assert_eq!(store.waits("n", None, 2 * WAITS).await.unwrap().len(), waiting, "at event {seq}");
    assert_eq!(store.due_timers(at(5), 2 * WAITS).await.unwrap().len(), waiting, "at event {seq}");
    let cancelled = Query { status: Some(RunStatus::Cancelled), limit: 10, ..Query::default() };
    let listed = store.list(cancelled).await.unwrap();
    assert_eq!(listed.len(), usize::from(seq == 2));
    seq
}

/// Lets so many of its syncs through and no more; gives whether it got to its end.
async fn up_to(device: &TestDevice, store: &TestStore, syncs: usize, append: Append) -> Result<(), Error> {
    let before = append.expected;
    device.close_gate();
    let done = device.until_sync(|| store.append(append));
    for _ in 0..syncs {
        assert_eq!(seq(store).await, before, "it is seen before its last sync");
        device.until_sync(|| device.let_one_through());
    }
    device.fail_syncs(true);
    device.open_gate();
    let result = done.await;
    device.fail_syncs(false);
    assert_eq!(seq(store).await, before, "it has failed");
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_append_is_done_whole_or_not_at_all() {
    for (before, append) in [(None, crowded()), (Some(crowded()), over())] {
        for syncs in 0..4 {
            let (folder, device) = (TempDir::new().unwrap(), Arc::new(TestDevice::default()));
            let store = device.open_store(&folder);
            if let Some(before) = before.clone() {
                store.append(before).await.unwrap();
            }
            up_to(&device, &store, syncs, append.clone()).await.unwrap_err();
            drop(store);
            let store = open(&folder);
            let found = seq(&store).await;
            // The first sync, or what it was to sync, decides: a process that dies loses nothing that was written.
            assert!([append.expected, append.summary.seq].contains(&found), "{found} after {syncs} syncs");
            assert!(syncs == 0 || found == append.summary.seq, "{found} after {syncs} syncs");
            whole::check(&store);
            let files = fs::read_dir(folder.path().join("blobs")).unwrap();
            assert_eq!(files.count(), 0, "a file is left");
            store.append(suite::append(run(1), found, 1)).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sync_has_more_than_the_log_may_take() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for append in [crowded(), over()] {
        let bytes =
            sealed_bytes(&store, Body::Append(Box::new(AppendWrite::encode(append.clone()).unwrap()))).1;
        let before = store.syncs();
        store.append(append).await.unwrap();
        let syncs = usize::try_from(store.syncs() - before).unwrap();
        assert!(
            bytes > 2 * BATCH_BYTES_MAX && syncs > bytes / BATCH_BYTES_MAX,
            "{bytes} bytes, {syncs} syncs"
        );
    }
    whole::check(&store);
}

/// The file of the batch is the disk's room as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_append_that_finds_no_room_is_refused() {
    let (folder, device) = (TempDir::new().unwrap(), Arc::new(TestDevice::default()));
    let store = device.open_store(&folder);
    device.fill(Some(0));
    assert!(matches!(store.append(crowded()).await, Err(Error::Full)));
    device.fill(None);
    store.append(crowded()).await.unwrap();
    assert_eq!(seq(&store).await, 1);
}

/// What the write is thought to add, and what it adds.
fn sealed_bytes(store: &SledStore, body: Body) -> (usize, usize) {
    let Reader { tree, files, view } = &store.reader;
    let base = Base { tree, view, files, counts: Counts::default() };
    let mut batch = Batch::default();
    let write = Write { body, done: oneshot::channel().0 };
    let thought = batch.log_bytes(&write, &base).unwrap();
    batch.add(write, &base);
    (thought, batch.seal(&base).changes.log_bytes())
}

/// Else batches that are only a little too large would go the long way.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_write_adds_is_not_thought_too_little() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let event = |id: &str| suite::events::kept("n", id, 0, 10);
    store
        .append(Append {
            claim: suite::claims::claiming(run(2), "k", "b").claim,
            ..suite::ended(run(2), vec![])
        })
        .await
        .unwrap();
    store.append(first(run(3))).await.unwrap();
    store.put_event(event("there")).await.unwrap();
    store.put_blob(Bytes::from_static(b"there"), Hold::Until(at(5))).await.unwrap();
    let mut large = suite::ended(run(1), vec![suite::bringing(&Bytes::from(vec![7; 20_000]))]);
    large.events[0] = suite::event(1, &noise(60_000, 1));
    let mut in_file = first(run(1));
    in_file.events[0] = suite::event(1, &noise(100_000, 1));
    let ends = Append {
        summary: RunSummary { status: RunStatus::Failed, ..suite::summary(2) },
        ..append(run(3), 1, 1)
    };
    let append = |append| Body::Append(Box::new(AppendWrite::encode(append).unwrap()));
    let blob = |hold| {
        let bytes = Some(Encoded::Parts(parts::rows(&[8; 9_000])));
        Body::Blob { digest: Digest::of(&[8; 9_000]), bytes, hold }
    };
    let bodies = [
        ("a claim", append(suite::claims::claiming(run(1), "l", "b"))),
        ("blobs", append(large)),
        ("a file", append(in_file)),
        ("an end", append(ends)),
        ("waits", append(crowded())),
        ("a blob", blob(FOR_LONG)),
        ("an early blob", blob(Hold::Run(run(9)))),
        ("a blob for longer", Body::Blob { digest: Digest::of(b"there"), bytes: None, hold: FOR_LONG }),
        ("an event", Body::put_event(&event("new")).unwrap()),
        ("its taker", Body::TakeEvent { id: EventId::new("n", "there"), by: Taken::Run(run(3)) }),
        ("a removal", Body::Remove(run(2))),
    ];
    let counts = sealed_bytes(&store, Body::TakeEvent { id: EventId::new("n", "none"), by: Taken::All }).1;
    for (what, body) in bodies {
        let (thought, added) = sealed_bytes(&store, body);
        assert!(added > counts, "{what} adds nothing");
        assert!(added - counts <= thought, "{what} adds {} bytes, not {thought}", added - counts);
    }
}
