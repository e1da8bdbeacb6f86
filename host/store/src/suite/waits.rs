//! Who waits for which name.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};
use stepcell_core::{RunId, StepId};
use tokio::task::JoinSet;

use crate::{
    Append, RunStatus, RunSummary, SharedStore, Taken, WaitChange, Waiter,
    suite::{
        append, at, ended,
        events::{anybody, kept},
        first, run, step, summary,
    },
};

pub async fn who_waits_is_found_by_name(store: &SharedStore) {
    assert!(store.waits("paid", None, 10).await.unwrap().is_empty());
    let order = json!({"id": 7});
    store.append(waiting(2, vec![set("paid", "a", None)])).await.unwrap();
    store.append(waiting(1, vec![set("paid", "a", Some(&order)), set("sent", "b", None)])).await.unwrap();
    store.append(first(run(3))).await.unwrap();
    let expected = [waiter(1, "a", Some(order)), waiter(2, "a", None)];
    assert_eq!(store.waits("paid", None, 10).await.unwrap(), expected);
    assert_eq!(store.waits("sent", None, 10).await.unwrap(), [waiter(1, "b", None)]);
    assert!(store.waits("", None, 10).await.unwrap().is_empty());
}

pub async fn waits_come_in_pages(store: &SharedStore) {
    const RUNS: u64 = 7;
    for n in 1..=RUNS {
        let steps = (0..n).map(|item| WaitChange::Set {
            name: "n".to_owned(),
            step: step("m").item(item as usize, None),
            matching: None,
        });
        store.append(waiting(n, steps.collect())).await.unwrap();
        store.append(waiting(100 + n, vec![set("other", "a", None)])).await.unwrap();
    }
    for limit in [1, 2, 5, 100] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.waits("n", after, limit).await.unwrap();
            assert!(page.len() <= limit);
            after = page.last().map(|last: &Waiter| (last.run, last.step.clone()));
            found.extend(page.into_iter().map(|waiter| (waiter.run, waiter.step)));
            if after.is_none() {
                break;
            }
        }
        assert!(found.is_sorted_by_key(|(run, _)| *run));
        let whole: BTreeSet<(RunId, StepId)> = found.iter().cloned().collect();
        assert_eq!((found.len(), whole.len()), (28, 28), "{limit}");
    }
}

pub async fn a_wait_ends_where_it_is_cleared(store: &SharedStore) {
    store.append(waiting(1, vec![set("n", "a", None), set("n", "b", None)])).await.unwrap();
    check(store, "n", &[(1, "a"), (1, "b")]).await;
    store.append(changing(1, 1, vec![clear("n", "a"), clear("n", "never"), clear("m", "b")])).await.unwrap();
    check(store, "n", &[(1, "b")]).await;
    // In order: what comes last counts.
    let both = vec![clear("n", "b"), set("n", "b", None), set("n", "c", None), clear("n", "c")];
    store.append(changing(1, 2, both)).await.unwrap();
    check(store, "n", &[(1, "b")]).await;
    store.append(changing(1, 3, vec![set("n", "a", None), clear("n", "b")])).await.unwrap();
    check(store, "n", &[(1, "a")]).await;
}

pub async fn a_wait_that_is_set_again_takes_its_place(store: &SharedStore) {
    let (old, new) = (json!("old"), json!(["new"]));
    store.append(waiting(1, vec![set("n", "a", Some(&old))])).await.unwrap();
    store.append(changing(1, 1, vec![set("n", "a", Some(&new))])).await.unwrap();
    assert_eq!(store.waits("n", None, 10).await.unwrap(), [waiter(1, "a", Some(new))]);
}

pub async fn waits_of_a_refused_append_are_not_set(store: &SharedStore) {
    store.append(waiting(1, vec![set("n", "a", None)])).await.unwrap();
    let stale = changing(1, 0, vec![set("n", "b", None), clear("n", "a")]);
    assert!(store.append(stale).await.is_err());
    check(store, "n", &[(1, "a")]).await;
}

pub async fn what_is_too_large_to_match_is_left_to_the_log(store: &SharedStore) {
    for (n, bytes) in (1..).zip([1_000, 3_000, 5_000, 100_000]) {
        let matching = json!({"text": "x".repeat(bytes)});
        store.append(waiting(n, vec![set("n", "a", Some(&matching))])).await.unwrap();
        let found = store.waits("n", Some((run(n - 1), step("a"))), 1).await.unwrap();
        // A backend may have no limit.
        let expected = if found[0].large { None } else { Some(matching) };
        assert_eq!(found, [Waiter { large: found[0].large, ..waiter(n, "a", expected) }]);
        assert!(bytes > 1_000 || !found[0].large, "{bytes} bytes are not large");
    }
}

pub async fn a_removed_run_waits_for_nothing(store: &SharedStore) {
    let many = (0..1_500).map(|n| set("n", &format!("s{n}"), None)).collect();
    store.append(waiting(1, many)).await.unwrap();
    let last = RunSummary { status: RunStatus::Cancelled, ..summary(2) };
    store.append(Append { summary: last, ..append(run(1), 1, 1) }).await.unwrap();
    store.append(waiting(2, vec![set("n", "a", None)])).await.unwrap();
    store.append(ended(run(3), vec![])).await.unwrap();
    assert_eq!(store.remove_runs(vec![run(1), run(3)]).await.unwrap(), 2);
    check(store, "n", &[(2, "a")]).await;
}

/// Somebody keeps an event and then looks who waits; somebody waits and then looks what is kept.
pub async fn who_waits_and_who_sends_do_not_miss_each_other(store: &SharedStore) {
    const ROUNDS: u64 = 40;
    let mut rounds = JoinSet::new();
    for n in 1..=ROUNDS {
        let (sender, receiver) = (Arc::clone(store), Arc::clone(store));
        let name = format!("n{n}");
        let sending = {
            let name = name.clone();
            tokio::spawn(async move {
                assert!(sender.put_event(kept(&name, "e", 0, 10)).await.unwrap());
                !sender.waits(&name, None, 10).await.unwrap().is_empty()
            })
        };
        rounds.spawn(async move {
            receiver.append(waiting(n, vec![set(&name, "a", None)])).await.unwrap();
            let found = !receiver.kept_events(&name, anybody(), None, 10).await.unwrap().is_empty();
            (found, sending.await.unwrap())
        });
    }
    while let Some(round) = rounds.join_next().await {
        let (found, told) = round.unwrap();
        assert!(found || told, "they have missed each other");
    }
    assert!(store.take_event("n1", "e", Taken::All).await.unwrap());
    store.sweep(at(10)).await.unwrap();
}

/// The first event of run `n`, and these waits.
pub fn waiting(n: u64, waits: Vec<WaitChange>) -> Append {
    changing(n, 0, waits)
}

/// One more event, and these waits.
pub fn changing(n: u64, expected: u64, waits: Vec<WaitChange>) -> Append {
    Append { waits, ..append(run(n), expected, 1) }
}

pub fn set(name: &str, id: &str, matching: Option<&Value>) -> WaitChange {
    WaitChange::Set { name: name.to_owned(), step: step(id), matching: matching.cloned() }
}

pub fn clear(name: &str, id: &str) -> WaitChange {
    WaitChange::Clear { name: name.to_owned(), step: step(id) }
}

fn waiter(n: u64, id: &str, matching: Option<Value>) -> Waiter {
    Waiter { run: run(n), step: step(id), matching, large: false }
}

async fn check(store: &SharedStore, name: &str, expected: &[(u64, &str)]) {
    let found = store.waits(name, None, 100).await.unwrap();
    let found: BTreeSet<_> = found.into_iter().map(|waiter| (waiter.run, waiter.step)).collect();
    assert_eq!(found, expected.iter().map(|(n, id)| (run(*n), step(id))).collect());
}
