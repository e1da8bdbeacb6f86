//! Texts that would stall or fill the host if nothing stopped them.

use super::*;

/// 1 MiB of text and 100 000 numbers.
fn large() -> World {
    World::new(
        json!({"text": "x".repeat(1 << 20), "list": (0..100_000).collect::<Vec<_>>(), "json": "[".to_owned() + &"[],".repeat(1 << 20) + "1]"}),
        json!({}),
    )
}

#[track_caller]
fn stops(expression: &str) {
    let error = soon(|| large().resolve(&json!(format!("{{{{ {expression} }}}}"))).unwrap_err());
    let bounds =
        ["it takes more than", "it makes more than", "the result is over", "the result is no number"];
    assert!(bounds.iter().any(|bound| error.reason.contains(bound)), "{expression}: {error:.300}");
}

#[test]
fn growing_values_are_stopped() {
    stops("range(10**9)");
    stops("range(0 - 10**18, 10**18)");
    stops("'x' * 10**9");
    stops("input.text * 10**6");
    stops("10**9 * 'x'");
    stops(&format!("input.text{}", " ~ input.text".repeat(100)));
    stops(&format!("[input.text{}] | join", ", input.text".repeat(100)));
    stops(&format!("[{}'x']", "input.text, ".repeat(100)));
    stops("input.text | replace('', input.text)");
    stops("input.text | replace('x', 'xy' * 100)");
    stops("input.list | join(input.text)");
    stops("input.list | map('string') | map('replace', '0', input.text) | list");
    stops("input.list | map('string') | map('replace', '1', input.text)");
    stops("input.text | list | map('upper') | join(input.text)");
    stops("input.json | fromjson");
    stops("input.list | map(attribute='x', default=input.text) | list | string");
    stops(&format!("range(10000){}", " | map('string') | map('list') | list".repeat(12)));
    stops("{'a': input.list, 'b': input.text} | tojson(indent=8) * 20");
    stops("2 ** (2 ** 62)");
}

#[test]
fn long_work_is_stopped() {
    stops("input.list | select('in', input.list) | list");
    stops(&format!("input.list == input.list{}", " and input.list == input.list".repeat(60)));
    stops("input.list | map('string') | select('in', input.text) | list");
    stops("input.text | list | groupby('x', default='y') | list | string | list | sort | sort | sort");
    stops("input.text | trim(input.text)");
    stops(&format!("input.list{}", " | sort | reverse".repeat(30)));
}

#[test]
fn the_result_is_bounded_in_all_parts_together() {
    let world = large();
    let template = Value::from(vec!["{{ input }}"; 40]);
    let error = soon(|| world.resolve(&template).unwrap_err());
    assert_eq!(error.reason, "the result is over 32 MiB");
    let template = Value::from(vec!["{{ input.text }}"; 40]);
    assert_eq!(world.resolve(&template).unwrap_err().reason, "the result is over 32 MiB");
    assert_eq!(world.resolve(&template).unwrap_err().path, "[31]");
}

#[test]
fn the_result_is_no_deeper_than_parsers_take() {
    let deep = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    let wrapped = |depth: usize, text: &str| (0..depth).fold(json!(text), |inner, _| json!([inner]));
    for text in ["{{ input }}", "{{ input[0] }}", "{{ [input[0]] }}", "{{ (input | string) | fromjson }}"] {
        let world = World::new(deep(100), json!({}));
        assert!(world.resolve(&wrapped(27, text)).is_ok(), "{text}");
        let error = world.resolve(&wrapped(29, text)).unwrap_err();
        assert_eq!(error.reason, "the result nests over 127 deep", "{text}");
    }
}

#[test]
fn paths_that_multiply_are_refused() {
    for path in [
        "$..*..*",
        "$[*,*][*,*]",
        "$[?@[?@.a]]",
        "$[?$.a]",
        "$..*[*][*][*]",
        "$[?match(@.a, '(a{1000}){1000}')]",
        "$[?((((@.a))))]",
        &format!("$.{}", "a".repeat(2_000)),
    ] {
        let template = json!({"$from": {"step": "x"}, "path": path});
        let problems = soon(|| Template::compile(&template, &Options::default()).unwrap_err());
        assert_eq!(problems[0].code, "path_invalid", "{path}");
        assert!(problems[0].message.contains("does too much"), "{problems:?}");
    }
    check(json!({"$from": {"step": "fetch"}, "path": "$.body.items[?@.n == '$?*,(((((']"}), json!([]));
}

#[test]
fn a_path_pays_for_what_it_looks_at() {
    let world =
        World::new(json!([]), json!({"a": (0..200_000).map(|n| json!({"n": n})).collect::<Vec<_>>()}));
    let template = Value::from(vec![json!({"$from": {"step": "a"}, "path": "$..*"}); 100]);
    let error = soon(|| world.resolve(&template).unwrap_err());
    assert!(error.reason.starts_with("it takes more than"), "{}", error.reason);
}

#[test]
fn texts_that_nest_do_not_reach_the_stacks_end() {
    on_small_stack(|| {
        for (one, last) in [
            ("(", "1"),
            ("[", ""),
            ("-", "1"),
            ("not ", "1"),
            ("1 if 1 else ", "1"),
            ("{1:", "1"),
            ("a[", "1"),
            ("'a'|map(", ""),
        ] {
            for count in [100, 400, 990, 5_000] {
                let text = format!("{{{{ {}{last} }}}}", one.repeat(count));
                let _ = soon(|| Template::compile(&json!(text), &Options::default()).is_ok());
            }
        }
        for more in ["+1", ".a", "[0]", "|abs", "~1", " and 1", " is odd", " == 1"] {
            for count in [100, 400, 990, 5_000] {
                let text = format!("{{{{ 1{} }}}}", more.repeat(count));
                if let Ok(template) = Template::compile(&json!(text), &Options::default()) {
                    let _ = template.resolve(&world().scope());
                }
            }
        }
    });
}

#[test]
fn long_texts_take_time_that_grows_with_them_and_no_faster() {
    let literal = BTreeMap::from([("code".to_owned(), "input".to_owned())]);
    let options = Options { literal: &literal, deferred: &["body".to_owned()], ..Options::default() };
    for piece in ["{{", "}}", "{{ }}", "{{ ' }}", "{%", "{{{%", "{{ 1 }}", "{{ input.x }}", "'{{", "{{\""] {
        let text = piece.repeat((1 << 20) / piece.len());
        for key in ["code", "body", "other"] {
            let _ = soon(|| Template::compile(&json!({key: text}), &options).is_ok());
        }
        let path = json!({"$from": {"step": "x"}, "path": text});
        let _ = soon(|| Template::compile(&path, &options).is_ok());
    }
}

#[test]
fn messages_are_bounded() {
    let keys: serde_json::Map<String, Value> =
        (0..10_000).map(|n| (format!("{n}{}", "k".repeat(1_000)), json!(n))).collect();
    let world = World::new(Value::Object(keys), json!({}));
    let error = world.resolve(&json!("{{ input.nope }}")).unwrap_err();
    assert!(error.reason.len() < 4_000, "{}", error.reason.len());
    assert!(error.reason.ends_with("and 9988 more"), "{}", error.reason);
}
