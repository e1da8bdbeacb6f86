use std::collections::BTreeMap as Map;

use serde_json::json;
use stepcell_core::{
    Digest,
    event::{Receipt, RunCreated, StepResumed, StepStarted, StepWaiting},
};

use super::*;

fn run() -> RunId {
    RunId::from_bytes([1; 16])
}

fn id(step: &str) -> StepId {
    StepId::new(step).unwrap()
}

/// A run in which these steps wait for a signal.
fn waiting(steps: &[&str]) -> RunState {
    let created = RunCreated {
        flow: "f".to_owned(),
        flow_digest: Digest::of(b"f"),
        input: Json::null(),
        idempotency_key: None,
        plugins: Map::new(),
        deadline: None,
        retry_of: None,
    };
    let mut events = vec![(None, EventKind::RunCreated(created)), (None, EventKind::RunStarted)];
    for step in steps {
        let wait = Wait::Signal { name: "approval".to_owned(), form: None, matching: None, deadline: None };
        let started = StepStarted { attempt: 1, idempotency_key: "k".to_owned() };
        events.push((Some(id(step)), EventKind::StepStarted(started)));
        let waiting = StepWaiting { wait, receipt: Receipt::default() };
        events.push((Some(id(step)), EventKind::StepWaiting(waiting)));
    }
    let numbered = events.into_iter().zip(1..).map(|((step, kind), seq)| Event {
        seq,
        at: Timestamp::UNIX_EPOCH,
        step,
        kind,
    });
    RunState::fold(&numbered.collect::<Vec<_>>()).unwrap()
}

#[test]
fn the_only_step_that_waits_need_not_be_named() {
    assert_eq!(target(run(), &waiting(&["a"]), None).unwrap(), id("a"));
    assert_eq!(target(run(), &waiting(&["a", "b"]), Some("b")).unwrap(), id("b"));
}

#[test]
fn an_answer_sent_twice_is_not_one_to_the_next_question() {
    let mut state = waiting(&["a", "b"]);
    let answered = state.steps.get_mut("a").unwrap();
    answered.status = StepStatus::Succeeded;
    answered.signal = Some(json!({"kind": "signal", "payload": 1}).into());
    let error = target(run(), &state, None).unwrap_err();
    assert!(matches!(&error, Error::AlreadyResumed { step, .. } if step.as_str() == "a"), "{error}");
    assert_eq!(target(run(), &state, Some("b")).unwrap(), id("b"));
    state.steps.get_mut("a").unwrap().event = Some("e1".to_owned());
    assert_eq!(target(run(), &state, None).unwrap(), id("b"));
}

#[test]
fn several_steps_are_listed() {
    let error = target(run(), &waiting(&["a", "b"]), None).unwrap_err();
    assert_eq!(error.code(), "ambiguous_step");
    assert!(error.to_string().ends_with("wait for a signal: `a`, `b`"), "{error}");
}

#[test]
fn a_step_that_does_not_wait_is_told() {
    let mut state = waiting(&["a"]);
    let resumed = StepResumed { signal: Json::from(json!({"kind": "signal"})), event: None };
    let event = Event {
        seq: state.seq + 1,
        at: Timestamp::UNIX_EPOCH,
        step: Some(id("a")),
        kind: EventKind::StepResumed(resumed),
    };
    state.apply(&event).unwrap();
    for step in [None, Some("a"), Some("none")] {
        assert_eq!(target(run(), &state, step).unwrap_err().code(), "not_waiting");
    }
}

#[track_caller]
fn problems(form: Value, payload: Value) -> Vec<(String, String)> {
    match check_form(&form, &Json::from(payload)) {
        Ok(()) => Vec::new(),
        Err(Error::PayloadInvalid(problems)) => {
            problems.into_iter().map(|problem| (problem.path, problem.message)).collect()
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_payload_that_does_not_fit_is_told_with_its_places() {
    let form = json!({
        "type": "object",
        "required": ["amount"],
        "properties": {"amount": {"type": "number"}, "tags": {"items": {"type": "string"}}},
    });
    assert_eq!(problems(form.clone(), json!({"amount": 1, "tags": ["x"]})), []);
    let found = problems(form.clone(), json!({"tags": ["x", 1]}));
    let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths.len(), 2, "{found:?}");
    assert!(paths.contains(&"payload") && paths.contains(&"payload.tags[1]"), "{found:?}");
    assert_eq!(problems(form, json!(null))[0].0, "payload");
}

#[test]
fn a_signal_says_who_what_and_when() {
    let payload = Json::from(json!({"ok": true}));
    let signal = Signal { approved: false, ..Signal::new(&payload, Some("ada"), Timestamp::UNIX_EPOCH) };
    let expected = json!({
        "kind": "signal", "payload": {"ok": true}, "by": "ada", "at": "1970-01-01T00:00:00Z", "approved": false,
    });
    assert_eq!(serde_json::to_value(signal).unwrap(), expected);
    let unknown = serde_json::to_value(Signal::new(&payload, None, Timestamp::UNIX_EPOCH)).unwrap();
    assert_eq!((&unknown["by"], &unknown["approved"]), (&json!(null), &json!(true)));
}
