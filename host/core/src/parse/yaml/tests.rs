use serde_json::{Value, json};

use super::*;

#[track_caller]
fn check(text: &str, expected: Value) {
    let mut problems = Problems::default();
    let node = read(text, &mut problems);
    assert!(problems.is_empty(), "{:?}", problems.into_vec());
    assert_eq!(node.unwrap().to_value(), expected, "{text}");
}

#[track_caller]
fn fails(text: &str, expected: &[&str]) {
    let mut problems = Problems::default();
    read(text, &mut problems);
    let found = problems.into_vec();
    let found: Vec<String> =
        found.iter().map(|problem| format!("{problem} [{} {}]", problem.code, problem.path)).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn reads_block_and_flow_style() {
    check("a: 1\nb:\n  - x\n  - {c: [1, two]}\n", json!({"a": 1, "b": ["x", {"c": [1, "two"]}]}));
    check("a: |\n  x\n  y\nb: >-\n  p\n  q\n", json!({"a": "x\ny\n", "b": "p q"}));
    check("a: '1'\nb: \"2\"\nc: !!str 3\nd: yes\n", json!({"a": "1", "b": "2", "c": "3", "d": "yes"}));
    check("1: a\ntrue: b\nnull: c\n", json!({"1": "a", "true": "b", "null": "c"}));
    check("", json!(null));
    check("# only a comment\n", json!(null));
    check("--- \na: 1\n", json!({"a": 1}));
}

#[test]
fn aliases_are_written_out() {
    check("a: &x [1, {b: 2}]\nc: *x\n", json!({"a": [1, {"b": 2}], "c": [1, {"b": 2}]}));
    check("a: &x 1\nb: &x 2\nc: *x\n", json!({"a": 1, "b": 2, "c": 2}));
    fails("a: *x\n", &["1:4: this is not YAML: while parsing node, found unknown anchor [invalid_yaml ]"]);
    fails("a: &x [*x]\n", &["1:8: the alias refers to a value that contains it [invalid_yaml ]"]);
}

#[test]
fn expansion_bombs_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let mut problems = Problems::default();
    assert_eq!(read(&bomb, &mut problems), None);
    assert_eq!(problems.into_vec()[0].code, "too_large");

    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 100_000].join(","));
    let mut problems = Problems::default();
    assert_eq!(read(&long, &mut problems), None);
    assert_eq!(problems.into_vec()[0].code, "too_large");
}

#[test]
fn deep_nesting_is_refused() {
    let aliased: String = (1..200).map(|level| format!("a{level}: &a{level} [*a{}]\n", level - 1)).collect();
    let texts = [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "? ".repeat(100_000),
        format!("a0: &a0 []\n{aliased}"),
    ];
    for text in texts {
        let mut problems = Problems::default();
        assert_eq!(read(&text, &mut problems), None, "{text:.20}");
        assert_eq!(problems.into_vec()[0].code, "too_deep", "{text:.20}");
    }
}

#[test]
fn an_unquoted_template_gets_the_hint_to_quote_it() {
    let expected = "a `{{ … }}` without quotes is a mapping to YAML [unquoted_template";
    fails("a:\n  b: {{ input.x }}\n", &[&format!("2:6: {expected} a.b]")]);
    fails("a:\n  - {{ input.x }}\n", &[&format!("2:5: {expected} a[0]]")]);
    fails("{{ x }}\n", &[&format!("1:1: {expected} ]")]);
    fails("a: {{ x }}\nb: {{ y }}\n", &[&format!("1:4: {expected} a]"), &format!("2:4: {expected} b]")]);
    fails("a: {{ x }}/path\nb: 1\n", &[&format!("1:4: {expected} a]")]);
    fails("é: {{ x | default('a') }}\n", &[&format!("1:4: {expected} é]")]);
}

#[test]
fn what_json_can_not_hold_is_refused() {
    fails("a: [.inf]\n", &["1:5: `.inf` is a number that JSON can not hold [invalid_value a[0]]"]);
    fails("? [a]\n: 1\n", &["1:3: a key must be a text, not a list or mapping [unsupported_yaml ]"]);
    fails(
        "a: &x {b: 1}\nc:\n  <<: *x\n",
        &["3:3: merge keys (`<<`) are not part of YAML 1.2 [unsupported_yaml c]"],
    );
    fails("a: !thing x\n", &["1:4: the tag `!thing` is not known [unsupported_yaml a]"]);
    fails("a: 1\n---\nb: 2\n", &["2:1: a second YAML document begins here [invalid_yaml ]"]);
}

#[test]
fn places_count_characters() {
    let mut problems = Problems::default();
    let node = read("é😀: 1\nb:\n  - c: |\n      text\n    d: [x, {e: 1}]\n", &mut problems).unwrap();
    let at = |path| (node.locate(path).line, node.locate(path).column);
    assert_eq!(at("é😀"), (1, 5));
    assert_eq!(at("b[0]"), (3, 5));
    // A block of text begins where its text does.
    assert_eq!(at("b[0].c"), (4, 7));
    assert_eq!(at("b[0].d[1].e"), (5, 16));
    assert_eq!(node.locate_key("b[0]", "d"), Position { line: 5, column: 5 });
}
