use serde_json::json;

use super::*;

fn refusal(capability: &str, allow: &str) -> CapabilityDenied {
    CapabilityDenied {
        capability: capability.to_owned(),
        target: "x".to_owned(),
        message: "no".to_owned(),
        allow: allow.to_owned(),
    }
}

/// What is learned from refusals of steps; the type of each is its id.
fn learn(granted: Value, refused: &[(&str, &str, &str)]) -> Learned {
    let mut grants = Grants::default();
    for (kind, value) in granted.as_object().unwrap() {
        grants.by_type.insert(kind.clone(), Grant::read(value, Level::Operator).0);
    }
    let denied: Vec<_> = refused
        .iter()
        .map(|(step, capability, allow)| (StepId::new(step).ok(), refusal(capability, allow)))
        .collect();
    let kinds: Vec<&str> = refused.iter().map(|(step, ..)| *step).collect();
    Learned::new(&grants, &denied, |step| kinds.iter().find(|kind| **kind == step.as_str()).copied())
}

#[test]
fn refusals_of_a_type_make_one_line_with_what_it_has() {
    let learned = learn(
        json!({"call": {"http": ["https://*"]}, "other": {"blobs": "read"}}),
        &[
            ("call", "http", "grants:\n  call: { http: [\"http://127.0.0.1:1\", \"https://*\"] }"),
            (
                "call",
                "http",
                "grants:\n  call: { http: [{ url: \"http://a.example\", methods: [GET] }, \"https://*\"] }",
            ),
            (
                "call",
                "http",
                "grants:\n  call: { http: [{ url: \"http://a.example\", methods: [GET, POST] }, \"https://*\"] }",
            ),
            ("query", "database", "grants:\n  query: { databases: { main: read } }"),
            ("call", "blobs", "grants:\n  \"call@sha256:00\": { blobs: write }"),
            ("query", "database", "grants:\n  query: { databases: { main: write } }"),
        ],
    );
    insta::assert_snapshot!(learned.yaml());
    let pasted = Document::read(&learned.yaml(), Format::Yaml, 10_000).unwrap().value();
    assert_eq!(pasted["grants"], json!(learned.view().grants));
}

#[test]
fn what_belongs_elsewhere_is_a_comment() {
    let learned = learn(
        json!({}),
        &[
            ("a", "http", "grants: { http: [\"https://x.example\"] }"),
            ("b", "http", ""),
            (
                "b",
                "secrets",
                "secrets: { github: { env: GITHUB, hosts: [\"https://x\"] } }\ngrants:\n  b: { secrets: [github] }",
            ),
        ],
    );
    insta::assert_snapshot!(learned.yaml());
    assert!(Document::read(&learned.yaml(), Format::Yaml, 10_000).is_ok());
    insta::assert_json_snapshot!(learned.view());
}

#[test]
fn a_run_that_was_refused_nothing_teaches_nothing() {
    assert!(!learn(json!({}), &[]).refused());
    assert_eq!(learn(json!({}), &[]).yaml(), "");
}
