//! What fan-outs run, and what it reads of the steps around.

use super::*;

const NESTED: &str = r#"
name: x
steps:
  - { id: list, type: transform }
  - { id: rate, type: transform }
  - { id: other, type: transform }
  - id: each
    type: for_each
    config:
      items: "{{ steps.list.x }}"
      steps:
        - { id: a, type: transform, if: "{{ item.ok }}", config: { x: "{{ steps.rate.x * index }}" } }
        - id: inner
          type: for_each
          config:
            items: "{{ steps.a.list }}"
            step_config: { type: http_request, after: other, config: { method: GET, url: "{{ item }}{{ steps.a.u }}" } }
  - id: sub
    type: sub_flow
    config:
      flow:
        input: { type: object, required: [n] }
        steps: [{ id: list, type: condition, config: { expression: "{{ input.n }}" } }]
        output: "{{ steps.list }}"
"#;

fn body<'p>(plan: &'p Plan, step: &str) -> &'p Body {
    &plan.steps[plan.index(step).unwrap()].bodies[0]
}

/// The steps that a step waits for.
fn needs(plan: &Plan, step: &str) -> Vec<String> {
    let needs = &plan.steps[plan.index(step).unwrap()].needs;
    needs.iter().map(|need| format!("{:?} {}", need.kind, plan.steps[need.step].step.id)).collect()
}

#[test]
fn each_form_of_a_body_is_planned() {
    let plan = plan(NESTED);
    let each = body(&plan, "each");
    let inner = body(&each.plan, "inner");
    let sub = body(&plan, "sub");
    assert_eq!([each.kind, inner.kind, sub.kind], [BodyKind::Steps, BodyKind::Step, BodyKind::Flow]);
    assert_eq!(each.source, plan.flow.steps["each"].config["steps"]);
    assert_eq!(inner.source, each.plan.flow.steps["inner"].config["step_config"]);
    assert_eq!(sub.source, plan.flow.steps["sub"].config["flow"]);
    assert_eq!(inner.plan.steps[0].step.id.as_str(), "item");
    assert_eq!(inner.plan.steps[0].step.kind, "http_request");
    assert!(sub.plan.output.is_some() && sub.plan.check_input(&Json::null()).is_err());
    let kinds: Vec<_> = plan.kinds().into_iter().collect();
    assert_eq!(kinds, ["condition", "for_each", "http_request", "sub_flow", "transform"]);
}

#[test]
fn what_a_body_reads_is_a_need_of_the_step_that_has_it() {
    let plan = plan(NESTED);
    assert_eq!(needs(&plan, "each"), ["Reference list", "Reference rate", "Reference other"]);
    assert!(needs(&plan, "sub").is_empty());
    let each = &body(&plan, "each").plan;
    assert!(needs(each, "a").is_empty());
    assert_eq!(needs(each, "inner"), ["Reference a"]);
    let lone = &body(each, "inner").plan.steps[0];
    assert!(lone.needs.is_empty());
    assert_eq!(lone.config.references().steps.keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_pinned_flow_gives_the_same_bodies() {
    let first = plan(NESTED);
    let again = Plan::from_source(&first.flow.source, &types()).unwrap();
    let shape = |plan: &Plan| {
        let mut found = Vec::new();
        let mut open = vec![(String::new(), plan.steps.iter().collect::<Vec<_>>())];
        while let Some((path, steps)) = open.pop() {
            for step in steps {
                let path = format!("{path}.{}", step.step.id);
                found.push((path.clone(), step.needs.clone(), step.step.clone()));
                let bodies = step.bodies.iter();
                open.extend(bodies.map(|body| (path.clone(), body.plan.steps.iter().collect())));
            }
        }
        found
    };
    assert_eq!(shape(&again), shape(&first));
    assert_eq!(shape(&first).len(), 9);
}

#[test]
fn the_config_of_a_fan_out_keeps_its_bodies_as_they_are() {
    let plan = plan(NESTED);
    let each = &plan.steps[plan.index("each").unwrap()];
    assert_eq!(each.config.references().steps.keys().collect::<Vec<_>>(), ["list"]);
    assert!(plan.steps[plan.index("sub").unwrap()].config.is_static());
}

#[test]
fn mistakes_in_bodies_are_told_with_those_of_the_flow() {
    let text = r#"name: many
steps:
  - { id: out, type: transform, config: { a: "{{ item }}" } }
  - id: cond
    type: condition
  - id: each
    type: for_each
    config:
      steps:
        - { id: out, type: transform }
        - { id: b, typ: transform }
        - { id: c, type: transfrm, config: { a: "{{ steps.b.x }}" } }
        - id: d
          type: http_request
          config: { url: "{{ steps.uot.x }}", methud: GET, headers: { a: 1 } }
        - { id: e, type: transform, config: { a: "{{ itme }} {{ secret.nope }}" }, if: "{{ secret.github }}" }
        - { id: f, type: transform, after: [cond.true, cond, e] }
        - { id: g, type: transform, after: h }
        - { id: h, type: transform, config: { a: "{{ steps.g }} {{ steps.each }}" } }
        - { id: i, type: inline_code, config: { language: ruby, code: "{{ item }}" } }
  - id: lone
    type: for_each
    config:
      step_config: { id: x, type: transform, colour: red, config: { a: "{{ steps.x }} {{ steps.item }}" } }
      steps: []
  - id: sub
    type: sub_flow
    config:
      flow:
        name: "in/side"
        budget: { requests: 1 }
        deadline: 1h
        concurrency: 2
        input: { type: strin }
        grants: { secrets: [gone] }
        steps: [{ id: out, type: transform, config: { a: "{{ item }} {{ steps.cond }}" } }]
        output: "{{ steps.each }}"
  - { id: text, type: for_each, config: { steps: "{{ input.steps }}", step_config: { config: {} } } }
"#;
    insta::assert_snapshot!(listing(&build(text).unwrap_err()));
}

#[test]
fn a_body_can_not_wait_for_what_comes_after_it() {
    fails(
        "  - id: m\n    type: for_each\n    config: { steps: [{ id: a, type: transform, config: { x: \"{{ steps.late.x }}\" } }] }\n  - { id: late, type: transform, after: m }\n",
        "3:5: the steps wait for each other: m → late → m [cycle steps[0]]; \
         `a → b` means that `a` waits for `b`: remove one reference or `after` entry",
    );
    fails(
        "  - id: m\n    type: for_each\n    config: { step_config: { type: for_each, config: { step_config: { type: transform, if: \"{{ steps.m }}\" } } } }\n",
        "5:92: step `m` is named in its own body [self_reference steps[0].config.step_config.config.step_config.if]; \
         it has an output only when all its items are done",
    );
}

#[test]
fn steps_of_two_bodies_may_have_the_same_id() {
    let fan_out = |id: &str| {
        format!("  - {{ id: {id}, type: for_each, config: {{ steps: [{{ id: a, type: transform }}] }} }}\n")
    };
    plan(&format!("name: x\nsteps:\n{}{}", fan_out("m"), fan_out("n")));
    let found = problems(&(fan_out("a") + &fan_out("n")));
    assert_eq!(found.lines().count(), 2, "{found}");
    assert!(found.contains("step `a` is already there, outside of this body"), "{found}");
    assert!(found.contains("[duplicate_step steps[1].config.steps[0].id]"), "{found}");
}

#[test]
fn a_lone_step_takes_no_name_from_the_steps_around() {
    let plan = plan(
        "name: x\nsteps:\n  - { id: item, type: transform }\n  - { id: m, type: for_each, config: { step_config: { type: transform, config: { a: \"{{ steps.item.x }}{{ item }}\" } } } }\n",
    );
    assert_eq!(needs(&plan, "m"), ["Reference item"]);
    assert!(body(&plan, "m").plan.steps[0].needs.is_empty());
}

#[test]
fn ports_in_use_are_those_that_some_step_waits_for() {
    let plan = plan(
        "name: x\nsteps:\n  - { id: a, type: condition }\n  - { id: b, type: transform, after: [a.true] }\n  - { id: c, type: transform, after: [a.true, d] }\n  - { id: d, type: condition, after: a }\n",
    );
    let used: Vec<_> = plan.steps.iter().map(|step| step.used_ports.join(" ")).collect();
    assert_eq!(used, ["true", "", "", ""]);
    let within = super::plan(
        "name: x\nsteps:\n  - { id: m, type: for_each, config: { steps: [{ id: a, type: condition }, { id: b, type: transform, after: a.false }] } }\n",
    );
    assert_eq!(body(&within, "m").plan.steps[0].used_ports, ["false"]);
}

#[test]
fn code_in_a_body_that_reads_what_nobody_waits_for_gets_a_warning() {
    let text = r#"
name: x
steps:
  - { id: a, type: transform }
  - { id: b, type: transform }
  - id: m
    type: for_each
    after: b
    config:
      steps:
        - { id: c, type: transform }
        - { id: d, type: inline_code, config: { code: "steps.a + steps.b + steps.c + steps.m + steps.z" } }
  - { id: n, type: sub_flow, config: { flow: { steps: [{ id: d, type: inline_code, config: { code: steps.a } }] } } }
"#;
    assert_eq!(
        listing(&plan(text).warnings),
        "12:55: this code names step `c`, which `d` does not wait for \
         [not_waited_for steps[2].config.steps[1].config.code]; add `after: [c]` to the step\n\
         12:55: this code names step `a`, which `m` does not wait for \
         [not_waited_for steps[2].config.steps[1].config.code]; add `after: [b, a]` to the step `m`"
    );
}

#[test]
fn a_body_that_a_plugin_made_is_planned_as_one_of_the_text() {
    let step = json!({"type": "transform", "config": {"a": "{{ item }} {{ steps.out.x }} {{ input }}"}});
    let made = build_made(json!({"step": step}), &["out"]).unwrap();
    assert_eq!((made.kind, &made.source), (BodyKind::Step, &step));
    let steps = json!([{"id": "a", "type": "transform"}, {"id": "b", "type": "transform", "after": "a"}]);
    let made = build_made(json!({"steps": steps}), &[]).unwrap();
    assert_eq!((made.kind, made.plan.steps[1].needs.len()), (BodyKind::Steps, 1));
    let flow = json!({"steps": steps, "input": {"type": "integer"}});
    let made = build_made(json!({"flow": flow}), &["out"]).unwrap();
    assert_eq!((made.kind, made.plan.check_input(&Json::null()).is_err()), (BodyKind::Flow, true));
}

#[track_caller]
fn made_fails(source: Value, expected: &str) {
    let problems = build_made(source.clone(), &["out"]).unwrap_err();
    assert_eq!(listing(&problems), expected, "{source}");
}

#[test]
fn a_body_that_a_plugin_made_is_checked_as_one_of_the_text() {
    let no_body = "a body is a mapping with one key: `step`, `steps` or `flow` [wrong_type ]";
    for source in [json!(null), json!({}), json!({"step": {}, "steps": []}), json!({"stepp": {}})] {
        made_fails(source, no_body);
    }
    made_fails(
        json!({"step": {"type": "fax"}}),
        "unknown step type `fax` [unknown_type step.type]; a run has the types that its flow names: \
         `condition`, `for_each`, `http_request`, `inline_code`, `sub_flow`, `transform`",
    );
    made_fails(
        json!({"steps": [{"id": "a", "type": "transform", "config": {"x": ["{{ secret.github }}"]}}]}),
        "the secret `github` stands in a body that a plugin made [secret_out_of_place steps[0].config.x[0]]; \
         write the body into the flow itself: only its own text may name secrets",
    );
    made_fails(
        json!({"steps": [{"id": "out", "type": "transform", "config": {"x": "{{ steps.later }}"}}]}),
        "step `out` is already there, outside of this body [duplicate_step steps[0].id]; \
         give it another id: in a body the steps around it have names too\n\
         there is no step `later` [unknown_step steps[0].config.x]; there are: `out`, `out`",
    );
    made_fails(
        json!({"flow": {"steps": [{"id": "a", "type": "http_request", "config": {"url": "{{ steps.out.x }}"}}]}}),
        "`method` is missing: `http_request` needs it [missing_key flow.steps[0].config]\n\
         there is no step `out` [unknown_step flow.steps[0].config.url]; \
         a flow within a step sees nothing outside of it but its `input`",
    );
}

#[test]
fn a_schema_that_is_compiled_already_is_not_compiled_again() {
    let types = types();
    let schema = Schema::compile(&json!({"required": ["lent"]})).unwrap();
    let lent = HashMap::from([(types["transform"].providers[0].digest, schema)]);
    let source = Json::from(json!({"step": {"type": "transform", "config": {}}}));
    let problems = Body::build(&source, &types, &lent, &BTreeSet::new()).unwrap_err();
    assert_eq!(problems[0].message, "`lent` is missing: `transform` needs it");
}

#[test]
fn the_name_of_a_file_stands_for_no_flow_where_nobody_puts_it_in() {
    fails(
        "  - { id: s, type: sub_flow, config: { flow: other.yaml } }\n",
        "3:46: expected a step with `type`, a list of steps, or a flow with `steps`, found a text \
         [wrong_type steps[0].config.flow]; send the flow itself; `stepcell run` and `stepcell submit` put files in",
    );
}

proptest! {
    /// A flow with bodies has a plan exactly where the same graph without bodies has none that waits for itself.
    #[test]
    fn bodies_wait_as_the_steps_that_have_them(
        outer in prop::collection::vec((0usize..5, 0usize..5), 0..6),
        inner in prop::collection::vec((0usize..5, 0usize..5), 0..6),
    ) {
        let config = |edges: &[(usize, usize)], step: usize| {
            let named = edges.iter().filter(|(from, _)| *from == step);
            named.map(|(_, to)| format!("{{{{ steps.s{to}.x }}}}")).collect::<String>()
        };
        let step = |index: usize| {
            let body = json!([{"id": "a", "type": "for_each", "config": {
                "step_config": {"type": "transform", "config": {"b": config(&inner, index)}},
            }}]);
            let config = json!({"a": config(&outer, index), "steps": body});
            json!({"id": format!("s{index}"), "type": "for_each", "config": config})
        };
        let flat = |index: usize| {
            let config = json!({"a": config(&outer, index), "b": config(&inner, index)});
            json!({"id": format!("s{index}"), "type": "transform", "config": config})
        };
        let made = |step: &dyn Fn(usize) -> Value| {
            let source = json!({"name": "x", "steps": (0..5).map(step).collect::<Vec<_>>()});
            Plan::from_source(&source, &types())
        };
        match (made(&step), made(&flat)) {
            (Ok(nested), Ok(flat)) => {
                let needs = |plan: Plan| plan.steps.into_iter().map(|step| step.needs).collect::<Vec<_>>();
                prop_assert_eq!(needs(nested), needs(flat));
            }
            (nested, flat) => prop_assert_eq!(nested.is_err(), flat.is_err()),
        }
    }
}
