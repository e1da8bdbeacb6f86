use stepcell_core::event::Payload;

use super::*;
use crate::Retry;

/// Runs a flow, and then another one as its retry.
async fn twice(host: &Host, flow: &Value, corrected: &Value) -> (RunId, RunState) {
    let first = host.submit(&flow.to_string()).await;
    host.ends(first).await;
    let again = host.retry(first, corrected).await;
    (first, host.state(again).await)
}

impl Host {
    async fn retry(&self, run: RunId, flow: &Value) -> RunId {
        let retry = Retry { plan: Some(self.plan(&flow.to_string())), ..Retry::default() };
        let again = self.engine.retry(run, retry).await.unwrap().run_id;
        self.ends(again).await;
        again
    }
}

#[track_caller]
fn output(state: &RunState, step: &str) -> Value {
    match state.steps[step].output.as_ref() {
        Some(Payload::Value(value)) => value.value().clone(),
        other => panic!("{step}: {other:?}"),
    }
}

/// `a` gives a value, which is what `x` within a flow sees as its input; `y` comes after `x`.
fn around(value: u64, last: &str) -> Value {
    let within = json!({"name": "within", "steps": [
        {"id": "x", "type": "task", "config": {"do": "show input"}},
        {"id": "each", "type": "fan", "config": {
            "count": 1, "steps": [{"id": "z", "type": "task", "config": {"do": "show input"}}],
        }},
        {"id": "y", "type": "task", "after": ["x", "each"], "config": {"do": last}},
    ]});
    json!({"name": "around", "steps": [
        {"id": "a", "type": "echo", "config": {"v": value}},
        {"id": "s", "type": "fan", "config": {"items": ["{{ steps.a.v }}"], "flow": within}},
    ]})
}

#[tokio::test]
async fn a_flow_within_a_flow_starts_anew_with_another_input() {
    let host = Host::new().await;
    let (_, state) = twice(&host, &around(1, "fail"), &around(2, "nothing")).await;
    for step in ["s[0].x", "s[0].each[0].z"] {
        assert_eq!((output(&state, step), state.steps[step].kept_from), (json!(2), None), "{step}");
    }
}

#[tokio::test]
async fn a_flow_within_a_flow_goes_on_with_the_same_input() {
    let host = Host::new().await;
    let (first, state) = twice(&host, &around(1, "fail"), &around(1, "nothing")).await;
    for step in ["a", "s[0].x", "s[0].each", "s[0].each[0].z"] {
        // The fan-out is kept whole: nothing of it is walked again.
        let kept = state.steps.get(step).map(|seen| seen.kept_from);
        assert!(kept.is_none_or(|kept| kept == Some(first)), "{step}: {kept:?}");
    }
    assert_eq!(state.steps["s[0].y"].kept_from, None);
}

/// Two items, each of which is a task; the last step fails unless it is told otherwise.
fn fanned_out(how: &str, body: &Value, last: &str) -> Value {
    json!({"name": "m", "steps": [
        {"id": "m", "type": "fan", "config": {"items": [0, 1], how: body}},
        {"id": "t", "type": "task", "after": "m", "config": {"do": "nothing"}},
        {"id": "z", "type": "task", "after": "t", "config": {"do": last}},
    ]})
}

#[track_caller]
fn kept(state: &RunState, from: RunId, step: &str, expected: bool) {
    assert_eq!(state.steps[step].kept_from == Some(from), expected, "{step}");
}

/// `how` a fan-out gets its body.
async fn replaces_the_component_of(how: &str, body: &Value) {
    let host = Host::new().await;
    let first = host.submit(&fanned_out(how, body, "fail").to_string()).await;
    host.ends(first).await;
    let again = host.retry(first, &fanned_out(how, body, "fail")).await;
    kept(&host.state(again).await, first, "m", true);

    let host = host.restart_with_another("task").await;
    let again = host.retry(first, &fanned_out(how, body, "nothing")).await;
    let state = host.state(again).await;
    kept(&state, first, "m", false);
    kept(&state, first, "m[1]", false);
}

#[tokio::test]
async fn a_fan_out_runs_again_where_a_component_of_its_body_is_another() {
    let body = json!({"type": "task", "config": {"do": "nothing"}});
    replaces_the_component_of("step_config", &body).await;
}

#[tokio::test]
async fn so_does_one_that_makes_up_its_body() {
    let body = json!({"step": {"type": "task", "config": {"do": "nothing"}}});
    replaces_the_component_of("made", &body).await;
}

#[tokio::test]
async fn blobs_outlive_the_run_that_their_names_are_taken_over_from() {
    let host = Host::new().await;
    let flow = |last: &str| {
        json!({"name": "b", "steps": [
            {"id": "p", "type": "task", "config": {"do": "put"}},
            {"id": "z", "type": "task", "after": "p", "config": {"do": last}},
        ]})
    };
    let (first, state) = twice(&host, &flow("fail"), &flow("nothing")).await;
    kept(&state, first, "p", true);
    let id: Digest = output(&state, "p")["id"].as_str().unwrap().parse().unwrap();
    host.engine.remove(first).await.unwrap();
    assert!(host.store.blob(id).await.unwrap().is_some());
}
