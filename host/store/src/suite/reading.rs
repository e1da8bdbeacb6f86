//! Reading one run.

use jiff::Timestamp;
use stepcell_core::{Event, EventKind, Json, StepId, event::Payload, event::RunSucceeded};

use crate::{
    Append, RunStatus, RunSummary, SharedStore,
    suite::{append, at, event, first, run, step, summary},
};

pub async fn events_come_in_pages(store: &SharedStore) {
    for seq in 0..25 {
        store.append(append(run(1), seq, 1)).await.unwrap();
    }
    check_pages(store, 25, 10).await;
    assert!(store.events(run(1), 0, 0).await.unwrap().is_empty());
    assert!(store.events(run(1), 25, 10).await.unwrap().is_empty());
    assert!(store.events(run(1), u64::MAX, 10).await.unwrap().is_empty());
}

pub async fn pages_start_within_an_append(store: &SharedStore) {
    store.append(append(run(1), 0, 7)).await.unwrap();
    store.append(append(run(1), 7, 200)).await.unwrap();
    store.append(append(run(1), 207, 1)).await.unwrap();
    for size in [1, 3, 7, 8, 50, 208, 1000] {
        check_pages(store, 208, size).await;
    }
}

pub async fn no_such_run_has_nothing(store: &SharedStore) {
    // The neighbours of the run that is asked for.
    store.append(first(run(1))).await.unwrap();
    store.append(first(run(3))).await.unwrap();
    assert!(store.events(run(2), 0, 10).await.unwrap().is_empty());
    assert_eq!(store.summary(run(2)).await.unwrap(), None);
}

pub async fn events_come_back_as_they_were(store: &SharedStore) {
    let output = Payload::Value(Json::parse(r#"{"a": [1.50, "ü\u0000\n"], "b": 1e3}"#.to_owned()).unwrap());
    let item = step("m").item(3, Some(&StepId::new("x").unwrap()));
    let events = vec![
        Event { seq: 1, at: Timestamp::MIN, step: None, kind: EventKind::RunStarted },
        Event { seq: 2, at: Timestamp::MAX, step: Some(item), kind: EventKind::StepCancelled },
        Event { seq: 3, at: at(1), step: None, kind: EventKind::RunSucceeded(RunSucceeded { output }) },
    ];
    let appended = Append { events: events.clone(), ..append(run(1), 0, 3) };
    store.append(appended).await.unwrap();
    assert_eq!(store.events(run(1), 0, 10).await.unwrap(), events);
}

pub async fn large_events_come_back_whole(store: &SharedStore) {
    // Around the sizes at which a backend may split or move what it keeps.
    for (n, size) in (1..).zip([3_900, 4_096, 8_192, 60_000, 65_536, 70_000, 300_000, 3 << 20]) {
        let text: String = (0..size).map(|i| char::from(b'a' + (i % 23) as u8)).collect();
        let events = vec![event(1, "small"), event(2, &text), event(3, "last")];
        store.append(Append { events: events.clone(), ..append(run(n), 0, 3) }).await.unwrap();
        store.append(append(run(n), 3, 1)).await.unwrap();
        let read = store.events(run(n), 1, 2).await.unwrap();
        assert!(read == events[1..], "{size} bytes come back as others");
        assert_eq!(store.events(run(n), 3, 10).await.unwrap(), append(run(n), 3, 1).events);
    }
}

pub async fn the_summary_is_that_of_the_last_append(store: &SharedStore) {
    store.append(first(run(1))).await.unwrap();
    assert_eq!(store.summary(run(1)).await.unwrap(), Some(summary(1)));
    let last = RunSummary { status: RunStatus::Failed, finished_at: Some(at(9)), ..summary(2) };
    store.append(Append { summary: last.clone(), ..append(run(1), 1, 1) }).await.unwrap();
    assert_eq!(store.summary(run(1)).await.unwrap(), Some(last));
}

/// Reads run 1, which has `count` events, page by page.
async fn check_pages(store: &SharedStore, count: u64, size: usize) {
    let mut read: Vec<Event> = Vec::new();
    loop {
        let after = read.last().map_or(0, |event| event.seq);
        let page = store.events(run(1), after, size).await.unwrap();
        assert!(page.len() == size || after + page.len() as u64 == count, "page of {} of {size}", page.len());
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert!(read == append(run(1), 0, count).events, "pages of {size}");
}
