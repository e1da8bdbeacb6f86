use std::sync::atomic::Ordering::SeqCst;

use super::{watched::WatchedStore, *};
use crate::{Delivered, Error, Incoming};

fn event(payload: Value) -> Incoming {
    Incoming { payload: Json::from(payload), id: None, by: None, keep: None }
}

fn with_id(id: &str, payload: Value) -> Incoming {
    Incoming { id: Some(id.to_owned()), ..event(payload) }
}

fn waits_for(matching: Value) -> String {
    flow("w", "signal", &json!({"name": "paid", "match": matching}))
}

impl Host {
    async fn send(&self, incoming: Incoming) -> Delivered {
        self.engine.send_event("paid", incoming).await.unwrap()
    }

    async fn parked(&self, flow: &str) -> RunId {
        let run = self.submit(flow).await;
        self.parks(run).await;
        run
    }

    async fn payload_of(&self, run: RunId) -> Value {
        let view = self.ends(run).await;
        assert_eq!(view.status, RunStatus::Succeeded, "{view:?}");
        view.steps["a"].output.as_ref().unwrap().value()["payload"].clone()
    }
}

#[tokio::test]
async fn an_event_wakes_all_that_match_and_says_how_many() {
    let host = Host::new().await;
    let mut matching = Vec::new();
    for _ in 0..3 {
        matching.push(host.parked(&waits_for(json!({"order": {"id": 1}}))).await);
    }
    let other = host.parked(&waits_for(json!({"order": {"id": 2}}))).await;
    let sent = json!({"order": {"id": 1, "net": 5}});
    let delivered = host.send(Incoming { by: Some("shop".to_owned()), ..with_id("e1", sent.clone()) }).await;
    assert_eq!((delivered.event.as_str(), delivered.id.as_str(), delivered.woken), ("paid", "e1", 3));
    for run in matching {
        let view = host.ends(run).await;
        let signal = view.steps["a"].output.as_ref().unwrap().value().clone();
        assert_eq!(
            (&signal["kind"], &signal["payload"], &signal["by"]),
            (&json!("signal"), &sent, &json!("shop"))
        );
        let log = host.engine.events(run, 0, 100).await.unwrap();
        let heard = log.iter().find_map(|event| match &event.kind {
            EventKind::StepResumed(resumed) => resumed.event.as_deref(),
            _ => None,
        });
        assert_eq!(heard, Some("e1"));
    }
    host.has(other, RunStatus::Waiting).await;
}

#[tokio::test]
async fn an_event_can_come_before_the_wait() {
    let host = Host::new().await;
    let delivered = host.send(event(json!({"n": 1}))).await;
    assert_eq!(delivered.woken, 0);
    assert!(delivered.kept_until.unwrap() > Timestamp::now());
    let run = host.submit(&waits_for(json!({"n": 1}))).await;
    assert_eq!(host.payload_of(run).await, json!({"n": 1}));
    // It was for the first that came to wait.
    host.parked(&waits_for(json!({"n": 1}))).await;
}

#[tokio::test]
async fn an_event_that_woke_somebody_is_not_for_later_runs() {
    let host = Host::new().await;
    let first = host.parked(&waits_for(json!({}))).await;
    assert_eq!(host.send(event(json!(1).clone())).await.woken, 0);
    assert_eq!(host.send(event(json!({"n": 1}))).await.woken, 1);
    host.ends(first).await;
    let run = host.submit(&waits_for(json!({}))).await;
    host.parks(run).await;
}

#[tokio::test]
async fn a_run_that_was_there_gets_it_also_where_others_were_woken() {
    let host = Host::new().await;
    let flow = "
name: l
steps:
  - { id: g, type: gate, config: {} }
  - { id: a, type: signal, after: g, config: { name: paid } }
";
    let late = host.submit(flow).await;
    let waiting = host.parked(&waits_for(json!({}))).await;
    assert_eq!(host.send(event(json!({"n": 1}))).await.woken, 1);
    host.ends(waiting).await;
    host.open();
    assert_eq!(host.payload_of(late).await, json!({"n": 1}));
}

#[tokio::test]
async fn an_event_counts_once_in_a_run() {
    let host = Host::new().await;
    let flow = "
name: t
steps:
  - { id: a, type: signal, config: { name: paid } }
  - { id: b, type: signal, after: a, config: { name: paid } }
";
    let run = host.parked(flow).await;
    assert_eq!(host.send(with_id("e1", json!(1))).await.woken, 1);
    host.has(run, RunStatus::Waiting).await;
    // The second step finds it in the store and leaves it there; so it does when it is sent again.
    assert_eq!(host.send(with_id("e1", json!(1))).await.woken, 0);
    host.parks(run).await;
    assert_eq!(host.engine.show(run).await.unwrap().steps["b"].status.to_string(), "waiting");
    assert_eq!(host.send(with_id("e2", json!(2))).await.woken, 1);
    let view = host.ends(run).await;
    assert_eq!(view.steps["b"].output.as_ref().unwrap().value()["payload"], 2);
}

#[tokio::test]
async fn two_steps_of_a_run_take_one_event_each() {
    let host = Host::new().await;
    let flow = "
name: t
steps:
  - { id: a, type: signal, config: { name: paid } }
  - { id: b, type: signal, config: { name: paid } }
";
    let run = host.parked(flow).await;
    assert_eq!(host.send(event(json!(1))).await.woken, 1);
    assert_eq!(host.send(event(json!(2))).await.woken, 1);
    let view = host.ends(run).await;
    let mut payloads: Vec<_> = ["a", "b"]
        .iter()
        .map(|id| view.steps[*id].output.as_ref().unwrap().value()["payload"].as_u64())
        .collect();
    payloads.sort();
    assert_eq!(payloads, [Some(1), Some(2)]);
}

#[tokio::test]
async fn the_same_event_again_is_the_same_and_wakes_nobody_twice() {
    let host = Host::new().await;
    let run = host.parked(&waits_for(json!({}))).await;
    let first = host.send(with_id("e1", json!({"n": 1}))).await;
    host.ends(run).await;
    let next = host.parked(&waits_for(json!({}))).await;
    let again = Delivered { woken: 0, ..first };
    assert_eq!(host.send(with_id("e1", json!({"n": 2}))).await, again);
    host.has(next, RunStatus::Waiting).await;
    assert_eq!(host.engine.counts().events_taken, 1);
    let host = host.restart(Admission::default()).await;
    assert_eq!(host.send(with_id("e1", json!({"n": 3}))).await, again);
    host.has(next, RunStatus::Waiting).await;
}

#[tokio::test]
async fn an_event_reaches_those_that_a_crash_kept_it_from() {
    let host = Host::new().await;
    let run = host.parked(&waits_for(json!({}))).await;
    // It was kept, and the host stopped before anybody was woken: its sender has no answer and sends it again.
    let event = stepcell_store::KeptEvent {
        name: "paid".to_owned(),
        id: "e1".to_owned(),
        at: Timestamp::now(),
        until: hours(1),
        payload: Json::from(json!({"n": 1})),
        by: None,
        taken: stepcell_store::Taken::Nobody,
    };
    host.store.put_event(event).await.unwrap();
    let host = host.restart(Admission::default()).await;
    assert_eq!(host.send(with_id("e1", json!({"n": 2}))).await.woken, 1);
    assert_eq!(host.payload_of(run).await, json!({"n": 1}));
}

/// More wait than are read at a time, and the event is for the first of them alone.
#[tokio::test]
async fn an_event_that_woke_somebody_is_not_for_later_runs_also_where_the_store_failed_then() {
    let store = WatchedStore::new();
    let host = Host::on(store.clone(), Admission::default(), Retention::default()).await;
    let first = host.parked(&waits_for(json!({"n": 1}))).await;
    let plan = host.plan(&waits_for(json!({"n": 2})));
    let others = host.engine.submit_all(plan, vec![Json::from(json!({})); 256], None).await.unwrap();
    for run in others {
        host.parks(run).await;
    }
    store.lost_waits.store(2, SeqCst);
    let sent = with_id("e1", json!({"n": 1}));
    assert_eq!(host.engine.send_event("paid", sent.clone()).await.unwrap_err().code(), "store_io");
    host.ends(first).await;
    assert_eq!(host.send(sent).await.woken, 0);
    let later = host.submit(&waits_for(json!({"n": 1}))).await;
    host.parks(later).await;
}

#[tokio::test]
async fn a_wait_that_a_crash_cut_off_looks_for_what_came() {
    let host = Host::new().await;
    let (left, plan) = Left::new(&host, &waits_for(json!({"n": 1})), None);
    let started = stepcell_core::event::StepStarted { attempt: 1, idempotency_key: "k".to_owned() };
    let wait = stepcell_core::event::Wait::Signal {
        name: "paid".to_owned(),
        form: None,
        matching: Some(json!({"n": 1})),
        deadline: None,
    };
    let waiting = stepcell_core::event::StepWaiting { wait, receipt: Receipt::default() };
    // The log ends before the run could say that it is parked.
    let left = left
        .run(EventKind::RunStarted)
        .step("a", EventKind::StepStarted(started))
        .step("a", EventKind::StepWaiting(waiting));
    let run = left.write(&*host.store, &plan).await;
    host.send(event(json!({"n": 1}))).await;
    let host = host.restart(Admission::default()).await;
    assert_eq!(host.payload_of(run).await, json!({"n": 1}));
}

#[tokio::test]
async fn an_event_past_its_time_wakes_nobody() {
    let host = Host::new().await;
    let kept = |keep| Incoming { keep: Some(keep), ..event(json!({})) };
    assert_eq!(host.send(kept(Duration::ZERO)).await.kept_until, None);
    let short = host.send(kept(Duration::from_millis(1))).await.kept_until.unwrap();
    host.until("its time is over", || Timestamp::now() > short).await;
    host.parked(&waits_for(json!({}))).await;
}

#[tokio::test]
async fn an_approval_is_no_event() {
    let host = Host::new().await;
    let run = host.parked(&flow("w", "signal", &json!({"name": "approval"}))).await;
    let error = host.engine.send_event("approval", event(json!({}))).await.unwrap_err();
    assert_eq!(error.code(), "reserved_event");
    host.has(run, RunStatus::Waiting).await;
}

#[tokio::test]
async fn what_can_not_be_kept_is_refused() {
    let host = Host::new().await;
    let refused =
        async |name: &str, incoming| host.engine.send_event(name, incoming).await.unwrap_err().code();
    let large = json!("x".repeat(stepcell_store::kept::PAYLOAD_BYTES_MAX));
    assert_eq!(refused("paid", event(large)).await, "event_too_large");
    assert_eq!(refused(&"n".repeat(1_000), event(json!(1))).await, "event_too_large");
    assert_eq!(refused("", event(json!(1))).await, "event_incomplete");
    assert_eq!(refused("paid", with_id("", json!(1))).await, "event_incomplete");
}

#[tokio::test]
async fn an_event_has_to_fit_the_form() {
    let host = Host::new().await;
    let config = json!({"name": "paid", "form": {"required": ["n"], "type": "object"}});
    let run = host.parked(&flow("w", "signal", &config)).await;
    assert_eq!(host.send(event(json!({"m": 1}))).await.woken, 0);
    assert_eq!(host.send(event(json!({"n": 1}))).await.woken, 1);
    assert_eq!(host.payload_of(run).await, json!({"n": 1}));
}

#[tokio::test]
async fn a_run_that_is_no_longer_there_is_no_obstacle() {
    let host = Host::new().await;
    let cancelled = host.parked(&waits_for(json!({}))).await;
    let run = host.parked(&waits_for(json!({}))).await;
    host.engine.cancel(cancelled, None).await.unwrap();
    assert_eq!(host.send(event(json!({}))).await.woken, 1);
    host.ends(run).await;
}

/// Whatever the order in which waits and events come, each event is taken exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_between_waits_and_events() {
    let host = Arc::new(Host::new().await);
    let count = 200_u64;
    let sender = {
        let host = host.clone();
        tokio::spawn(async move {
            for n in 0..count {
                host.send(event(json!({"n": n}))).await;
            }
        })
    };
    let mut runs = Vec::new();
    for n in 0..count {
        runs.push(host.submit(&waits_for(json!({"n": n}))).await);
    }
    sender.await.unwrap();
    for (n, run) in runs.into_iter().enumerate() {
        assert_eq!(host.payload_of(run).await, json!({"n": n}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_waiters_are_woken_page_by_page() {
    let host = Host::with(admission(100, 1_000)).await;
    let plan = host.plan(&waits_for(json!({})));
    let runs = host.engine.submit_all(plan, vec![Json::from(json!({})); 700], None).await.unwrap();
    for run in &runs {
        host.parks(*run).await;
    }
    assert_eq!(host.engine.counts().runs_active, 0);
    assert_eq!(host.send(event(json!({}))).await.woken, 700);
    for run in runs {
        host.ends(run).await;
    }
}

#[test]
fn a_name_that_is_reserved_says_what_to_do() {
    let error = Error::ReservedEvent { name: "approval".to_owned() };
    assert!(error.hint().unwrap().contains("/resume"));
}
