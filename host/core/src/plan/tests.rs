use std::{collections::HashMap, sync::Arc};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    catalog::{Describe, Provider},
    parse::{Format, parse},
};

mod bodies;
mod bombs;

/// A plugin as its `describe` would have it; `more` sets what differs from a plain step.
fn provider(kind: &str, file: &str, more: Value) -> Arc<Provider> {
    let mut describe = json!({
        "type": kind, "label": kind, "icon": "box", "category": "data", "description": "for tests",
        "config_schema": {"type": "object"},
    });
    describe.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let describe: Describe = serde_json::from_value(describe).unwrap();
    let digest = Digest::of(file.as_bytes());
    Arc::new(Provider {
        file: file.to_owned(),
        digest,
        describe: Arc::new(describe),
        pure_step: true,
        control: false,
    })
}

fn code(language: &str) -> Arc<Provider> {
    let schema = json!({
        "type": "object", "required": ["code"], "additionalProperties": false,
        "properties": {"code": {"type": "string"}, "input": true, "language": {"enum": [language], "default": "python"}},
    });
    let more =
        json!({"config_schema": schema, "literal": {"code": "input"}, "match": {"language": language}});
    provider("inline_code", &format!("code_{language}.wasm"), more)
}

fn catalog() -> Catalog {
    let http = json!({"config_schema": {
        "type": "object", "required": ["url", "method"], "additionalProperties": false,
        "properties": {
            "url": {"type": "string", "description": "where to send it"},
            "method": {"enum": ["GET", "POST"]},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "tries": {"type": "integer"},
        },
    }});
    let types = [
        vec![provider("transform", "transform.wasm", json!({}))],
        vec![provider("http_request", "http_request.wasm", http)],
        vec![provider("condition", "condition.wasm", json!({"ports": ["true", "false"]}))],
        vec![provider("for_each", "for_each.wasm", json!({"deferred": ["step_config", "steps"]}))],
        vec![provider("sub_flow", "sub_flow.wasm", json!({"deferred": ["flow"], "ports": ["done"]}))],
        vec![code("python"), code("javascript")],
    ];
    let named = |providers: Vec<Arc<Provider>>| (providers[0].describe.kind.clone(), StepType { providers });
    Catalog {
        secrets: ["github", "openai"].map(str::to_owned).into(),
        types: types.into_iter().map(named).collect(),
        folders: vec!["./plugins".to_owned()],
        loading: Vec::new(),
    }
}

fn types() -> BTreeMap<String, StepType> {
    catalog().types.into_iter().collect()
}

/// A body that a plugin made; the schemas are compiled already.
fn build_made(source: Value, outer: &[&str]) -> Result<Body, Vec<Problem>> {
    let types = types();
    let providers = types.values().flat_map(|kind| &kind.providers);
    let schema = |provider: &Arc<Provider>| {
        (provider.digest, Schema::compile(&provider.describe.config_schema).unwrap())
    };
    Body::build(
        &Json::from(source),
        &types,
        &providers.map(schema).collect(),
        &outer.iter().copied().collect(),
    )
}

#[track_caller]
fn plan(text: &str) -> Plan {
    build(text).unwrap_or_else(|problems| panic!("{}", listing(&problems)))
}

fn build(text: &str) -> Result<Plan, Vec<Problem>> {
    Plan::build(parse(text, Format::Yaml)?, &catalog())
}

/// The problems of a flow with these steps, one a line, with their hints.
#[track_caller]
fn problems(steps: &str) -> String {
    listing(&build(&format!("name: x\nsteps:\n{steps}")).expect_err("it has mistakes"))
}

fn listing(problems: &[Problem]) -> String {
    let line = |problem: &Problem| {
        let hint = problem.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{problem} [{} {}]{hint}", problem.code, problem.path)
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn fails(steps: &str, expected: &str) {
    assert_eq!(problems(steps), expected);
}

const INTAKE: &str = r#"
name: order-intake
input: { type: object, required: [id], properties: { id: { type: string } } }
steps:
  - { id: fetch, type: http_request, config: { method: GET, url: "https://example.com/{{ input.id }}" } }
  - { id: large, type: condition, config: { expression: "{{ steps.fetch.body.total > 100 }}" } }
  - { id: approve, type: transform, after: [large.true] }
  - { id: price, type: inline_code, config: { input: "{{ steps.fetch.body }}", code: "result = 1" } }
  - { id: both, type: transform, after: [approve, large.false], if: "{{ steps.price.result }}" }
output: { net: "{{ steps.price.result }}" }
"#;

#[test]
fn a_step_waits_for_what_it_refers_to_and_for_after() {
    let plan = plan(INTAKE);
    let needs = |id: &str| {
        let step = &plan.steps[plan.index(id).unwrap()];
        let name = |need: &Need| {
            let port = need.port.as_ref().map(|port| format!(".{port}")).unwrap_or_default();
            format!("{:?} {}{port}", need.kind, plan.steps[need.step].step.id)
        };
        step.needs.iter().map(name).collect::<Vec<_>>()
    };
    assert!(needs("fetch").is_empty());
    assert_eq!(needs("large"), ["Reference fetch"]);
    assert_eq!(needs("approve"), ["After large.true"]);
    assert_eq!(needs("price"), ["Reference fetch"]);
    assert_eq!(needs("both"), ["After large.false", "After approve", "Reference price"]);
    assert_eq!(plan.steps[0].dependents, [1, 3]);
    assert_eq!(plan.steps[4].ancestors.iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(plan.output.is_some() && plan.warnings.is_empty());
}

#[test]
fn a_pinned_flow_gives_the_same_plan() {
    let first = plan(INTAKE);
    let types = catalog().types.into_iter().collect();
    let again = Plan::from_source(&first.flow.source, &types).unwrap();
    assert_eq!((again.flow, again.digest), (first.flow, first.digest));
    let needs = |plan: &[PlannedStep]| plan.iter().map(|step| step.needs.clone()).collect::<Vec<_>>();
    assert_eq!(needs(&again.steps), needs(&first.steps));
    let gone = Plan::from_source(&again_source(), &BTreeMap::new()).unwrap_err();
    assert_eq!(gone[0].code, "unknown_type");
}

fn again_source() -> Value {
    json!({"name": "x", "steps": [{"id": "a", "type": "transform"}]})
}

#[test]
fn an_input_is_checked_against_its_schema() {
    let plan = plan(INTAKE);
    let check = |text: &str| plan.check_input(&Json::parse(text.to_owned()).unwrap());
    assert!(check(r#"{"id": "x"}"#).is_ok());
    let found = check(r#"{"id": 1}"#).unwrap_err();
    assert_eq!(listing(&found), "`1` is not of type \"string\" [input_invalid input.id]");
    assert_eq!(listing(&check("{}").unwrap_err()), "`id` is missing [input_invalid input]");
}

#[test]
fn mistakes_of_every_kind_are_told_at_once() {
    let text = r#"name: many
input: { type: strin }
steps:
  - id: fetch
    type: http_requst
    config: { url: "{{ input.id }}" }
  - id: get
    type: http_request
    timeout: fast
    config:
      method: PUT
      headers: { a: 1, b: "{{ inputs.b }}" }
      tries: "{{ steps.fetsh.n }}"
      body: "{{ secret.TOKEN }}"
  - id: code
    type: inline_code
    config: { language: ruby, code: "x" }
  - id: self
    type: transform
    config: { output: "{{ steps.self.x }}" }
  - id: ports
    type: transform
    after: [large.tru, get.ok, nothing]
  - id: large
    type: condition
    config: { expression: "{{ steps.ring.x }}" }
  - id: ring
    type: transform
    config: { output: { $from: { step: large }, path: "$.x" } }
output: { a: "{{ steps.gat }}", b: "{{ get }}" }
"#;
    insta::assert_snapshot!(listing(&build(text).unwrap_err()));
}

#[test]
fn a_secret_has_to_be_configured() {
    let text = r#"name: x
grants: { secrets: [github, gitub] }
steps:
  - id: a
    type: transform
    config:
      headers: { a: "x{{ secret.github }}", b: ["{{ secret.openai }} {{ secret.nope }}"] }
    grants: { secrets: [stripe] }
    if: "{{ secret.github }}"
output: "{{ secret.openai }}"
"#;
    insta::assert_snapshot!(listing(&build(text).unwrap_err()));
    let none = Catalog { secrets: Default::default(), ..catalog() };
    let text = "name: x\nsteps:\n  - { id: a, type: transform, config: { a: '{{ secret.github }}' } }\n";
    let found = Plan::build(parse(text, Format::Yaml).unwrap(), &none).unwrap_err();
    assert_eq!(
        found[0].hint.as_deref(),
        Some("no secrets are configured: they stand under `secrets` in stepcell.yaml")
    );
}

#[test]
fn a_secret_that_has_gone_does_not_keep_a_run_from_going_on() {
    let source = json!({"name": "x", "grants": {"secrets": ["gone"]}, "steps": [
        {"id": "a", "type": "transform", "config": {"a": "{{ secret.gone }}"}},
    ]});
    let types = catalog().types.into_iter().collect();
    let plan = Plan::from_source(&source, &types).unwrap();
    assert_eq!(plan.steps[0].config.references().secret_names().collect::<Vec<_>>(), ["gone"]);
}

#[test]
fn values_with_templates_are_not_judged() {
    let config =
        |config: &str| format!("name: x\nsteps:\n  - id: a\n    type: http_request\n    config: {config}\n");
    plan(&config(r#"{ url: "{{ input.u }}", method: "{{ input.m }}", tries: "{{ input.n }}" }"#));
    plan(&config(r#"{ url: x, method: GET, headers: { $from: { workflow: input }, path: "h" } }"#));
    let found = build(&config(r#"{ url: "{{ input.u }}", methud: GET, tries: x }"#)).unwrap_err();
    assert_eq!(
        listing(&found),
        "5:13: `method` is missing: `http_request` needs it [missing_key steps[0].config]\n\
         5:37: unknown key `methud` in the config of `http_request` [unknown_key steps[0].config.methud]; did you mean `method`?\n\
         5:57: `x` is not of type \"integer\" [config_invalid steps[0].config.tries]"
    );
}

#[test]
fn a_template_may_choose_the_plugin() {
    let step = |language: &str| {
        format!("name: x\nsteps:\n  - {{ id: a, type: inline_code, config: {{ code: x{language} }} }}\n")
    };
    plan(&step(""));
    plan(&step(", language: javascript"));
    plan(&step(", language: \"{{ input.language }}\""));
    let found = listing(&build(&step(", language: pyton")).unwrap_err());
    assert!(found.contains("no plugin serves `inline_code` with `language: pyton`"), "{found}");
    assert!(found.contains("did you mean `python`?"), "{found}");
}

#[test]
fn a_plugin_that_is_missing_may_still_be_loading() {
    let check = |text: &str, loading: &[&str], expected: &str| {
        let loading = loading.iter().map(|&file| file.to_owned()).collect();
        let (catalog, flow) = (Catalog { loading, ..catalog() }, format!("name: x\nsteps:\n{text}"));
        let found = listing(&Plan::build(parse(&flow, Format::Yaml).unwrap(), &catalog).unwrap_err());
        assert!(found.contains(expected), "{found}");
    };
    let files = ["ruby.wasm", "mail.wasm"];
    for step in ["type: inline_code, config: { language: ruby }", "type: send_mail"] {
        check(
            &format!("  - {{ id: a, {step} }}\n"),
            &files,
            "these files are still being loaded, try again in a while: `ruby.wasm`, `mail.wasm`",
        );
        check(&format!("  - {{ id: a, {step} }}\n"), &[], "; there are: ");
    }
}

#[test]
fn cycles_are_named_with_their_steps() {
    fails(
        "  - { id: a, type: transform, after: c }\n  - { id: b, type: transform, after: a }\n  - { id: c, type: transform, after: b }\n  - { id: d, type: transform, after: c }\n",
        "3:5: the steps wait for each other: a → c → b → a [cycle steps[0]]; \
         `a → b` means that `a` waits for `b`: remove one reference or `after` entry",
    );
}

#[test]
fn a_step_that_was_not_read_is_not_missed() {
    let found = problems(
        "  - { id: 1a, type: transform }\n  - { id: b, type: transform, config: { output: \"{{ steps['1a'].x }}\" } }\n",
    );
    assert_eq!(found.lines().count(), 1, "{found}");
}

#[test]
fn code_that_reads_what_it_does_not_wait_for_gets_a_warning() {
    let text = r#"
name: x
steps:
  - { id: a, type: transform }
  - { id: b, type: transform }
  - id: c
    type: inline_code
    after: b
    config:
      code: |
        result = context["steps"]["a"]["x"] + context["steps"]["b"]["y"]
"#;
    let warnings = plan(text).warnings;
    assert_eq!(
        listing(&warnings),
        "11:9: this code names step `a`, which `c` does not wait for [not_waited_for steps[2].config.code]; \
         add `after: [b, a]` to the step"
    );
}

proptest! {
    /// However steps wait for each other, a plan is made exactly where there is no way round.
    #[test]
    fn a_plan_has_no_cycle(edges in prop::collection::vec((0usize..8, 0usize..8), 0..16)) {
        let after = |step: usize| {
            let of_step = edges.iter().filter(|(from, _)| *from == step);
            of_step.map(|(_, to)| format!("s{to}")).collect::<Vec<_>>().join(", ")
        };
        let steps: String =
            (0..8).map(|step| format!("  - {{ id: s{step}, type: transform, after: [{}] }}\n", after(step))).collect();
        match build(&format!("name: x\nsteps:\n{steps}")) {
            Ok(plan) => {
                for (index, step) in plan.steps.iter().enumerate() {
                    prop_assert!(!step.ancestors.contains(index));
                    prop_assert!(step.needs.iter().all(|need| step.ancestors.contains(need.step)));
                }
            }
            Err(problems) => {
                let codes: Vec<_> = problems.iter().map(|problem| problem.code).collect();
                prop_assert!(codes.iter().all(|code| matches!(*code, "cycle" | "self_reference")), "{:?}", codes);
            }
        }
    }
}
