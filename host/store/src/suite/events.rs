//! Kept events.

use futures_util::future::join_all;
use jiff::Timestamp;
use stepcell_core::Json;

use crate::{
    Error, KeptEvent, Looker, SharedStore, Taken,
    kept::{LABEL_BYTES_MAX, PAYLOAD_BYTES_MAX},
    suite::{at, run},
};

pub async fn an_event_is_kept_once(store: &SharedStore) {
    let event = KeptEvent { by: Some("me".to_owned()), ..kept("paid", "1", 5, 100) };
    assert!(store.put_event(event.clone()).await.unwrap());
    assert!(!store.put_event(KeptEvent { by: None, ..kept("paid", "1", 6, 200) }).await.unwrap());
    assert_eq!(store.kept_events("paid", anybody(), None, 10).await.unwrap(), [event]);
    // The same id under another name is another event.
    assert!(store.put_event(kept("sent", "1", 5, 100)).await.unwrap());
    let together = (0..20).map(|_| store.put_event(kept("paid", "2", 7, 100)));
    let new = join_all(together).await.into_iter().filter(|put| *put.as_ref().unwrap()).count();
    assert_eq!(new, 1);
    check(store, "paid", &["1", "2"]).await;
}

pub async fn events_come_oldest_first_and_in_pages(store: &SharedStore) {
    for n in 0..30 {
        let seconds = (n * 7) % 30 - 10;
        store.put_event(kept("n", &format!("at {seconds}"), seconds, 100)).await.unwrap();
        store.put_event(kept("other", &format!("at {seconds}"), seconds, 100)).await.unwrap();
    }
    let expected: Vec<String> = (-10..20).map(|seconds| format!("at {seconds}")).collect();
    for limit in [1, 7, 30, 100] {
        assert_eq!(found_by(store, anybody(), limit).await, expected, "{limit}");
    }
    assert!(store.kept_events("n", anybody(), None, 0).await.unwrap().is_empty());
}

pub async fn events_of_the_same_instant_are_all_found(store: &SharedStore) {
    for n in 0..10 {
        store.put_event(kept("n", &format!("e{n}"), 1, 100)).await.unwrap();
    }
    let whole = store.kept_events("n", anybody(), None, 100).await.unwrap();
    assert_eq!(whole.len(), 10);
    for (n, event) in whole.iter().enumerate() {
        let rest = store.kept_events("n", anybody(), Some((event.at, event.id.clone())), 100).await.unwrap();
        assert_eq!(rest, whole[n + 1..]);
    }
}

pub async fn an_event_is_found_by_its_name_and_id(store: &SharedStore) {
    let events = [kept("n", "e", 0, 10), kept("n", "f", 0, 10), kept("m", "e", 5, 10)];
    for event in &events {
        store.put_event(event.clone()).await.unwrap();
    }
    for event in events {
        assert_eq!(store.kept_event(&event.name, &event.id).await.unwrap(), Some(event));
    }
    assert_eq!(store.kept_event("m", "f").await.unwrap(), None);
    assert_eq!(store.kept_event("", "e").await.unwrap(), None);
    store.take_event("n", "e", Taken::All).await.unwrap();
    let taken = KeptEvent { taken: Taken::All, ..kept("n", "e", 0, 10) };
    assert_eq!(store.kept_event("n", "e").await.unwrap(), Some(taken));
    store.sweep(at(10)).await.unwrap();
    assert_eq!(store.kept_event("n", "e").await.unwrap(), None);
}

pub async fn a_run_finds_what_it_may_have(store: &SharedStore) {
    let (mine, other) = (Taken::Run(run(1)), Taken::Run(run(2)));
    let takers = [Taken::Nobody, Taken::All, other, mine, Taken::Nobody, Taken::All, other, mine];
    for (n, taken) in (0..).zip(takers) {
        let event = kept("n", &format!("e{n}"), n, 100);
        match taken {
            // Both ways to get there.
            Taken::All => assert!(store.put_event(KeptEvent { taken, ..event.clone() }).await.unwrap()),
            _ => {
                store.put_event(event.clone()).await.unwrap();
                assert!(store.take_event("n", &event.id, taken).await.unwrap());
            }
        }
        store.put_event(kept("other", &event.id, n, 100)).await.unwrap();
    }
    let ids = |ids: &[u64]| ids.iter().map(|n| format!("e{n}")).collect::<Vec<_>>();
    let looks =
        [(-1, vec![0, 1, 2, 3, 4, 5, 6, 7]), (2, vec![0, 2, 3, 4, 5, 6, 7]), (4, vec![0, 3, 4, 5, 6, 7])];
    for (since, expected) in looks.into_iter().chain([(6, vec![0, 3, 4, 6, 7]), (100, vec![0, 3, 4, 7])]) {
        let looker = Looker { run: run(1), since: at(since) };
        for limit in 1..10 {
            assert_eq!(found_by(store, looker, limit).await, ids(&expected), "{since} {limit}");
        }
    }
    store.take_event("n", "e0", Taken::All).await.unwrap();
    store.take_event("n", "e4", other).await.unwrap();
    store.sweep(at(0)).await.unwrap();
    let late = |n| Looker { run: run(n), since: at(100) };
    assert_eq!(found_by(store, late(1), 2).await, ids(&[3, 7]));
    assert_eq!(found_by(store, late(2), 2).await, ids(&[2, 4, 6]));
    assert!(found_by(store, late(3), 2).await.is_empty());
    store.sweep(at(100)).await.unwrap();
    assert!(found_by(store, anybody(), 2).await.is_empty());
}

/// The ids of all that a run finds, page by page.
async fn found_by(store: &SharedStore, looker: Looker, limit: usize) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.kept_events("n", looker, after, limit).await.unwrap();
        assert!(page.len() <= limit);
        after = page.last().map(|last: &KeptEvent| (last.at, last.id.clone()));
        found.extend(page.into_iter().map(|event| event.id));
        if after.is_none() {
            return found;
        }
    }
}

pub async fn one_of_many_takes_an_event(store: &SharedStore) {
    store.put_event(kept("n", "e", 0, 100)).await.unwrap();
    let takers = (1..=20).map(|n| store.take_event("n", "e", Taken::Run(run(n))));
    let taken: Vec<bool> = join_all(takers).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1, "{taken:?}");
    let winner = (1..).zip(taken).find(|(_, taken)| *taken).map(|(n, _)| Taken::Run(run(n))).unwrap();
    assert_eq!(store.kept_events("n", anybody(), None, 10).await.unwrap()[0].taken, winner);
    assert!(store.take_event("n", "e", winner).await.unwrap(), "who has it may ask again");
    assert!(!store.take_event("n", "e", Taken::All).await.unwrap());
    assert!(!store.take_event("n", "e", Taken::Nobody).await.unwrap());
}

pub async fn an_event_that_all_have_taken_is_nobodys(store: &SharedStore) {
    store.put_event(KeptEvent { taken: Taken::All, ..kept("n", "all", 0, 100) }).await.unwrap();
    assert!(!store.take_event("n", "all", Taken::Run(run(1))).await.unwrap());
    assert!(store.take_event("n", "all", Taken::All).await.unwrap());
    assert!(!store.take_event("n", "unknown", Taken::All).await.unwrap());
    assert!(!store.take_event("unknown", "all", Taken::All).await.unwrap());
    check(store, "n", &["all"]).await;
}

pub async fn an_event_is_kept_until_its_time_is_over(store: &SharedStore) {
    for (id, seconds, until) in [("a", 0, 10), ("b", 1, 20), ("c", 2, 30)] {
        store.put_event(kept("n", id, seconds, until)).await.unwrap();
    }
    store.take_event("n", "b", Taken::Run(run(1))).await.unwrap();
    store.sweep(at(9)).await.unwrap();
    check(store, "n", &["a", "b", "c"]).await;
    store.sweep(at(20)).await.unwrap();
    check(store, "n", &["c"]).await;
    assert!(!store.take_event("n", "b", Taken::Run(run(1))).await.unwrap());
    // It can come back, and has woken nobody.
    assert!(store.put_event(kept("n", "b", 0, 40)).await.unwrap());
    assert!(store.take_event("n", "b", Taken::Run(run(2))).await.unwrap());
    store.sweep(at(40)).await.unwrap();
    check(store, "n", &[]).await;
    let syncs = store.syncs();
    store.sweep(at(41)).await.unwrap();
    assert_eq!(store.syncs(), syncs, "there is nothing to do");
}

pub async fn payloads_of_all_sizes_come_back(store: &SharedStore) {
    for size in [4, 100, 4_000, 5_000, 60_000, PAYLOAD_BYTES_MAX] {
        let name = size.to_string();
        let event = KeptEvent { payload: text_of(size), ..kept(&name, "e", 0, 10) };
        assert!(store.put_event(event.clone()).await.unwrap());
        assert_eq!(store.kept_events(&name, anybody(), None, 10).await.unwrap(), [event], "{size}");
        store.sweep(at(10)).await.unwrap();
        check(store, &name, &[]).await;
    }
}

pub async fn an_event_that_is_too_large_is_refused(store: &SharedStore) {
    let long = "x".repeat(LABEL_BYTES_MAX + 1);
    let event = kept("n", "e", 0, 10);
    let payload = text_of(PAYLOAD_BYTES_MAX + 1);
    for (what, refused) in [
        ("payload", KeptEvent { payload, ..event.clone() }),
        ("name", KeptEvent { name: long.clone(), ..event.clone() }),
        ("id", KeptEvent { id: long.clone(), ..event.clone() }),
        ("sender", KeptEvent { by: Some(long.clone()), ..event.clone() }),
    ] {
        match store.put_event(refused).await {
            Err(Error::EventTooLarge { what: found, .. }) => assert_eq!(found, what),
            other => panic!("{other:?}"),
        }
    }
    check(store, "n", &[]).await;
}

pub async fn a_flood_of_events_is_forgotten_in_one_sweep(store: &SharedStore) {
    let sizes = [10, 100, 9_000].into_iter().cycle();
    let queued: Vec<_> = (0..1_500)
        .zip(sizes)
        .map(|(n, size)| {
            let event = kept("n", &n.to_string(), n, 2_000);
            store.put_event(KeptEvent { payload: text_of(size), ..event })
        })
        .collect();
    for put in queued {
        assert!(put.await.unwrap());
    }
    store.put_event(kept("n", "stays", 5_000, 6_000)).await.unwrap();
    store.sweep(at(2_000)).await.unwrap();
    check(store, "n", &["stays"]).await;
}

/// An event that came and is forgotten at these seconds.
pub fn kept(name: &str, id: &str, seconds: i64, until: i64) -> KeptEvent {
    KeptEvent {
        name: name.to_owned(),
        id: id.to_owned(),
        at: at(seconds),
        until: at(until),
        payload: text_of(id.len() + 2),
        by: None,
        taken: Taken::Nobody,
    }
}

/// A run that was there before all events.
pub fn anybody() -> Looker {
    Looker { run: run(0), since: Timestamp::MIN }
}

/// A text that has so many bytes as JSON.
fn text_of(bytes: usize) -> Json {
    Json::parse(format!("\"{}\"", "x".repeat(bytes - 2))).unwrap()
}

async fn check(store: &SharedStore, name: &str, expected: &[&str]) {
    let found = store.kept_events(name, anybody(), None, 100).await.unwrap();
    assert_eq!(found.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), expected);
}
