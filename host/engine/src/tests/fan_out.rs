use stepcell_core::run::StepStatus;

use super::*;
use crate::Resume;

/// A run of one step that fans out, with whatever follows it.
fn fans_out(config: &Value, more: &Value, after: &[Value]) -> String {
    let mut step = json!({"id": "m", "type": "fan", "config": config});
    step.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let mut steps = vec![step];
    steps.extend_from_slice(after);
    json!({"name": "f", "budget": {"requests": 8}, "steps": steps}).to_string()
}

fn echoes() -> Value {
    json!({"type": "echo", "config": {"v": "{{ item }}"}})
}

#[track_caller]
fn failed(view: &RunView, code: &str) {
    let error = view.error.as_ref().unwrap_or_else(|| panic!("{view:?}"));
    assert_eq!(error.failure.code.as_deref(), Some(code), "{view:?}");
}

#[tokio::test]
async fn a_step_fans_out_once() {
    let host = Host::new().await;
    let config = json!({"items": [1, 2], "step_config": echoes(), "again": true});
    let run = host.submit(&fans_out(&config, &json!({}), &[])).await;
    failed(&host.ends(run).await, "fans_out_again");
}

const TRIED_TWICE: &str = r#"{"retry": {"max_attempts": 2, "initial": "1ms"}}"#;

#[tokio::test]
async fn another_attempt_finds_the_items_of_the_first() {
    let host = Host::new().await;
    let config = json!({"items": [1, 2], "step_config": echoes(), "breaks": true});
    let more = serde_json::from_str(TRIED_TWICE).unwrap();
    let run = host.submit(&fans_out(&config, &more, &[])).await;
    let view = host.ends(run).await;
    let results = &view.steps["m"].output.as_ref().unwrap().value()["results"];
    assert_eq!((results, view.steps["m"].attempts), (&json!([{"v": 1}, {"v": 2}]), 2));
    let items = host.runner.started().into_iter().filter(|(_, step)| step.starts_with("m[")).count();
    assert_eq!(items, 2);
}

#[tokio::test]
async fn another_attempt_with_other_items_is_not_given_those_of_the_first() {
    let host = Host::new().await;
    let config = json!({"changing": true, "step_config": echoes(), "breaks": true});
    let more = serde_json::from_str(TRIED_TWICE).unwrap();
    let run = host.submit(&fans_out(&config, &more, &[])).await;
    failed(&host.ends(run).await, "fans_out_again");
}

#[tokio::test]
async fn the_items_of_a_run_are_counted_together() {
    let host = Host::new().await;
    let gates = json!({"type": "gate", "config": {}});
    let within = json!({"type": "fan", "config": {"count": 30_000, "concurrency": 1, "step_config": gates}});
    let config = json!({"items": [0, 1], "step_config": within});
    let run = host.submit(&fans_out(&config, &json!({}), &[])).await;
    failed(&host.ends(run).await, "too_many_items");
}

#[tokio::test]
async fn items_of_many_steps_are_walked_fewer_at_a_time() {
    let host = Host::new().await;
    let steps: Vec<_> =
        (0..5_000).map(|n| json!({"id": format!("s{n}"), "type": "gate", "config": {}})).collect();
    let config = json!({"count": 20, "concurrency": 20, "steps": steps});
    let run = host.submit(&fans_out(&config, &json!({}), &[])).await;
    host.until("it is under way", || !host.runner.started().is_empty()).await;
    host.engine.cancel(run, None).await.unwrap();
    let state = host.state(run).await;
    let begun = (0..20).filter(|n| state.steps.contains_key(format!("m[{n}]").as_str())).count();
    assert_eq!(begun, 65_536 / 5_000);
}

#[tokio::test]
async fn a_stopped_item_does_not_stand_in_line() {
    let host = Host::with(Admission { steps: limits(&[("gate", 1)]), ..admission(9, 9) }).await;
    let steps = json!([
        {"id": "g", "type": "gate", "if": "{{ item < 2 }}", "config": {}},
        {"id": "z", "type": "task", "if": "{{ item == 2 }}", "config": {"do": "fail"}},
    ]);
    let config = json!({"items": [0, 1, 2], "steps": steps});
    let run = host.submit(&fans_out(&config, &json!({"on_error": "continue"}), &[])).await;
    host.until("the items are stopped", || host.engine.counts().attempts_ended > 0).await;
    host.open();
    assert_eq!(host.ends(run).await.steps["m"].status, StepStatus::Failed);
    let started: Vec<_> = host.runner.started().into_iter().map(|(_, step)| step).collect();
    assert_eq!(started, ["m", "m[0].g", "m[2].z"]);
}

/// The first item asks five times and is stopped by the second.
fn asks_and_is_stopped() -> Value {
    let task = json!({"type": "task", "config": {"do": "{{ item }}"}});
    json!({"items": ["ask until it is stopped", "fail"], "step_config": task})
}

#[tokio::test]
async fn what_a_stopped_item_has_used_counts_after_a_restart() {
    let host = Host::new().await;
    let flow = fans_out(
        &asks_and_is_stopped(),
        &json!({"on_error": "continue"}),
        &[
            json!({"id": "w", "type": "signal", "after": "m", "config": {"name": "approval"}}),
            json!({"id": "z", "type": "task", "after": "w", "config": {"do": "ask"}}),
        ],
    );
    let run = host.submit(&flow).await;
    host.parks(run).await;
    assert_eq!(host.state(run).await.steps["m[0]"].status, StepStatus::Cancelled);
    assert_eq!(host.state(run).await.receipt().requests, 5);
    let host = host.restart(Admission::default()).await;
    let word = Resume { step: None, payload: Json::null(), approved: None, by: None };
    host.engine.resume(run, word).await.unwrap();
    failed(&host.ends(run).await, "budget_exhausted");
}

#[tokio::test]
async fn a_stopped_item_that_used_up_the_budget_ends_the_run() {
    let host = Host::new().await;
    let flow = fans_out(&asks_and_is_stopped(), &json!({"on_error": "continue"}), &[])
        .replace(r#""requests":8"#, r#""requests":4"#);
    let run = host.submit(&flow).await;
    failed(&host.ends(run).await, "budget_exhausted");
}

#[tokio::test]
async fn a_cancel_is_heard_among_steps_that_never_start() {
    let host = Host::new().await;
    let steps: Vec<_> = (0..5_000)
        .map(|n| json!({"id": format!("s{n}"), "type": "echo", "if": "{{ 1 == 2 }}", "config": {}}))
        .collect();
    let run = host.submit(&json!({"name": "f", "steps": steps}).to_string()).await;
    assert_eq!(host.engine.cancel(run, None).await.unwrap().status, RunStatus::Cancelled);
}

#[tokio::test]
async fn a_step_named_item_is_seen_by_a_body_of_one_step() {
    let host = Host::new().await;
    let body = json!({"type": "echo", "config": {"v": "{{ steps.item.x }}"}});
    let flow = json!({"name": "f", "steps": [
        {"id": "item", "type": "echo", "config": {"x": 7}},
        {"id": "m", "type": "fan", "config": {"items": [0], "step_config": body}},
    ]});
    let run = host.submit(&flow.to_string()).await;
    let view = host.ends(run).await;
    let output = view.steps["m"].output.as_ref().unwrap_or_else(|| panic!("{view:?}"));
    assert_eq!(output.value()["results"], json!([{"v": 7}]));
}
