//! Timers.

use jiff::{SignedDuration, Timestamp};
use stepcell_core::StepId;

use crate::{
    Append, SharedStore, Timer, TimerChange,
    suite::{append, at, first, run, step, with_timers},
};

pub async fn due_timers_come_earliest_first(store: &SharedStore) {
    assert_eq!(store.next_timer().await.unwrap(), None);
    for (n, seconds) in [(1, 30), (2, 10), (3, 20), (4, -2_000_000_000)] {
        store.append(with_timers(run(n), 0, vec![set("a", at(seconds))])).await.unwrap();
    }
    assert_eq!(store.next_timer().await.unwrap(), Some(at(-2_000_000_000)));
    let expected = [timer(4, "a", at(-2_000_000_000)), timer(2, "a", at(10)), timer(3, "a", at(20))];
    assert_eq!(store.due_timers(at(20), 10).await.unwrap(), expected);
    assert_eq!(store.due_timers(at(20), 2).await.unwrap(), expected[..2]);
    assert_eq!(store.due_timers(at(1000), 10).await.unwrap().len(), 4);
    assert!(store.due_timers(Timestamp::MIN, 10).await.unwrap().is_empty());
}

pub async fn a_timer_is_due_to_the_nanosecond(store: &SharedStore) {
    let nano = SignedDuration::from_nanos(1);
    let due = at(5) + SignedDuration::from_nanos(123_456_789);
    store.append(with_timers(run(1), 0, vec![set("a", due)])).await.unwrap();
    assert!(store.due_timers(due - nano, 10).await.unwrap().is_empty());
    assert_eq!(store.due_timers(due, 10).await.unwrap(), [timer(1, "a", due)]);
    let old = Timestamp::UNIX_EPOCH - nano;
    store.append(with_timers(run(2), 0, vec![set("a", old)])).await.unwrap();
    assert_eq!(store.next_timer().await.unwrap(), Some(old));
}

pub async fn a_timer_stays_until_it_is_cleared(store: &SharedStore) {
    store.append(with_timers(run(1), 0, vec![set("a", at(1))])).await.unwrap();
    for _ in 0..2 {
        assert_eq!(store.due_timers(at(1), 10).await.unwrap(), [timer(1, "a", at(1))]);
    }
    store.append(append(run(1), 1, 1)).await.unwrap();
    assert_eq!(store.next_timer().await.unwrap(), Some(at(1)));
    store.append(with_timers(run(1), 2, vec![clear("a", at(2))])).await.unwrap();
    assert_eq!(store.next_timer().await.unwrap(), Some(at(1)));
    store.append(with_timers(run(1), 3, vec![clear("a", at(1))])).await.unwrap();
    assert_eq!(store.next_timer().await.unwrap(), None);
    assert!(store.due_timers(at(1), 10).await.unwrap().is_empty());
}

pub async fn an_append_sets_and_clears_at_once(store: &SharedStore) {
    store.append(with_timers(run(1), 0, vec![set("a", at(1)), set("b", at(2))])).await.unwrap();
    let both = vec![clear("a", at(1)), set("a", at(3)), set("c", at(4)), clear("c", at(4))];
    store.append(with_timers(run(1), 1, both)).await.unwrap();
    let expected = [timer(1, "b", at(2)), timer(1, "a", at(3))];
    assert_eq!(store.due_timers(at(100), 10).await.unwrap(), expected);
}

pub async fn timers_of_a_refused_append_are_not_set(store: &SharedStore) {
    store.append(first(run(1))).await.unwrap();
    let stale = Append { timers: vec![set("a", at(1))], ..append(run(1), 0, 1) };
    assert!(store.append(stale).await.is_err());
    assert_eq!(store.next_timer().await.unwrap(), None);
}

pub async fn items_of_a_fan_out_have_their_own(store: &SharedStore) {
    let fan_out = step("m");
    let item = fan_out.item(0, Some(&step("x")));
    let long = StepId::new(&"s".repeat(64)).unwrap().item(usize::MAX, Some(&step("x")));
    let ids = [fan_out, item, long];
    let timers = ids.iter().map(|step| TimerChange::Set { step: Some(step.clone()), due: at(1) }).collect();
    store.append(with_timers(run(1), 0, timers)).await.unwrap();
    let due = store.due_timers(at(1), 10).await.unwrap();
    let mut found: Vec<StepId> = due.into_iter().filter_map(|timer| timer.step).collect();
    found.sort();
    let mut expected = ids.to_vec();
    expected.sort();
    assert_eq!(found, expected);
}

pub async fn a_run_has_a_timer_of_its_own(store: &SharedStore) {
    let of_run = |due| TimerChange::Set { step: None, due };
    store.append(with_timers(run(1), 0, vec![of_run(at(5)), set("a", at(5))])).await.unwrap();
    let due = store.due_timers(at(5), 10).await.unwrap();
    assert_eq!(due.len(), 2);
    assert!(
        due.contains(&timer(1, "a", at(5))) && due.contains(&Timer { step: None, ..timer(1, "a", at(5)) })
    );
    store.append(with_timers(run(1), 1, vec![clear("a", at(5)), of_run(at(7))])).await.unwrap();
    let steps: Vec<_> =
        store.due_timers(at(9), 10).await.unwrap().into_iter().map(|t| (t.due, t.step)).collect();
    assert_eq!(steps, [(at(5), None), (at(7), None)]);
    let clear = |due| TimerChange::Clear { step: None, due };
    store.append(with_timers(run(1), 2, vec![clear(at(5)), clear(at(7))])).await.unwrap();
    assert_eq!(store.next_timer().await.unwrap(), None);
}

fn set(id: &str, due: Timestamp) -> TimerChange {
    TimerChange::Set { step: Some(step(id)), due }
}

fn clear(id: &str, due: Timestamp) -> TimerChange {
    TimerChange::Clear { step: Some(step(id)), due }
}

fn timer(n: u64, id: &str, due: Timestamp) -> Timer {
    Timer { due, run: run(n), step: Some(step(id)) }
}
