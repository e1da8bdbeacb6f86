use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::flow::OnError;

mod retry;
mod submission;

/// A flow with one step, whose further lines are given.
fn with_step(lines: &str) -> String {
    format!("name: x\nsteps:\n  - id: a\n    type: t\n{lines}")
}

#[track_caller]
fn flow(text: &str) -> Flow {
    let parsed = parse(text, Format::Yaml).unwrap_or_else(|problems| panic!("{problems:?}"));
    parsed.into_flow().unwrap_or_else(|problems| panic!("{problems:?}"))
}

#[track_caller]
fn problems(text: &str) -> Vec<Problem> {
    match parse(text, Format::Yaml) {
        Ok(parsed) => parsed.into_flow().map(|_| ()).expect_err("it has mistakes"),
        Err(problems) => problems,
    }
}

#[track_caller]
fn fails(text: &str, expected: &[&str]) {
    let found: Vec<String> = problems(text)
        .iter()
        .map(|problem| format!("{problem} [{} {}]", problem.code, problem.path))
        .collect();
    assert_eq!(found, expected);
}

pub(super) fn listing(problems: &[Problem]) -> String {
    let line = |problem: &Problem| {
        let hint = problem.hint.as_ref().map(|hint| format!("\n    {hint}")).unwrap_or_default();
        format!("{problem} [{} {}]{hint}", problem.code, problem.path)
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

const FULL: &str = r#"
name: order-intake
description: takes orders
input: { type: object, required: [id] }
limits: { fuel: 10G, memory: 128MiB, time: 1m, output: 1024 }
steps:
  - id: fetch
    type: http_request
    config: { url: "https://example.com/{{ input.id }}" }
    timeout: 10s
    retry: { max_attempts: 5, initial: 200ms, factor: 2, max: 30s, jitter: false }
    on_error: continue
  - id: large
    type: condition
    after: fetch
    if: "{{ input.id }}"
    on_error: { use: null }
  - id: last
    type: transform
    after: [large.true, fetch]
    limits: { fuel: 5K }
output: { net: 1 }
"#;

#[test]
fn reads_a_whole_flow() {
    let flow = flow(FULL);
    assert_eq!((flow.name.as_str(), flow.description.as_deref()), ("order-intake", Some("takes orders")));
    assert_eq!(flow.limits.fuel, Some(10_000_000_000));
    assert_eq!(flow.limits.memory, Some(128 << 20));
    assert_eq!(flow.output, Some(json!({"net": 1})));
    let fetch = &flow.steps["fetch"];
    assert_eq!(fetch.timeout.unwrap().as_secs(), 10);
    assert_eq!((fetch.retry.rule.max_attempts, fetch.retry.rule.jitter), (5, false));
    assert_eq!(fetch.on_error, OnError::Continue);
    let large = &flow.steps["large"];
    assert_eq!(large.on_error, OnError::Use(Value::Null));
    assert_eq!(large.after.len(), 1);
    assert_eq!(large.config, json!({}));
    let last = &flow.steps["last"];
    assert_eq!(last.after[0].port.as_deref(), Some("true"));
    assert_eq!(last.after[1].port, None);
    assert_eq!(last.limits.fuel, Some(5_000));
}

#[test]
fn json_and_yaml_give_the_same_flow() {
    let yaml = flow(FULL);
    let json = parse(&yaml.source.to_string(), Format::Json).unwrap().into_flow().unwrap();
    assert_eq!(json, yaml);
    assert_eq!(json.digest(), yaml.digest());
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = r#"nam: x
version: 2
input: [1]
limits: { fule: 1, memory: lots, fuel: 0 }
steps:
  - id: 1a
    type: t
    colour: red
  - id: b
    typ: t
    timeout: 10
    retry: { max_attempts: 0, initial: 1h, max: 1s, factor: 0.5, jitter: 1 }
    on_error: ignore
    after: [b.x y, 3]
    config: []
    if: ""
  - id: b
    type: 5
    id: c
    on_error: { use: "{{ input.x }}" }
    limits: 7
  - id: b
    type: t
    config: { url: {{ input.url }} }
    on_error: {}
  - just text
"#;
    insta::assert_snapshot!(listing(&problems(text)));
}

#[test]
fn what_is_no_flow_is_told() {
    fails("", &["1:1: expected a mapping with `name` and `steps`, found nothing [wrong_type ]"]);
    fails("[]", &["1:1: expected a mapping with `name` and `steps`, found a list [wrong_type ]"]);
    fails("name: x\nsteps: []\n", &["2:8: a flow has at least one step [invalid_value steps]"]);
    fails("name: x\n", &["1:1: `steps` is missing [missing_key ]"]);
    fails(
        &with_step("    config: {{ x }}\n"),
        &["5:13: a `{{ … }}` without quotes is a mapping to YAML [unquoted_template steps[0].config]"],
    );
}

#[test]
fn names_are_plain() {
    for (name, valid) in [
        ("a", true),
        ("Über 1.0_b-c", true),
        ("a/b", false),
        ("' a'", false),
        ("..", false),
        ("a\u{7}", false),
    ] {
        let text = with_step("").replace("name: x", &format!("name: \"{name}\""));
        let text = if name.starts_with('\'') { text.replace(['\''], "") } else { text };
        assert_eq!(
            parse(&text, Format::Yaml).is_ok_and(|parsed| parsed.into_flow().is_ok()),
            valid,
            "{name}"
        );
    }
}

#[test]
fn a_key_without_value_is_left_out() {
    let step = flow(&with_step("    config:\n    after:\n    timeout: null\n    if: ~\n")).steps["a"].clone();
    assert_eq!((step.config, step.after.len(), step.timeout, step.condition), (json!({}), 0, None, None));
}

#[test]
fn a_flow_bounds_its_runs() {
    let runs = |lines: &str| flow(&format!("{lines}\n{}", with_step("")));
    let flow = runs("deadline: 2h\nconcurrency: 4");
    assert_eq!((flow.deadline, flow.concurrency), (Some(Duration::from_secs(7_200)), Some(4)));
    let none = runs("deadline:\nconcurrency: null");
    assert_eq!((none.deadline, none.concurrency), (None, None));
    let text = format!("deadline: 500ms\nconcurrency: 0\n{}", with_step(""));
    let hint = "\n    leave it out for as many as the host lets run";
    assert_eq!(
        listing(&problems(&text)),
        format!(
            "1:11: the deadline of a run must be at least `1s` [invalid_value deadline]\n    leave it out for none\n\
             2:14: `concurrency` must be a whole number from 1 to 10000 [invalid_value concurrency]{hint}"
        )
    );
    for (lines, codes) in
        [("deadline: 400d\nconcurrency: 10001\n", 2), ("deadline: [1]\nconcurrency: 1.5\n", 2)]
    {
        assert_eq!(problems(&format!("{lines}{}", with_step(""))).len(), codes, "{lines}");
    }
}

#[test]
fn large_texts_are_refused() {
    let text = format!("name: x\n#{}", "x".repeat(MAX_FLOW_BYTES));
    assert_eq!(problems(&text)[0].code, "too_large");
    let many = format!("name: x\nsteps: [{}]\n", "1,".repeat(crate::flow::MAX_STEPS + 1));
    assert_eq!(problems(&many)[0].code, "too_large");
}

#[test]
fn json_as_deep_as_the_stack_is_refused() {
    for text in
        ["[".repeat(100_000) + &"]".repeat(100_000), "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000)]
    {
        let found = parse(&text, Format::Json).unwrap_err();
        assert_eq!(found[0].code, "too_deep");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    any_json_of("\\PC*|.{0,8}")
}

fn any_json_of(texts: &'static str) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON holds it", |number| number.is_finite()).prop_map(Value::from),
        texts.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((texts, inner), 0..8)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

#[test]
fn mistakes_in_grants_stand_at_their_key() {
    let text = "name: x
grants:
  http: [\"ftp://x\"]
  databases: { main: { access: read, tabels: [a] } }
budget: { row: 1 }
steps:
  - id: a
    type: t
    grants:
      limits: { fuel: 1 }
      files: [out]
";
    insta::assert_snapshot!(listing(&problems(text)));
}

proptest! {
    #[test]
    fn no_text_makes_a_reader_panic(text in any::<String>()) {
        let _ = parse(&text, Format::Yaml);
        let _ = parse(&text, Format::Json);
        let _ = parse_submission(&text, Format::Yaml);
        let _ = parse_submissions_jsonl(&text);
    }

    #[test]
    fn no_text_of_yaml_signs_makes_a_reader_panic(text in "[-:{}\\[\\]&*!|>?\"'#, a1~<\n\t%@`.{}]{0,60}") {
        let _ = parse(&format!("name: x\nsteps:\n  - id: a\n    config: {text}\n"), Format::Yaml);
        let _ = parse(&text, Format::Yaml);
    }

    #[test]
    fn json_is_read_as_serde_json_reads_it(value in any_json(), pretty: bool) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        let mut problems = Problems::default();
        let node = json::read(&text, &mut problems).unwrap();
        prop_assert_eq!(node.to_value(), serde_json::from_str::<Value>(&text).unwrap());
    }

    #[test]
    fn json_means_the_same_as_yaml(value in any_json_of("[ -~äλ😀]{0,12}"), pretty: bool) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        let mut problems = Problems::default();
        let yaml = yaml::read(&text, &mut problems);
        prop_assert!(yaml.is_some(), "{:?}", problems.into_vec());
        let json = json::read(&text, &mut problems).unwrap();
        prop_assert_eq!(yaml.unwrap().to_value(), json.to_value());
    }

    #[test]
    fn places_in_json_are_those_of_the_values(value in any_json()) {
        let text = format!("{value:#}");
        let mut problems = Problems::default();
        let node = json::read(&text, &mut problems).unwrap();
        let lines: Vec<&str> = text.split('\n').collect();
        let mut open = vec![(&node, &value)];
        while let Some((node, value)) = open.pop() {
            let line = lines[node.at.line as usize - 1];
            let rest: String = line.chars().skip(node.at.column as usize - 1).collect();
            let begins = match (&node.kind, value) {
                (Kind::Array(nodes), Value::Array(values)) => {
                    open.extend(nodes.iter().zip(values));
                    "[".to_owned()
                }
                (Kind::Object(entries), Value::Object(map)) => {
                    open.extend(entries.iter().map(|entry| &entry.value).zip(map.values()));
                    "{".to_owned()
                }
                (_, leaf) => leaf.to_string(),
            };
            prop_assert!(rest.starts_with(&begins), "{} at {:?} in {}", begins, node.at, line);
        }
    }
}
