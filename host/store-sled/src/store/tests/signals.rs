//! Claims, waits, kept events and what has ended: over restarts, beside the store in memory, and during a sync.

use proptest::prelude::*;
use stepcell_store::{
    Looker, RunSummary, SharedStore, Taken, WaitChange,
    suite::{
        claims::claiming,
        events::{anybody, kept},
        retention::ended_at,
        waits::{changing, clear, set, waiting},
    },
};

use super::{
    device::{TestDevice, TestStore},
    *,
};

#[tokio::test(flavor = "multi_thread")]
async fn signals_are_there_after_reopening() {
    let folder = TempDir::new().unwrap();
    {
        let store = open(&folder);
        fill(&store).await;
        check_filled(&store).await;
        whole::check(&store);
    }
    let store = open(&folder);
    check_filled(&store).await;
    whole::check(&store);
}

async fn fill(store: &SledStore) {
    store.append(claiming(run(1), "k", "one")).await.unwrap();
    store.append(waiting(2, vec![set("n", "a", None)])).await.unwrap();
    store.append(ended_at(3, 10)).await.unwrap();
    store.append(ended_at(4, 20)).await.unwrap();
    store.append(first_as(run(5), RunStatus::Queued, "f")).await.unwrap();
    store.put_event(kept("n", "e", 0, 10)).await.unwrap();
    store.put_event(kept("n", "f", 1, 10)).await.unwrap();
    store.take_event("n", "f", Taken::Run(run(2))).await.unwrap();
}

/// What every read must give of what [`fill`] has written.
async fn check_filled(store: &SledStore) {
    assert_eq!(store.claimed("k").await.unwrap(), Some((run(1), Digest::of(b"one"))));
    assert_eq!(store.claimed("l").await.unwrap(), None);
    let kept_e = kept("n", "e", 0, 10);
    for limit in 1..4 {
        let waits = store.waits("n", None, limit).await.unwrap();
        assert_eq!(waits.iter().map(|waiter| waiter.run).collect::<Vec<_>>(), [run(2)], "{limit}");
        assert!(store.waits("m", None, limit).await.unwrap().is_empty());
        let kept = store.kept_events("n", anybody(), None, limit).await.unwrap();
        let kept: Vec<_> = kept.iter().map(|event| (event.id.as_str(), event.taken)).collect();
        assert_eq!(kept, [("e", Taken::Nobody), ("f", Taken::Run(run(2)))][..limit.min(2)]);
        let late = |n| store.kept_events("n", Looker { run: run(n), since: at(50) }, None, limit);
        assert_eq!(late(2).await.unwrap().len(), limit.min(2));
        assert_eq!(late(7).await.unwrap(), std::slice::from_ref(&kept_e));
        assert_eq!(store.kept_event("n", "e").await.unwrap(), Some(kept_e.clone()));
        let finished = store.oldest_finished(Timestamp::MAX, limit).await.unwrap();
        assert_eq!(finished, [(at(10), run(3)), (at(20), run(4))][..limit.min(2)]);
        let queued = store.queued(None, limit).await.unwrap();
        assert_eq!(queued.iter().map(|(run, _)| *run).collect::<Vec<_>>(), [run(5)]);
    }
    assert_eq!(store.finished_count().await.unwrap(), 2);
}

/// A batch behind what [`fill`] has written, held up on its way to the disk, that changes all of it.
async fn changing_all() -> (TempDir, Arc<TestDevice>, TestStore, Vec<BoxFuture<'static, bool>>) {
    let (folder, device) = (TempDir::new().unwrap(), Arc::new(TestDevice::default()));
    let store = device.open_store(&folder);
    fill(&store).await;
    device.close_gate();
    // The first one takes the committer to the gate alone; it must not be what the test looks at.
    let before = device.until_sync(|| store.append(first(run(9))));
    let ok = |done: BoxFuture<'static, Result<(), Error>>| done.map(|done| done.is_ok()).boxed();
    let wrote = |body| store.write(body).map(|done| done.is_ok()).boxed();
    let put = |event| Body::put_event(&event).unwrap();
    let take = |id, by| Body::TakeEvent { id: EventId::new("n", id), by };
    let changes = vec![
        ok(store.append(claiming(run(6), "l", "two"))),
        ok(store.append(changing(2, 1, vec![clear("n", "a"), set("m", "a", None)]))),
        ok(store.append(waiting(7, vec![set("n", "a", None)]))),
        ok(store.append(ended_at(8, 5))),
        wrote(Body::Remove(run(3))),
        ok(store.append(append(run(5), 1, 1))),
        wrote(put(kept("n", "g", -1, 20))),
        wrote(take("g", Taken::All)),
        wrote(take("e", Taken::Run(run(7)))),
    ];
    device.until_sync(|| device.let_one_through());
    before.await.unwrap();
    (folder, device, store, changes)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_signals_that_are_not_synced() {
    let (_folder, device, store, changes) = changing_all().await;
    check_filled(&store).await;
    device.open_gate();
    for done in changes {
        assert!(done.await);
    }
    assert_eq!(store.claimed("l").await.unwrap(), Some((run(6), Digest::of(b"two"))));
    assert_eq!(store.waits("n", None, 10).await.unwrap()[0].run, run(7));
    assert_eq!(store.waits("m", None, 10).await.unwrap()[0].run, run(2));
    let events = store.kept_events("n", anybody(), None, 10).await.unwrap();
    let events: Vec<_> = events.iter().map(|event| (event.id.as_str(), event.taken)).collect();
    assert_eq!(events, [("g", Taken::All), ("e", Taken::Run(run(7))), ("f", Taken::Run(run(2)))]);
    let late = store.kept_events("n", Looker { run: run(7), since: at(50) }, None, 10).await.unwrap();
    assert_eq!(late.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["e"]);
    let finished = store.oldest_finished(Timestamp::MAX, 10).await.unwrap();
    assert_eq!(finished, [(at(5), run(8)), (at(20), run(4))]);
    assert_eq!(store.finished_count().await.unwrap(), 2);
    assert!(store.queued(None, 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_changes_no_signal() {
    let (folder, device, store, changes) = changing_all().await;
    device.fail_syncs(true);
    device.open_gate();
    for done in changes {
        assert!(!done.await);
    }
    device.fail_syncs(false);
    check_filled(&store).await;
    assert!(store.put_event(kept("n", "h", 0, 10)).await.is_err());
    assert!(store.take_event("n", "e", Taken::All).await.is_err());
    drop(store);
    // What a sync that failed has left on the disk is there or is not, but whole.
    let store = open(&folder);
    store.sweep(at(0)).await.unwrap();
    whole::check(&store);
}

/// A key that is freed and claimed again, and an event that is forgotten and comes back, in one batch.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_may_come_back_in_the_same_batch() {
    let (folder, device) = (TempDir::new().unwrap(), Arc::new(TestDevice::default()));
    let store = device.open_store(&folder);
    let first_run = Append { claim: claiming(run(1), "k", "one").claim, ..ended_at(1, 0) };
    store.append(first_run).await.unwrap();
    store.put_event(kept("n", "e", 0, 10)).await.unwrap();
    device.close_gate();
    let before = device.until_sync(|| store.append(first(run(9))));
    let removed = store.write(Body::Remove(run(1)));
    let claimed = store.append(claiming(run(2), "k", "two"));
    let forgotten = store.write(Body::Forget(at(10)));
    let put = store.put_event(kept("n", "e", 5, 20));
    // What it is told to forget now is another one.
    let again = store.write(Body::Forget(at(10)));
    device.until_sync(|| device.let_one_through());
    before.await.unwrap();
    assert_eq!(store.claimed("k").await.unwrap(), Some((run(1), Digest::of(b"one"))));
    assert!(store.kept_events("n", anybody(), None, 10).await.unwrap().is_empty());
    device.open_gate();
    assert!(removed.await.unwrap());
    claimed.await.unwrap();
    assert!(!forgotten.await.unwrap(), "there is no more");
    assert!(put.await.unwrap());
    assert!(!again.await.unwrap(), "there is no more");
    assert_eq!(store.claimed("k").await.unwrap(), Some((run(2), Digest::of(b"two"))));
    assert_eq!(store.kept_events("n", anybody(), None, 10).await.unwrap(), [kept("n", "e", 5, 20)]);
    store.sweep(at(0)).await.unwrap();
    whole::check(&store);
}

/// Something that is done to a store.
#[derive(Debug, Clone)]
enum Act {
    Submit { key: usize, body: bool, over: bool },
    Wait { run: u64, name: usize, step: bool },
    Clear { run: u64, name: usize, step: bool },
    End { run: u64, at: i64 },
    Put { name: usize, id: usize, at: i64, until: i64 },
    Take { name: usize, id: usize, by: Option<u64> },
    Remove { runs: Vec<u64> },
    Sweep { now: i64 },
    Reopen,
}

const NAMES: [&str; 3] = ["n", "m", ""];
const TIMES: std::ops::Range<i64> = 0..8;

fn act() -> impl Strategy<Value = Act> {
    let (name, run) = (0..NAMES.len(), 1..10_u64);
    let wait = (run.clone(), name.clone(), any::<bool>());
    prop_oneof![
        5 => (name.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(key, body, over)| Act::Submit { key, body, over }),
        4 => wait.clone().prop_map(|(run, name, step)| Act::Wait { run, name, step }),
        2 => wait.prop_map(|(run, name, step)| Act::Clear { run, name, step }),
        2 => (run.clone(), TIMES).prop_map(|(run, at)| Act::End { run, at }),
        4 => (name.clone(), name.clone(), TIMES, TIMES)
            .prop_map(|(name, id, at, until)| Act::Put { name, id, at, until }),
        3 => (name.clone(), name, prop::option::of(run.clone()))
            .prop_map(|(name, id, by)| Act::Take { name, id, by }),
        3 => prop::collection::vec(run, 1..4).prop_map(|runs| Act::Remove { runs }),
        2 => TIMES.prop_map(|now| Act::Sweep { now }),
        1 => Just(Act::Reopen),
    ]
}

fn step_of(which: bool) -> &'static str {
    if which { "a" } else { "b" }
}

/// Does it; gives what a caller sees of it.
async fn perform(store: &SharedStore, act: &Act, begun: u64) -> String {
    match act {
        Act::Submit { key, body, over } => {
            let claimed = claiming(run(begun), NAMES[*key], if *body { "one" } else { "two" });
            let append = if *over { ended_at(begun, 0) } else { first(run(begun)) };
            format!("{:?}", store.append(Append { claim: claimed.claim, ..append }).await)
        }
        Act::Wait { run, name, step } => {
            go_on(store, *run, vec![set(NAMES[*name], step_of(*step), None)]).await
        }
        Act::Clear { run, name, step } => go_on(store, *run, vec![clear(NAMES[*name], step_of(*step))]).await,
        Act::End { run: n, at: seconds } => match store.summary(run(*n)).await.unwrap() {
            Some(summary) if !summary.status.is_final() => {
                let ended =
                    Append { summary: ended_at(*n, *seconds).summary, ..append(run(*n), summary.seq, 1) };
                let summary = RunSummary { seq: summary.seq + 1, ..ended.summary.clone() };
                format!("{:?}", store.append(Append { summary, ..ended }).await)
            }
            _ => String::new(),
        },
        Act::Put { name, id, at, until } => {
            format!("{:?}", store.put_event(kept(NAMES[*name], NAMES[*id], *at, *until)).await)
        }
        Act::Take { name, id, by } => {
            let by = by.map_or(Taken::All, |n| Taken::Run(run(n)));
            format!("{:?}", store.take_event(NAMES[*name], NAMES[*id], by).await)
        }
        Act::Remove { runs } => {
            format!("{:?}", store.remove_runs(runs.iter().copied().map(run).collect()).await)
        }
        Act::Sweep { now } => format!("{:?}", store.sweep(at(*now)).await),
        Act::Reopen => String::new(),
    }
}

/// Changes the waits of a run that is there and has not ended.
async fn go_on(store: &SharedStore, n: u64, waits: Vec<WaitChange>) -> String {
    match store.summary(run(n)).await.unwrap() {
        Some(summary) if !summary.status.is_final() => {
            format!("{:?}", store.append(changing(n, summary.seq, waits)).await)
        }
        _ => String::new(),
    }
}

/// All that can be read, in an order that no backend chooses.
async fn seen(store: &SharedStore) -> String {
    let mut seen = Vec::new();
    for name in NAMES {
        let mut waits = store.waits(name, None, 100).await.unwrap();
        waits.sort_by_key(|waiter| (waiter.run, waiter.step.clone()));
        let mut events = store.kept_events(name, anybody(), None, 100).await.unwrap();
        assert!(events.is_sorted_by_key(|event| event.at));
        events.sort_by_key(|event| (event.at, event.id.clone()));
        seen.push(format!("{:?} {waits:?} {events:?}", store.claimed(name).await.unwrap()));
        for (n, since) in [(1, 3), (2, 100)] {
            let looker = Looker { run: run(n), since: at(since) };
            let mut events = store.kept_events(name, looker, None, 100).await.unwrap();
            events.sort_by_key(|event| (event.at, event.id.clone()));
            seen.push(format!("{events:?}"));
        }
    }
    let finished = store.oldest_finished(at(5), 100).await.unwrap();
    seen.push(format!("{finished:?} {}", store.finished_count().await.unwrap()));
    seen.join("\n")
}

impl alike::Act for Act {
    type Seen = String;

    fn begins(&self) -> bool {
        matches!(self, Self::Submit { .. })
    }

    fn reopens(&self) -> bool {
        matches!(self, Self::Reopen)
    }

    async fn perform(&self, store: &SharedStore, begun: u64) -> String {
        perform(store, self, begun).await
    }

    async fn seen(store: &SharedStore) -> String {
        seen(store).await
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_disk_keeps_the_signals_that_memory_keeps(acts in prop::collection::vec(act(), 1..40)) {
        alike::check(acts);
    }
}
