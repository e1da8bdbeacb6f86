use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    Fault, RunId,
    event::{
        CapabilityDenied, Handled, Kept, Receipt, RunCancelled, RunFailed, RunSucceeded, StepBranched,
        StepFailed, StepLog, StepResumed, StepRetrying, StepRouted, StepSkipped, StepStarted, StepSucceeded,
        StepWaiting, Wait,
    },
};

/// A log in the making: numbers, times and the first event come by themselves.
struct Log(Vec<Event>);

impl Log {
    fn new() -> Self {
        let created = EventKind::RunCreated(RunCreated {
            flow: "f".to_owned(),
            flow_digest: Digest::of(b"f"),
            input: Json::from(json!({"id": 1})),
            idempotency_key: Some("once".to_owned()),
            plugins: BTreeMap::from([("t".to_owned(), vec![Digest::of(b"t")])]),
            deadline: None,
            retry_of: None,
        });
        Self(Vec::new()).run(created).run(EventKind::RunStarted)
    }

    fn run(mut self, kind: EventKind) -> Self {
        let seq = self.0.len() as u64 + 1;
        self.0.push(Event { seq, at: at(seq), step: None, kind });
        self
    }

    fn step(self, id: &str, kind: EventKind) -> Self {
        let mut log = self.run(kind);
        log.0.last_mut().unwrap().step = Some(StepId::new(id).unwrap());
        log
    }

    fn fold(&self) -> RunState {
        RunState::fold(&self.0).unwrap()
    }

    #[track_caller]
    fn refused(&self, expected: &str) {
        assert_eq!(RunState::fold(&self.0).unwrap_err().to_string(), expected);
    }
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second as i64).unwrap()
}

fn json(value: serde_json::Value) -> Json {
    Json::from(value)
}

fn receipt() -> Receipt {
    Receipt { fuel: 10, total_us: 20, host_us: 5, ..Receipt::default() }
}

fn failure() -> Failure {
    Failure::system(Fault::Timeout, "timeout", "it took too long")
}

fn started(attempt: u32) -> EventKind {
    EventKind::StepStarted(StepStarted { attempt, idempotency_key: "key".to_owned() })
}

fn succeeded(value: serde_json::Value) -> EventKind {
    EventKind::StepSucceeded(StepSucceeded {
        output: Payload::Value(json(value)),
        receipt: receipt(),
        kept: None,
    })
}

fn failed(handled: Handled) -> EventKind {
    EventKind::StepFailed(StepFailed { error: failure(), handled, receipt: receipt() })
}

fn retrying(attempt: u32) -> EventKind {
    EventKind::StepRetrying(StepRetrying { attempt, at: at(99), error: failure(), receipt: receipt() })
}

fn waiting() -> EventKind {
    EventKind::StepWaiting(StepWaiting { wait: Wait::Timer { until: at(99) }, receipt: Receipt::default() })
}

fn resumed() -> EventKind {
    EventKind::StepResumed(StepResumed { signal: json(json!({"kind": "timer"})), event: None })
}

fn log(text: &str) -> EventKind {
    EventKind::StepLog(StepLog { attempt: 1, text: text.to_owned(), dropped_bytes: 0, receipt: None })
}

fn run_succeeded() -> EventKind {
    EventKind::RunSucceeded(RunSucceeded { output: Payload::Value(json(json!(1))) })
}

#[test]
fn a_run_goes_from_queued_to_succeeded() {
    let log = Log::new().step("a", started(1)).step("a", succeeded(json!(2))).run(run_succeeded());
    let created = RunState::fold(log.0.iter().take(1)).unwrap();
    assert_eq!((created.status, created.seq, created.created_at), (RunStatus::Queued, 1, at(1)));
    assert_eq!((created.flow.as_str(), created.idempotency_key.as_deref()), ("f", Some("once")));
    let state = log.fold();
    assert_eq!((state.status, state.seq, state.finished_at), (RunStatus::Succeeded, 5, Some(at(5))));
    assert_eq!(state.output, Some(Payload::Value(json(json!(1)))));
    let step = state.step("a").unwrap();
    assert_eq!((step.status, step.attempts, step.receipt), (StepStatus::Succeeded, 1, receipt()));
    assert_eq!((step.started_at, step.finished_at), (Some(at(3)), Some(at(4))));
    assert_eq!(step.idempotency_key.as_deref(), Some("key"));
}

#[test]
fn events_stay_known_also_when_the_step_is_tried_again() {
    let wait = Wait::Signal { name: "paid".to_owned(), form: None, matching: None, deadline: None };
    let waits = EventKind::StepWaiting(StepWaiting { wait, receipt: Receipt::default() });
    let hears = EventKind::StepResumed(StepResumed {
        signal: json(json!({"kind": "signal", "payload": 1})),
        event: Some("e1".to_owned()),
    });
    let log = Log::new().step("a", started(1)).step("a", waits).step("a", hears);
    assert_eq!(log.fold().steps["a"].event.as_deref(), Some("e1"));
    let state = log.step("a", retrying(2)).step("a", started(2)).fold();
    assert_eq!(state.heard, [("paid".to_owned(), "e1".to_owned())].into());
}

#[test]
fn a_failed_run_names_its_step() {
    let failed_step = Some(StepId::new("a").unwrap());
    let state = Log::new()
        .step("a", failed(Handled::Fail))
        .run(EventKind::RunFailed(RunFailed { error: failure(), failed_step: failed_step.clone() }))
        .fold();
    assert_eq!((state.status, state.failed_step), (RunStatus::Failed, failed_step));
    assert_eq!((state.error, state.output), (Some(failure()), None));
    assert_eq!(state.steps["a"].status, StepStatus::Failed);
    assert_eq!(state.steps["a"].output_for_steps(), None);
}

#[test]
fn what_a_stopped_attempt_used_counts_when_it_comes() {
    let late = StepLog { attempt: 1, text: String::new(), dropped_bytes: 0, receipt: Some(receipt()) };
    let log = Log::new().step("a", started(1)).step("a", EventKind::StepCancelled);
    let state = log.step("a", EventKind::StepLog(late)).fold();
    assert_eq!((state.steps["a"].status, state.receipt()), (StepStatus::Cancelled, receipt()));
}

#[test]
fn a_cancelled_run_leaves_steps_to_their_own_events() {
    let state = Log::new()
        .step("a", started(1))
        .step("b", started(1))
        .step("a", EventKind::StepCancelled)
        .run(EventKind::RunCancelled(RunCancelled { reason: Some("enough".to_owned()) }))
        .fold();
    assert_eq!((state.status, state.cancel_reason.as_deref()), (RunStatus::Cancelled, Some("enough")));
    assert_eq!(state.steps["a"].status, StepStatus::Cancelled);
    assert_eq!(state.steps["b"].status, StepStatus::Running);
}

#[test]
fn a_retry_counts_as_running_and_adds_up() {
    let log = Log::new().step("a", started(1)).step("a", retrying(2));
    let step = &log.fold().steps["a"];
    assert_eq!((step.status, step.attempts, step.retry_at), (StepStatus::Running, 1, Some(at(99))));
    assert_eq!(step.error, Some(failure()));
    let step = &log.step("a", started(2)).step("a", succeeded(json!(1))).fold().steps["a"];
    assert_eq!((step.status, step.attempts, step.retry_at), (StepStatus::Succeeded, 2, None));
    assert_eq!((step.receipt.fuel, step.receipt.total_us, &step.error), (20, 40, &None));
    assert_eq!(step.started_at, Some(at(3)), "of the first attempt");
}

#[test]
fn a_step_in_flight_at_a_crash_starts_again() {
    let state = Log::new().step("a", started(1)).step("a", started(1)).fold();
    assert_eq!((state.steps["a"].status, state.steps["a"].attempts), (StepStatus::Running, 1));
}

#[test]
fn a_waiting_run_goes_on_with_any_step() {
    let log = Log::new().step("a", started(1)).step("a", waiting()).run(EventKind::RunWaiting);
    let state = log.fold();
    assert_eq!((state.status, state.steps["a"].status), (RunStatus::Waiting, StepStatus::Waiting));
    assert_eq!(state.steps["a"].wait, Some(Wait::Timer { until: at(99) }));
    let state = log.step("a", resumed()).fold();
    assert_eq!((state.status, state.steps["a"].status), (RunStatus::Running, StepStatus::Running));
    assert_eq!(state.steps["a"].wait, None);
    assert_eq!(state.steps["a"].signal, Some(json(json!({"kind": "timer"}))));
}

#[test]
fn a_log_line_wakes_nothing() {
    let state = Log::new()
        .step("a", started(1))
        .step("a", waiting())
        .run(EventKind::RunWaiting)
        .step("a", log("hé"))
        .fold();
    assert_eq!((state.status, state.steps["a"].log_bytes), (RunStatus::Waiting, 3));
}

#[test]
fn on_error_decides_what_others_see() {
    let state = Log::new()
        .step("a", failed(Handled::Continue))
        .step("b", failed(Handled::Use(json(json!([1])))))
        .step("c", failed(Handled::Fail))
        .step("d", EventKind::StepSkipped(StepSkipped { reason: "`if` is false".to_owned() }))
        .fold();
    let shown = |id: &str| match state.steps[id].output_for_steps() {
        Some(Payload::Value(value)) => Some(value.value().clone()),
        _ => None,
    };
    assert_eq!(state.steps["a"].status, StepStatus::Failed);
    assert_eq!(shown("a").unwrap()["error"]["code"], json!("timeout"));
    assert_eq!((state.steps["b"].status, shown("b")), (StepStatus::Succeeded, Some(json!([1]))));
    assert_eq!(state.steps["b"].error, Some(failure()), "a substitute says so");
    assert_eq!((shown("c"), shown("d")), (None, None));
    assert!(state.steps["a"].lets_go_on() && !state.steps["c"].lets_go_on());
    assert_eq!(state.steps["d"].skip_reason.as_deref(), Some("`if` is false"));
}

#[test]
fn a_branch_is_done_with_its_success() {
    let branched = EventKind::StepBranched(StepBranched { port: "true".to_owned() });
    let log = Log::new().step("a", started(1)).step("a", branched);
    assert_eq!(log.fold().steps["a"].status, StepStatus::Running);
    let step = &log.step("a", succeeded(json!(true))).fold().steps["a"];
    assert_eq!((step.status, step.port.as_deref()), (StepStatus::Succeeded, Some("true")));
}

#[test]
fn items_are_steps_and_steps_keep_the_order_of_the_log() {
    let m = StepId::new("m").unwrap();
    let mut log = Log::new().step("m", started(1)).step("x", started(1)).step("y", started(1));
    log.0.last_mut().unwrap().step = Some(m.item(3, Some(&StepId::new("x").unwrap())));
    let state = log.fold();
    assert_eq!(state.steps.keys().map(StepId::as_str).collect::<Vec<_>>(), ["m", "x", "m[3].x"]);
}

#[test]
fn a_result_taken_over_needs_no_attempt() {
    let earlier = RunId::from_bytes([7; 16]);
    let kept = Kept { run: earlier, port: Some("approved".to_owned()) };
    let output = Payload::Value(json(json!(2)));
    let taken_over = StepSucceeded { output, receipt: Receipt::default(), kept: Some(kept) };
    let state = Log::new().step("a", EventKind::StepSucceeded(taken_over)).fold();
    let step = state.step("a").unwrap();
    assert_eq!((step.status, step.attempts), (StepStatus::Succeeded, 0));
    assert_eq!((step.port.as_deref(), step.kept_from), (Some("approved"), Some(earlier)));
    assert!(step.lets_go_on());
}

#[test]
fn a_fan_out_is_known_by_its_items_when_it_is_over() {
    let list = Payload::Value(json(json!([1, 2])));
    let body = Payload::Value(json(json!({"step": {}})));
    let wait = Wait::Items { count: 2, concurrency: 1, keep_going: false, items: list, body };
    let parked = EventKind::StepWaiting(StepWaiting { wait, receipt: Receipt::default() });
    let state = Log::new().step("m", started(1)).step("m", parked).step("m", resumed()).fold();
    let step = state.step("m").unwrap();
    assert_eq!((step.status, step.items, &step.wait), (StepStatus::Running, Some(2), &None));
}

#[test]
fn what_can_not_follow_is_refused() {
    Log(Vec::new()).refused("the log has no events");
    Log(Vec::new())
        .run(EventKind::RunStarted)
        .refused("the log starts with `run.started`, not with `run.created`");
    let mut gap = Log::new().step("a", started(1));
    gap.0.last_mut().unwrap().seq = 9;
    gap.refused("event 9 (`step.started`) comes where event 3 should be");
    let mut twice = Log::new();
    twice.0[0].seq = 2;
    twice.refused("event 2 (`run.created`) comes where event 1 should be");
    Log::new()
        .run(EventKind::RunStarted)
        .refused("event 3 (`run.started`) does not fit a run that is `running`");
    Log::new()
        .run(run_succeeded())
        .step("a", started(1))
        .refused("event 4 (`step.started`) comes after the end: the run is `succeeded`");
    Log::new().run(started(1)).refused("event 3 (`step.started`) names no step");
    Log::new()
        .step("a", succeeded(json!(1)))
        .refused("event 3 (`step.succeeded`) does not fit step `a`, which is `pending`");
    Log::new()
        .step("a", failed(Handled::Use(json(json!(1)))))
        .step("a", started(2))
        .refused("event 4 (`step.started`) does not fit step `a`, which is `succeeded`");
    Log::new()
        .step("a", resumed())
        .refused("event 3 (`step.resumed`) does not fit step `a`, which is `pending`");
}

#[test]
fn a_refused_event_changes_nothing() {
    let log = Log::new().step("a", started(1)).step("b", succeeded(json!(1)));
    let mut state = RunState::fold(log.0.iter().take(3)).unwrap();
    let before = state.clone();
    assert!(state.apply(&log.0[3]).is_err());
    assert_eq!(state, before);
}

fn any_kind() -> impl Strategy<Value = EventKind> {
    let kinds = vec![
        Log::new().0[0].kind.clone(),
        EventKind::RunStarted,
        EventKind::RunWaiting,
        run_succeeded(),
        EventKind::RunFailed(RunFailed { error: failure(), failed_step: None }),
        EventKind::RunCancelled(RunCancelled { reason: None }),
        EventKind::StepRouted(StepRouted {
            plugin: "t.wasm".to_owned(),
            digest: Digest::of(b"t"),
            why: String::new(),
            config: None,
        }),
        started(1),
        started(2),
        succeeded(json!({"x": 1})),
        failed(Handled::Fail),
        failed(Handled::Continue),
        failed(Handled::Use(json(json!(0)))),
        retrying(2),
        waiting(),
        resumed(),
        EventKind::StepSkipped(StepSkipped { reason: String::new() }),
        EventKind::StepBranched(StepBranched { port: "p".to_owned() }),
        EventKind::StepCancelled,
        log("x"),
        EventKind::CapabilityDenied(CapabilityDenied {
            capability: "http".to_owned(),
            target: String::new(),
            message: String::new(),
            allow: String::new(),
        }),
    ];
    prop::sample::select(kinds)
}

fn any_step() -> impl Strategy<Value = Option<StepId>> {
    prop::sample::select(vec![None, StepId::new("a").ok(), StepId::new("b").ok()])
}

proptest! {
    #[test]
    fn no_sequence_of_events_breaks_the_fold(
        events in prop::collection::vec((any_kind(), any_step(), 0..8_u64), 0..40),
    ) {
        let events: Vec<_> = events.into_iter().map(|(kind, step, seq)| Event { seq, at: at(seq), step, kind }).collect();
        let _ = RunState::fold(&events);
    }

    #[test]
    fn any_prefix_and_its_rest_give_what_all_give(
        kinds in prop::collection::vec((any_kind(), any_step()), 0..60),
        cut in any::<prop::sample::Index>(),
    ) {
        // A valid log: what the fold refuses is left out.
        let mut log = Log::new();
        let mut state = log.fold();
        for (kind, step) in kinds {
            let seq = state.seq + 1;
            let event = Event { seq, at: at(seq), step, kind };
            let before = state.clone();
            match state.apply(&event) {
                Ok(()) => log.0.push(event),
                Err(_) => prop_assert_eq!(&state, &before),
            }
        }
        let cut = 1 + cut.index(log.0.len());
        let (prefix, rest) = log.0.split_at(cut);
        let mut resumed = RunState::fold(prefix).unwrap();
        for event in rest {
            prop_assert!(!resumed.is_final());
            resumed.apply(event).unwrap();
        }
        prop_assert_eq!(&resumed, &state);
        prop_assert_eq!(&RunState::fold(&log.0).unwrap(), &state);
        prop_assert_eq!(state.is_final(), state.finished_at.is_some());
        for step in state.steps.values() {
            prop_assert_eq!(step.status.is_final(), step.finished_at.is_some());
            prop_assert_eq!(step.status == StepStatus::Waiting, step.wait.is_some());
        }
    }

    #[test]
    fn a_gap_is_refused_wherever_it_is(skip in 2..20_u64) {
        let mut state = Log::new().fold();
        let event = Event { seq: state.seq + skip, at: at(9), step: None, kind: EventKind::RunWaiting };
        prop_assert_eq!(
            state.apply(&event),
            Err(FoldError::Gap { expected: 3, found: 2 + skip, kind: "run.waiting" })
        );
    }
}
