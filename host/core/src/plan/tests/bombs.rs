//! Flows that would stall or fill the host if nothing stopped them.

use std::time::Instant;

use super::*;
use crate::flow::MAX_STEPS;

#[test]
fn ten_thousand_steps_in_a_row_are_quick() {
    let mut text = "name: x\nsteps:\n  - { id: s0, type: transform }\n".to_owned();
    for index in 1..10_000 {
        let before = index - 1;
        text.push_str(&format!(
            "  - {{ id: s{index}, type: transform, config: {{ output: \"{{{{ steps.s{before}.x }}}}\" }} }}\n"
        ));
    }
    let started = Instant::now();
    let plan = plan(&text);
    let took = started.elapsed();
    assert_eq!(plan.steps[9_999].ancestors.iter().count(), 9_999);
    // Generous: a loaded machine is no failure, work that grows with the square of the steps is.
    assert!(took.as_secs() < 5, "{took:?}");
}

#[test]
fn a_flow_of_ten_thousand_mistakes_gets_an_answer() {
    let steps: String = (0..10_000)
        .map(|index| format!("  - {{ id: s{index}, type: transfrm, after: t{index} }}\n"))
        .collect();
    let found = build(&format!("name: x\nsteps:\n{steps}")).unwrap_err();
    assert_eq!(found.len(), crate::problem::MAX_PROBLEMS + 1);
}

/// Runs on a stack as small as those of a busy server.
fn on_small_stack<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        thread.spawn_scoped(scope, run).unwrap().join().unwrap()
    })
}

/// A step whose body is a step, and so on: `depth` fan-outs around one step.
fn nested(depth: usize, innermost: Value) -> Value {
    (0..depth).fold(innermost, |inner, _| json!({"type": "for_each", "config": {"step_config": inner}}))
}

fn with_step(mut step: Value) -> String {
    step["id"] = json!("outermost");
    json!({"name": "x", "steps": [step]}).to_string()
}

#[test]
fn bodies_nest_as_deep_as_the_text_does() {
    // Two levels of JSON for each, below the flow, its list and the step.
    let depth = (crate::parse::MAX_DEPTH - 4) / 2;
    let inner = json!({"type": "transform", "config": {"a": "{{ item }}"}});
    let text = with_step(nested(depth, inner.clone()));
    let types: BTreeMap<String, StepType> = catalog().types.into_iter().collect();
    on_small_stack(|| {
        let plan = Plan::build(parse(&text, Format::Json).unwrap(), &catalog()).unwrap();
        assert_eq!(plan.kinds().into_iter().collect::<Vec<_>>(), ["for_each", "transform"]);
        drop(Plan::from_source(&plan.flow.source, &types).unwrap());
    });
    let deeper = parse(&with_step(nested(depth + 1, inner.clone())), Format::Json).unwrap_err();
    assert_eq!(deeper[0].code, "too_deep");
    // What a plugin gives comes from a parser that takes a little more.
    on_small_stack(|| drop(build_made(json!({"step": nested(61, inner)}), &[]).unwrap()));
}

#[test]
fn bodies_in_bodies_do_not_multiply_a_large_text() {
    let large = json!({"type": "transform", "config": {"a": vec![0; 200_000]}});
    assert!(build_json(&with_step(nested(4, large.clone()))).is_ok());
    let found = build_json(&with_step(nested(40, large))).unwrap_err();
    assert_eq!(
        (found.len(), found[0].code, found[0].message.as_str()),
        (
            1,
            "too_large",
            "bodies have more than 1000000 values or 33554432 bytes of text, those within others counted with each"
        )
    );
}

#[test]
fn what_a_plugin_makes_is_small() {
    let message =
        "bodies have more than 10000 values or 131072 bytes of text, those within others counted with each";
    let refused = |source: Value| {
        let problems = build_made(source, &[]).unwrap_err();
        assert_eq!((problems[0].code, problems[0].message.as_str()), ("too_large", message));
    };
    let with = |value: Value| json!({"type": "transform", "config": {"a": value}});
    assert!(build_made(json!({"step": with(json!(vec![0; 9_000]))}), &[]).is_ok());
    refused(json!({"step": with(json!(vec![0; MAX_MADE_NODES]))}));
    refused(json!({"step": nested(10, with(json!(vec![0; 1_000])))}));
    assert!(build_made(json!({"step": with(json!("a".repeat(130_000)))}), &[]).is_ok());
    refused(json!({"step": with(json!("a".repeat(MAX_MADE_BYTES)))}));
    refused(json!({"step": nested(10, with(json!("a".repeat(100_000))))}));
}

#[test]
fn the_steps_of_all_bodies_count() {
    let steps = |count: usize| {
        let step = |index: usize| json!({"id": format!("s{index}"), "type": "transform"});
        (0..count).map(step).collect::<Vec<_>>()
    };
    let flow = |a: usize, b: usize| {
        let fan_out =
            |id: &str, count| json!({"id": id, "type": "for_each", "config": {"steps": steps(count)}});
        json!({"name": "x", "steps": [fan_out("a", a), fan_out("b", b)]}).to_string()
    };
    assert!(build_json(&flow(MAX_STEPS / 2 - 1, MAX_STEPS / 2 - 1)).is_ok());
    let found = build_json(&flow(MAX_STEPS / 2, MAX_STEPS / 2)).unwrap_err();
    assert_eq!(
        (found[0].message.as_str(), found[0].path.as_str()),
        ("with this body the flow has 10002 steps, the limit is 10000", "steps[1].config.steps")
    );
    let found = build_json(&flow(MAX_STEPS + 1, 1)).unwrap_err();
    assert_eq!(
        (found[0].message.as_str(), found[0].path.as_str()),
        ("10001 steps, the limit is 10000", "steps[0].config.steps")
    );
}

#[test]
fn an_id_of_ten_thousand_characters_is_told_in_a_few() {
    let long = "a".repeat(10_000);
    let in_body = json!([{"id": long, "type": "transform"}]);
    let flow = json!({"name": "x", "steps": [
        {"id": long, "type": "transform"},
        {"id": "b", "type": "transform", "after": long, "config": {"a": format!("{{{{ steps.{long} }}}}")}},
        {"id": "m", "type": "for_each", "config": {"steps": in_body, "step_config": {"type": long, "after": long}}},
    ]});
    let found = build_json(&flow.to_string()).unwrap_err();
    let codes: Vec<_> = found.iter().map(|problem| (problem.code, problem.path.as_str())).collect();
    assert_eq!(
        codes,
        [
            ("invalid_id", "steps[0].id"),
            ("invalid_id", "steps[1].after"),
            ("invalid_id", "steps[2].config.steps[0].id"),
            ("unknown_type", "steps[2].config.step_config.type"),
            ("invalid_id", "steps[2].config.step_config.after"),
        ]
    );
    assert!(found.iter().all(|problem| problem.message.len() < 300), "{}", listing(&found));
}

#[test]
fn text_nested_a_hundred_thousand_deep_is_refused_in_a_body_too() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let text = with_step(nested(1, json!({"type": "transform", "config": {"a": "DEEP"}})));
    let text = text.replace("\"DEEP\"", &deep);
    for format in [Format::Json, Format::Yaml] {
        let codes: Vec<_> = parse(&text, format).unwrap_err().iter().map(|problem| problem.code).collect();
        assert!(matches!(*codes, ["too_deep" | "invalid_yaml"]), "{format:?}: {codes:?}");
    }
}

fn build_json(text: &str) -> Result<Plan, Vec<Problem>> {
    Plan::build(parse(text, Format::Json)?, &catalog())
}
