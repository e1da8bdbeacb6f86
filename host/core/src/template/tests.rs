use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;

mod algebra;
mod bombs;
mod language;

/// Outputs by id.
struct Outputs(BTreeMap<String, Json>);

impl Steps for Outputs {
    fn output(&self, id: &str) -> Option<Json> {
        self.0.get(id).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

/// What the templates of these tests read.
struct World {
    input: Json,
    outputs: Outputs,
    extra: Vec<(&'static str, Json)>,
}

impl World {
    fn new(input: Value, steps: Value) -> Self {
        let steps = steps.as_object().unwrap().iter();
        let outputs = steps.map(|(id, output)| (id.clone(), Json::from(output.clone()))).collect();
        let extra = vec![("item", Json::from(json!({"n": 7}))), ("index", Json::from(json!(3)))];
        Self { input: input.into(), outputs: Outputs(outputs), extra }
    }

    fn scope(&self) -> Scope<'_> {
        Scope { input: &self.input, steps: &self.outputs, extra: &self.extra }
    }

    fn resolve(&self, template: &Value) -> Result<Value, TemplateError> {
        let options = Options { roots: &["item", "index"], ..Options::default() };
        let json = Template::compile(template, &options).unwrap().resolve(&self.scope())?;
        // The text must be JSON in its own right, not only for whoever trusts it.
        Ok(serde_json::from_str(json.text()).unwrap())
    }
}

fn world() -> World {
    World::new(
        json!({"id": 7, "name": "Ada", "big": u64::MAX, "none": null, "list": [3, 1, 2], "a.b": 1}),
        json!({
            "fetch": {"status_code": 200, "body": {"total": 12.5, "items": [{"n": "a"}, {"n": "b"}]}, "headers": {}},
            "empty": [],
        }),
    )
}

#[track_caller]
fn check(template: Value, expected: Value) {
    match world().resolve(&template) {
        Ok(value) => assert_eq!(value, expected, "{template}"),
        Err(error) => panic!("{template}: {error}"),
    }
}

#[track_caller]
fn check_error(template: Value, reason: &str, hint: &str) {
    let error = world().resolve(&template).unwrap_err();
    assert_eq!(
        (error.reason.as_str(), error.hint.as_deref().unwrap_or_default()),
        (reason, hint),
        "{template}"
    );
}

#[track_caller]
fn check_problem(template: Value, code: &str, path: &str) {
    let problems = Template::compile(&template, &Options::default()).unwrap_err();
    let found: Vec<_> = problems.iter().map(|problem| (problem.code, problem.path.as_str())).collect();
    assert_eq!(found, [(code, path)], "{template}: {problems:?}");
}

#[test]
fn a_whole_expression_keeps_its_type() {
    check(json!("{{ input.id }}"), json!(7));
    check(json!(" {{ input.id }}"), json!(" 7"));
    check(json!("{{ input.big }}"), json!(u64::MAX));
    check(json!("{{ -9223372036854775808 }}"), json!(i64::MIN));
    check(json!("{{ input.none }}"), json!(null));
    check(json!("{{ steps.fetch.body }}"), world().outputs.0["fetch"].value()["body"].clone());
    check(json!("{{ steps.empty }}"), json!([]));
    check(json!("{{ 1.0 }}"), json!(1.0));
    check(json!("{{ input['a.b'] }}"), json!(1));
    check(
        json!({"deep": [{"x": "{{ steps.fetch.body.items[-1].n }}"}, 1]}),
        json!({"deep": [{"x": "b"}, 1]}),
    );
}

#[test]
fn mixed_text_gives_a_string() {
    check(json!("{{ input.id }}{{ input.id }}"), json!("77"));
    check(
        json!("a {{ input.none }} {{ true }} {{ input.list }} {{ 2.5 }} {{ {'k': 'v'} }}"),
        json!("a null true [3,1,2] 2.5 {\"k\":\"v\"}"),
    );
    check(json!("{{ '{{' }} {{ '{%' }}"), json!("{{ {%"));
    check(json!("{ {% } }} {# plain #}"), json!("{ {% } }} {# plain #}"));
}

#[test]
fn from_means_the_same_as_a_template() {
    check(json!({"$from": {"step": "fetch"}, "path": "$.body.total"}), json!(12.5));
    check(json!({"$from": {"step": "fetch"}, "path": "body.items[1].n"}), json!("b"));
    check(json!({"$from": {"step": "fetch"}, "path": "$.body.items[*].n"}), json!(["a", "b"]));
    check(json!({"$from": {"step": "fetch"}, "path": "$.body.items[?@.n == 'b'].n"}), json!(["b"]));
    check(json!({"$from": {"step": "fetch"}, "path": "$..nothing"}), json!([]));
    check(json!({"x": {"$from": {"workflow": "input"}}}), json!({"x": world().input.value()}));
    check(json!({"$from": {"workflow": "input"}, "path": "id"}), json!(7));
    check(json!([{"$from": {"workflow": "input"}, "path": "['a.b']"}]), json!([1]));
    check_error(json!({"$from": {"step": "fetch"}, "path": "$.x"}), "there is nothing at `$.x`", "");
}

#[test]
fn wrong_references_are_refused() {
    check_problem(json!({"a": {"$from": {"step": "x"}, "paht": "$"}}), "from_invalid", "a");
    check_problem(json!({"a": {"$from": {"step": 1}}}), "from_invalid", "a");
    check_problem(json!({"a": {"$from": {"step": "x", "workflow": "input"}}}), "from_invalid", "a");
    check_problem(json!({"a": {"$from": {"workflow": "steps"}}}), "from_invalid", "a");
    check_problem(json!({"a": {"$from": "x"}}), "from_invalid", "a");
    check_problem(json!({"a": {"$from": {"step": "x"}, "path": 1}}), "from_invalid", "a");
    check_problem(json!([{"$from": {"step": "x"}, "path": "$.["}]), "path_invalid", "[0]");
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    check_error(
        json!("{{ steps.fetch.bod }}"),
        "`steps.fetch` has no `bod`; it has `status_code`, `body`, `headers`",
        "did you mean `body`?",
    );
    check_error(json!("{{ steps.fetch.headers.x }}"), "`steps.fetch.headers` has no `x`; it is empty", "");
    check_error(json!("{{ steps.empty[2] }}"), "`steps.empty` has 0 items, none at 2", "");
    check_error(json!("{{ input.name.x }}"), "`input.name` is a string, it has no `x`", "");
    check_error(
        json!("{{ input.list.length }}"),
        "`input.list` is a list, it has no `length`",
        "`length` is a filter: write `| length`",
    );
    check_error(
        json!("{{ steps.other.x }}"),
        "step `other` has no output: it did not run",
        "there is one of `empty`, `fetch`; give a value for this case with `| default(…)`",
    );
    check_error(json!("{{ (input.list + []).x }}"), "the value is a list, it has no `x`", "");
}

#[test]
fn a_failure_says_where_and_what() {
    let error = world().resolve(&json!({"a": ["x", {"b": "n: {{ input.id / 0 }}"}]})).unwrap_err();
    assert_eq!(error.to_string(), "`n: {{ input.id / 0 }}` at `a[1].b` gives no value: division by zero");
    let error = world().resolve(&json!("{{ input.x }}")).unwrap_err();
    assert!(error.to_string().starts_with("`{{ input.x }}` gives no value: `input` has no `x`"), "{error}");
    let error = world().resolve(&json!({"a": {"$from": {"step": "fetch"}, "path": "$.x"}})).unwrap_err();
    assert_eq!(
        (error.path.as_str(), error.expression.as_str()),
        ("a", r#"{"$from":{"step":"fetch"},"path":"$.x"}"#)
    );
}

#[test]
fn all_problems_are_found_at_once() {
    let template = json!({"a": "{{ (", "b": ["{{ x | nope }}"], "c": {"d": "{{ steps }}"}, "{{ e }}": 1});
    let problems = Template::compile(&template, &Options::default()).unwrap_err();
    let found: Vec<_> = problems.iter().map(|problem| (problem.path.as_str(), problem.code)).collect();
    assert_eq!(
        found,
        [
            ("a", "template_syntax"),
            ("b[0]", "unknown_filter"),
            ("c.d", "dynamic_reference"),
            ("{{ e }}", "template_key"),
        ]
    );
}

#[test]
fn references_must_stand_in_the_text() {
    for text in [
        "{{ steps[input.x] }}",
        "{{ steps | length }}",
        "{{ steps[0] }}",
        "{{ {'a': steps} }}",
        "{{ secret }}",
    ] {
        check_problem(json!(text), "dynamic_reference", "");
    }
    check(json!("{{ steps['fetch']['body'].items[input.list[1]].n }}"), json!("b"));
}

#[test]
fn references_are_collected_with_their_places() {
    let template = json!({
        "a": "{{ steps.one.x }} {{ steps.one.y }} {{ secret.KEY }}",
        "b": [{"$from": {"step": "two"}}, "{{ steps['one'] if input.x else item.y }}"],
        "c": "{{ nope.x }}",
        "d": {"e": "{{ secret.KEY }}"},
    });
    let template = Template::compile(&template, &Options { roots: &["item"], ..Options::default() }).unwrap();
    let References { steps, input, secrets, unknown } = template.references();
    assert_eq!(
        serde_json::to_value(steps).unwrap(),
        json!({"one": ["a", "b[1]"], "two": ["b[0]"]}),
        "each place once"
    );
    assert!(*input);
    assert_eq!(serde_json::to_value(secrets).unwrap(), json!({"KEY": ["a", "d.e"]}));
    assert_eq!(*unknown, [("nope".to_owned(), "c".to_owned())]);
}

#[test]
fn deferred_keys_stay_as_they_are() {
    let template =
        json!({"items": "{{ input.list }}", "body": [{"url": "{{ steps.fetch.x }}{{ item }}{{ ( }}"}]});
    let options = Options { deferred: &["body".to_owned()], ..Options::default() };
    let compiled = Template::compile(&template, &options).unwrap();
    assert_eq!(*compiled.references(), References { input: true, ..References::default() });
    let resolved = compiled.resolve(&world().scope()).unwrap();
    assert_eq!(resolved.value()["body"], template["body"]);
    assert_eq!(resolved.value()["items"], json!([3, 1, 2]));
}

#[test]
fn literal_keys_pass_unless_they_hold_a_template() {
    let literal = BTreeMap::from([("code".to_owned(), "input".to_owned())]);
    let options = Options { literal: &literal, ..Options::default() };
    for code in ["f\"{{x}}\"", "a = {{1}}", "{% if %}", "x = {{ 'a': 1 }"] {
        let template = json!({"code": code, "x": "{{ input.id }}"});
        let resolved = Template::compile(&template, &options).unwrap().resolve(&world().scope()).unwrap();
        assert_eq!(resolved.value(), &json!({"code": code, "x": 7}));
    }
    for code in ["x = {{ input.id }}", "{{ steps.a }}", "{{ 1 }} {{ secret.A | upper }}"] {
        let problems = Template::compile(&json!({"code": code}), &options).unwrap_err();
        assert_eq!((problems[0].code, problems[0].path.as_str()), ("template_literal", "code"));
        assert_eq!(problems[0].hint.as_deref(), Some("pass the value in through `input`"));
    }
}

#[test]
fn conditions_take_an_expression_with_or_without_braces() {
    for (text, expected) in [
        ("{{ input.id > 3 }}", true),
        ("input.id > 7", false),
        ("input.name", true),
        ("not input.list", false),
    ] {
        let value = Template::compile_condition(text, &[]).unwrap().resolve(&world().scope()).unwrap();
        assert_eq!(truthy(value.value()), expected, "{text}");
    }
    for text in ["a {{ input.id }}", "{{ input.id }}{{ input.id }}", "", "{{ }}", "input.id >"] {
        let problems = Template::compile_condition(text, &[]).unwrap_err();
        assert_eq!(problems[0].code, "template_syntax", "{text}");
    }
}

#[test]
fn static_templates_and_whole_outputs_are_shared() {
    let world = world();
    let template = Template::compile(&json!({"a": [1, "x"]}), &Options::default()).unwrap();
    assert!(template.is_static());
    let (one, two) = (template.resolve(&world.scope()).unwrap(), template.resolve(&world.scope()).unwrap());
    assert_eq!(one.text().as_ptr(), two.text().as_ptr());
    let template = Template::compile(&json!("{{ steps.fetch }}"), &Options::default()).unwrap();
    let whole = template.resolve(&world.scope()).unwrap();
    assert_eq!(whole.text().as_ptr(), world.outputs.0["fetch"].text().as_ptr());
}

#[test]
fn the_text_of_a_whole_document_is_passed_on_as_it_is() {
    let mut world = world();
    world.input = Json::parse(r#"{ "n" : 123456789012345678901234567890.10 }"#.to_owned()).unwrap();
    let template = Template::compile(&json!({"x": "{{ input }}"}), &Options::default()).unwrap();
    let text = template.resolve(&world.scope()).unwrap();
    assert_eq!(text.text(), r#"{"x":{ "n" : 123456789012345678901234567890.10 }}"#);
}

#[test]
fn secrets_come_from_the_scope() {
    let mut world = world();
    let template = Template::compile(&json!("Bearer {{ secret.KEY }}"), &Options::default()).unwrap();
    assert_eq!(template.resolve(&world.scope()).unwrap_err().reason, "there is no `secret` here");
    world.extra.push(("secret", Json::from(json!({"KEY": "token"}))));
    assert_eq!(template.resolve(&world.scope()).unwrap().value(), "Bearer token");
}

#[test]
fn templates_can_cross_threads() {
    fn check<T: Send + Sync>() {}
    check::<Template>();
}

/// Runs on a stack as small as those of a busy server.
fn on_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}

/// Stops the clock over something that must end soon, also on a busy machine.
#[track_caller]
fn soon<T>(run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = run();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    done
}
