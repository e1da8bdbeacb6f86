use stepcell_core::{
    Digest, Event, EventKind, Fault, Json,
    event::{RunCreated, RunFailed},
};

use super::*;

fn failed(error: Failure, step: Option<&str>) -> RunState {
    let created = RunCreated {
        flow: "f".to_owned(),
        flow_digest: Digest::of(b""),
        input: Json::null(),
        idempotency_key: None,
        plugins: Default::default(),
        deadline: None,
        retry_of: None,
    };
    let failed = RunFailed { error, failed_step: step.map(|step| StepId::new(step).unwrap()) };
    let event = |seq, kind| Event { seq, at: "2026-01-02T03:04:05Z".parse().unwrap(), step: None, kind };
    let events = [
        event(1, EventKind::RunCreated(created)),
        event(2, EventKind::RunStarted),
        event(3, EventKind::RunFailed(failed)),
    ];
    RunState::fold(&events).unwrap()
}

fn refusal() -> (Option<StepId>, CapabilityDenied) {
    let denied = CapabilityDenied {
        capability: "http".to_owned(),
        target: "https://example.com".to_owned(),
        message: "not granted".to_owned(),
        allow: "grants:\n  x:\n    http: [\"https://example.com\"]\n".to_owned(),
    };
    (Some(StepId::new("fetch").unwrap()), denied)
}

#[test]
fn a_refusal_ends_with_the_lines_that_allow_it() {
    let error = Failure::system(Fault::Denied, "http_denied", "`https://example.com` is not granted to `x`");
    insta::assert_snapshot!(reason(&failed(error, Some("fetch")), &[refusal()]).unwrap(), @r#"
    system error: step `fetch` could not be run (http_denied): `https://example.com` is not granted to `x`
      to allow it, in stepcell.yaml:
        grants:
          x:
            http: ["https://example.com"]
    "#);
}

#[test]
fn what_the_hint_says_is_not_said_twice() {
    let error = Failure::system(Fault::Denied, "http_denied", "no").with_hint(refusal().1.allow);
    let text = reason(&failed(error, Some("fetch")), &[refusal()]).unwrap();
    assert_eq!(text.matches("https://example.com").count(), 1, "{text}");
}

#[test]
fn what_the_step_says_is_not_said_twice() {
    let message = format!("refused; this would allow it:\n{}", refusal().1.allow);
    let error =
        Failure { kind: FailureKind::Business, ..Failure::system(Fault::Denied, "http_denied", message) };
    insta::assert_snapshot!(reason(&failed(error, Some("fetch")), &[refusal()]).unwrap(), @r#"
    error: step `fetch` failed (http_denied): refused; this would allow it:
        grants:
          x:
            http: ["https://example.com"]
    "#);
}

#[test]
fn a_step_that_says_no_is_no_system_error() {
    let error =
        Failure { kind: FailureKind::Business, ..Failure::system(Fault::Failed, "http_404", "not found") };
    let text = reason(&failed(error, Some("fetch")), &[]).unwrap();
    assert_eq!(text, "error: step `fetch` failed (http_404): not found\n");
}
