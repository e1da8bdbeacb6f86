use super::*;
use crate::{Error, Resume};

fn word(payload: Value) -> Resume {
    Resume { step: None, payload: Json::from(payload), approved: None, by: Some("ada".to_owned()) }
}

/// A run whose step `a` waits for a word.
async fn waiting(host: &Host, config: Value) -> RunId {
    let run = host.submit(&flow("w", "signal", &config)).await;
    host.parks(run).await;
    run
}

#[tokio::test]
async fn a_resume_is_what_the_step_gets_and_the_log_keeps() {
    let host = Host::new().await;
    let run = waiting(&host, json!({"name": "approval"})).await;
    host.engine.resume(run, word(json!({"x": 1}))).await.unwrap();
    let view = host.ends(run).await;
    let signal = view.steps["a"].output.as_ref().unwrap().value().clone();
    assert_eq!(
        (&signal["kind"], &signal["payload"], &signal["by"], &signal["approved"]),
        (&json!("signal"), &json!({"x": 1}), &json!("ada"), &json!(true))
    );
    let at: Timestamp = signal["at"].as_str().unwrap().parse().unwrap();
    assert!(at <= Timestamp::now());
}

/// The refusal of a second resume, which shows the first.
async fn second(host: &Host, run: RunId) -> Value {
    match host.engine.resume(run, word(json!("second"))).await {
        Err(Error::AlreadyResumed { step, first, .. }) if step.as_str() == "a" => first.value().clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_second_resume_is_shown_the_first_also_after_the_end_and_a_restart() {
    let host = Host::new().await;
    let flow = "
name: w
steps:
  - { id: a, type: signal, config: { name: approval } }
  - { id: b, type: gate, after: a, config: {} }
";
    let run = host.submit(flow).await;
    host.parks(run).await;
    host.engine.resume(run, word(json!("first"))).await.unwrap();
    host.until("the next step is under way", || host.runner.started().iter().any(|(_, step)| step == "b"))
        .await;
    assert_eq!(second(&host, run).await["payload"], "first");
    host.open();
    host.ends(run).await;
    assert_eq!(second(&host, run).await["payload"], "first");
    let host = host.restart(Admission::default()).await;
    assert_eq!(second(&host, run).await["by"], "ada");
}

#[tokio::test]
async fn of_two_at_once_one_counts() {
    let host = Host::new().await;
    for _ in 0..20 {
        let run = waiting(&host, json!({"name": "approval"})).await;
        let (one, two) =
            tokio::join!(host.engine.resume(run, word(json!(1))), host.engine.resume(run, word(json!(2))));
        let (winner, first) = match (one, two) {
            (Ok(_), Err(Error::AlreadyResumed { first, .. })) => (1, first),
            (Err(Error::AlreadyResumed { first, .. }), Ok(_)) => (2, first),
            both => panic!("{both:?}"),
        };
        assert_eq!(first.value()["payload"], winner);
        let view = host.ends(run).await;
        assert_eq!(view.steps["a"].output.as_ref().unwrap().value()["payload"], winner);
    }
}

#[tokio::test]
async fn a_payload_has_to_fit_unless_it_is_a_rejection() {
    let host = Host::new().await;
    let form = json!({"type": "object", "required": ["amount"]});
    let run = waiting(&host, json!({"name": "approval", "form": form})).await;
    let Err(Error::PayloadInvalid(problems)) = host.engine.resume(run, word(json!({}))).await else {
        panic!("it does not fit");
    };
    assert_eq!(problems[0].message, "`amount` is missing");
    // The run is as it was.
    host.parks(run).await;
    let rejection = Resume { approved: Some(false), ..word(json!(null)) };
    host.engine.resume(run, rejection).await.unwrap();
    let view = host.ends(run).await;
    assert_eq!(view.steps["a"].output.as_ref().unwrap().value()["approved"], false);
}

#[tokio::test]
async fn a_form_that_can_not_be_used_fails_the_step() {
    let host = Host::new().await;
    let config = json!({"name": "approval", "form": {"type": "nothing"}});
    let view = host.ends(host.submit(&flow("w", "signal", &config)).await).await;
    assert_eq!(view.error.unwrap().failure.code.as_deref(), Some("form_invalid"));
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let host = Host::new().await;
    let run = waiting(&host, json!({"name": "approval"})).await;
    let large = word(json!("x".repeat(crate::MAX_PAYLOAD_BYTES)));
    assert_eq!(host.engine.resume(run, large).await.unwrap_err().code(), "payload_too_large");
}

#[tokio::test]
async fn a_run_that_has_ended_without_a_word_is_finished() {
    let host = Host::new().await;
    let run = host.submit(&flow("e", "echo", &json!({}))).await;
    host.ends(run).await;
    assert_eq!(host.engine.resume(run, word(json!(1))).await.unwrap_err().code(), "run_finished");
    let nobody = RunId::from_bytes([7; 16]);
    assert_eq!(host.engine.resume(nobody, word(json!(1))).await.unwrap_err().code(), "no_such_run");
}

#[tokio::test]
async fn steps_are_told_apart() {
    let host = Host::new().await;
    let flow = "
name: w
steps:
  - { id: a, type: signal, config: { name: approval } }
  - { id: b, type: signal, config: { name: approval } }
";
    let run = host.submit(flow).await;
    host.parks(run).await;
    assert_eq!(host.engine.resume(run, word(json!(1))).await.unwrap_err().code(), "ambiguous_step");
    let named = |step: &str| Resume { step: Some(step.to_owned()), ..word(json!(step)) };
    assert_eq!(host.engine.resume(run, named("c")).await.unwrap_err().code(), "no_such_step");
    host.engine.resume(run, named("b")).await.unwrap();
    assert_eq!(host.engine.resume(run, named("b")).await.unwrap_err().code(), "already_resumed");
    // The same answer sent twice is not one to the step that is left.
    assert_eq!(host.engine.resume(run, word(json!("b"))).await.unwrap_err().code(), "already_resumed");
    host.engine.resume(run, named("a")).await.unwrap();
    let view = host.ends(run).await;
    assert_eq!(view.steps["a"].output.as_ref().unwrap().value()["payload"], "a");
    assert_eq!(view.steps["b"].output.as_ref().unwrap().value()["payload"], "b");
}

#[tokio::test]
async fn a_wait_that_timed_out_takes_no_word() {
    let host = Host::new().await;
    let run = host.submit(&flow("w", "signal", &json!({"name": "approval", "timeout": 0.05}))).await;
    let view = host.ends(run).await;
    assert_eq!(view.steps["a"].output.as_ref().unwrap().value(), &json!({"kind": "timeout"}));
    assert_eq!(host.engine.resume(run, word(json!(1))).await.unwrap_err().code(), "run_finished");
}
