//! What starts runs: one of them, or many.

use super::*;

#[test]
fn a_submission_is_an_envelope_or_a_bare_flow() {
    let text = r#"{"flow": {"name": "x", "steps": [{"id": "a", "type": "t"}]}, "input": {"n": 1}, "idempotency_key": "k"}"#;
    for format in [Format::Json, Format::Yaml] {
        let submission = parse_submission(text, format).unwrap();
        assert!(matches!(&submission.flow, FlowRef::Inline(parsed) if parsed.flow.name == "x"));
        assert_eq!(submission.input.value(), &json!({"n": 1}));
        assert_eq!(submission.idempotency_key.as_deref(), Some("k"));
    }
    let named = parse_submission("flow: intake\n", Format::Yaml).unwrap();
    assert!(matches!(named.flow, FlowRef::Name(name) if name == "intake"));
    assert_eq!(named.input.value(), &json!({}));
    let bare = parse_submission(&with_step(""), Format::Yaml).unwrap();
    assert!(matches!(&bare.flow, FlowRef::Inline(parsed) if parsed.problems().is_empty()));
}

#[test]
fn places_in_a_submission_count_from_its_root() {
    let text = "{\n \"flow\": {\"name\": \"x\", \"steps\": [{\"id\": \"a\", \"typ\": 1}]},\n \"inptu\": 1,\n \"idempotency_key\": \"\"}";
    let FlowRef::Inline(parsed) = parse_submission(text, Format::Json).unwrap().flow else {
        panic!("it is inline")
    };
    let problems = parsed.into_flow().unwrap_err();
    insta::assert_snapshot!(listing(&problems));
}

#[test]
fn a_submission_without_flow_is_refused() {
    let text = listing(&parse_submission("{\"input\": 1}", Format::Json).unwrap_err());
    assert!(text.starts_with("1:1: `flow` is missing [missing_key ]"), "{text}");
    let text = listing(&parse_submission("{\"flow\": 1}", Format::Json).unwrap_err());
    assert!(text.starts_with("1:10: expected a flow or the name of a stored one, found a number"), "{text}");
}

#[test]
fn a_submission_may_have_many_inputs() {
    let submission = parse_submission("flow: x\ninputs: [1, { a: 2 }, null]\n", Format::Yaml).unwrap();
    let inputs: Vec<_> = submission.inputs.unwrap().iter().map(|input| input.text().to_owned()).collect();
    assert_eq!(inputs, ["1", r#"{"a":2}"#, "null"]);
    assert!(parse_submission("flow: x\n", Format::Yaml).unwrap().inputs.is_none());
}

#[test]
fn inputs_are_a_list_with_an_end() {
    let check = |inputs: &str, expected: &str| {
        let text = format!("{{\"flow\": \"x\", {inputs}}}");
        assert_eq!(listing(&parse_submission(&text, Format::Json).unwrap_err()), expected);
    };
    let range = "[invalid_value inputs]\n    send 1 to 10000 in one request";
    check("\"inputs\": []", &format!("1:25: `inputs` has 0 inputs {range}"));
    let many = "1,".repeat(MAX_INPUTS) + "1";
    check(&format!("\"inputs\": [{many}]"), &format!("1:25: `inputs` has 10001 inputs {range}"));
    check(
        "\"inputs\": 1",
        "1:25: expected a list with the input of each run, found a number [wrong_type inputs]",
    );
    check(
        "\"input\": 1, \"inputs\": [{\"a\": 1, \"a\": 2}]",
        "1:37: `input` and `inputs` can not stand together [invalid_value inputs]\n    put `input` into the list\n\
         1:47: `a` is already there, on line 1 [duplicate_key inputs[0].a]\n    remove one of the two",
    );
}

#[test]
fn a_retry_may_change_the_flow_and_where_to_begin() {
    let retry = parse_retry(&format!("{{\"from\": \"a\", \"flow\": {FLOW}}}"), Format::Json).unwrap();
    assert_eq!(retry.from.as_deref(), Some("a"));
    assert!(matches!(retry.flow, Some(FlowRef::Inline(parsed)) if parsed.flow.name == "x"));
    let neither = parse_retry("from: null\n", Format::Yaml).unwrap();
    assert!(neither.from.is_none() && neither.flow.is_none());
}

#[test]
fn places_in_a_retry_count_from_its_root() {
    let text = "from: 7\nflow:\n  name: x\n  steps:\n    - { id: a, typ: t }\n";
    let Some(FlowRef::Inline(parsed)) = parse_retry(text, Format::Yaml).unwrap().flow else {
        panic!("it is inline")
    };
    let all = listing(&parsed.into_flow().unwrap_err());
    assert!(all.contains("1:7: expected a text, found a number [wrong_type from]"), "{all}");
    assert!(all.contains("5:16: unknown key `typ` [unknown_key flow.steps[0].typ]"), "{all}");
    let fails = |text: &str, expected: &str| {
        let found = listing(&parse_retry(text, Format::Json).unwrap_err());
        assert!(found.starts_with(expected), "{found}");
    };
    fails("[]", "1:1: expected a mapping of `from`, `flow`, found a list [wrong_type ]");
    fails("{\"form\": \"a\"}", "1:2: unknown key `form` [unknown_key form]\n    did you mean `from`?");
    fails("{\"from\": \"a\", \"from\": \"b\"}", "1:15: `from` is already there");
}

const FLOW: &str = r#"{"name": "x", "steps": [{"id": "a", "type": "t"}]}"#;

/// The runs of each batch as `FLOW: INPUT@LINE KEY`.
fn batches(text: &str) -> Vec<String> {
    let all = parse_submissions_jsonl(text).unwrap_or_else(|problems| panic!("{}", listing(&problems)));
    let batch = |batch: Batch| {
        let name = match batch.flow {
            FlowRef::Name(name) => name,
            FlowRef::Inline(parsed) => format!("({})", parsed.into_flow().unwrap().name),
        };
        let run = |run: BatchRun| {
            let key = run.idempotency_key.map(|key| format!(" {key}")).unwrap_or_default();
            format!(" {}@{}{key}", run.input.text(), run.line)
        };
        name + ":" + &batch.runs.into_iter().map(run).collect::<String>()
    };
    all.into_iter().map(batch).collect()
}

#[track_caller]
fn lines_fail(text: &str, expected: &str) {
    assert_eq!(listing(&parse_submissions_jsonl(text).unwrap_err()), expected);
}

#[test]
fn each_line_is_a_submission() {
    let text = format!(
        "\u{feff}{{\"flow\": {FLOW}, \"input\": {{\"n\": 1}}}}\r\n\n{{\"input\": 2, \"idempotency_key\": \"k\"}}\r\n{FLOW}\n  \n{{}}\n\
         {{\"flow\": \"stored\", \"input\": 3}}\n{{\"flow\": \"stored\", \"input\": 4}}\n{{\"flow\": {FLOW}}}"
    );
    assert_eq!(batches(&text), [r#"(x): {"n":1}@1 2@3 k {}@4 {}@6"#, "stored: 3@7 4@8", "(x): {}@9"]);
}

#[test]
fn mistakes_in_lines_are_told_with_those_of_the_flows() {
    let text = "{\"flow\": {\"name\": \"x\", \"steps\": [{\"id\": \"a\", \"typ\": 1}]}, \"input\": {}}\n\
                {\"inptu\": 1, \"idempotency_key\": \"\"}\n\n  [1]\n{\"input\": 1, \"input\": {\"a\": 1, \"a\": 2}, \"inputs\": []}\n\
                {\"input\": tru}\n{\"flow\": 7}\n{\"input\": 5}";
    insta::assert_snapshot!(listing(&parse_submissions_jsonl(text).unwrap_err()));
}

#[test]
fn the_first_line_has_a_flow() {
    lines_fail(
        "\n{\"input\": 1}\n{\"input\": 2}",
        "2:1: `flow` is missing, and no line before has one [missing_key ]\n    \
         begin with a line that has a flow: `{\"flow\": …, \"input\": …}`",
    );
    lines_fail(
        " \n\n",
        "1:1: there is no submission [missing_key ]\n    write a line such as `{\"flow\": …, \"input\": …}` for each run",
    );
    // A flow that can not be read is the only thing wrong with the lines that go with it.
    lines_fail("{\n{\"input\": 2}", "1:1: this is not JSON: EOF while parsing an object [invalid_json ]");
}

#[test]
fn lines_have_limits_together() {
    let lines = |count: usize| "{\"flow\": \"x\"}\n".repeat(count);
    assert_eq!(parse_submissions_jsonl(&lines(MAX_INPUTS)).unwrap()[0].runs.len(), MAX_INPUTS);
    let found = parse_submissions_jsonl(&lines(MAX_INPUTS + 5)).unwrap_err();
    assert_eq!((found.len(), found[0].line, found[0].code), (1, MAX_INPUTS as u32 + 1, "too_large"));
    let long = format!("{{\"flow\": \"x\", \"input\": \"{}\"}}\n", "x".repeat(1 << 20));
    let found = parse_submissions_jsonl(&long.repeat(40)).unwrap_err();
    assert_eq!((found.len(), found[0].code), (1, "too_large"));
    let values = format!("{{\"flow\": \"x\", \"input\": [1{}]}}\n", ",1".repeat(MAX_NODES / 4));
    let found = parse_submissions_jsonl(&values.repeat(8)).unwrap_err();
    assert_eq!((found.len(), found[0].line, found[0].code), (1, 4, "too_large"));
}

#[test]
fn an_input_as_deep_as_the_stack_is_refused() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for text in [
        format!("{{\"flow\": \"x\", \"input\": {deep}}}"),
        format!("{{\"flow\": \"x\", \"inputs\": [{deep}]}}"),
    ] {
        assert_eq!(parse_submission(&text, Format::Json).unwrap_err()[0].code, "too_deep");
        let found = parse_submissions_jsonl(&format!("\n{text}\n")).unwrap_err();
        assert_eq!((found[0].line, found[0].code), (2, "too_deep"));
    }
}

proptest! {
    #[test]
    fn lines_mean_what_they_mean_alone(inputs in prop::collection::vec(any_json(), 1..8)) {
        let line = |input: &Value| format!("{{\"flow\": \"x\", \"input\": {input}}}");
        let lines: Vec<String> = inputs.iter().map(line).collect();
        let all = parse_submissions_jsonl(&lines.join("\n")).unwrap();
        prop_assert_eq!(all.len(), 1);
        for ((run, text), line) in all[0].runs.iter().zip(&lines).zip(1..) {
            let alone = parse_submission(text, Format::Json).unwrap();
            prop_assert_eq!((run.input.text(), run.line), (alone.input.text(), line));
        }
    }
}
