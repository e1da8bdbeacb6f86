//! Rules that hold for all values and texts.

use proptest::{prelude::*, sample::Index};

use super::*;
use crate::template::expr::Expr;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter_map("finite", |float| serde_json::Number::from_f64(float).map(Value::Number)),
        "[a-c{}%é\"\\\\\u{1}]{0,6}"
            .prop_filter("no template", |text| !text.contains("{{") && !text.contains("{%"))
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(("[a-c]{1,2}", inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// A path to some value within `value`, and that value.
fn walk<'v>(value: &'v Value, turns: &[Index]) -> (String, &'v Value) {
    let (mut path, mut at) = (String::new(), value);
    for turn in turns {
        match at {
            Value::Array(items) if !items.is_empty() => {
                let index = turn.index(items.len());
                path.push_str(&format!("[{index}]"));
                at = &items[index];
            }
            Value::Object(entries) if !entries.is_empty() => {
                let (key, value) = entries.iter().nth(turn.index(entries.len())).unwrap();
                path.push_str(&format!(".{key}"));
                at = value;
            }
            _ => break,
        }
    }
    (path, at)
}

/// Expressions over numbers, strings and lists in which ours and minijinja's are meant to agree.
fn any_expression() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        (-20..20_i64).prop_map(|n| n.to_string()),
        Just("input.n".to_owned()),
        Just("2.5".to_owned())
    ];
    let number = number.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(vec!["+", "-", "*", "/", "//", "%"]), inner.clone())
                .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (inner.clone(), prop::sample::select(vec!["abs", "int", "float"]))
                .prop_map(|(a, filter)| format!("({a} | {filter})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a} if {b} < {c} else {c})")),
            inner.prop_map(|a| format!("(-{a})")),
        ]
    });
    let text = prop_oneof![Just("input.s".to_owned()), Just("'aB-c'".to_owned()), Just("'ü x'".to_owned())];
    let text = text.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} ~ {b})")),
            (
                inner.clone(),
                prop::sample::select(vec![
                    "upper",
                    "lower",
                    "title",
                    "capitalize",
                    "trim",
                    "reverse",
                    "replace('a', 'bc')"
                ])
            )
                .prop_map(|(a, filter)| format!("({a} | {filter})")),
            (inner, -3..4_i64, -3..4_i64).prop_map(|(a, start, stop)| format!("({a})[{start}:{stop}]")),
        ]
    });
    let list = prop_oneof![
        Just("input.l".to_owned()),
        prop::collection::vec(number.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
        (0..6_i64, 0..6_i64).prop_map(|(from, to)| format!("(range({from}, {to}) | list)")),
    ];
    let list = list.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} + {b})")),
            (
                inner.clone(),
                prop::sample::select(vec![
                    "sort",
                    "reverse | list",
                    "unique",
                    "map('abs') | list",
                    "select('integer') | list"
                ])
            )
                .prop_map(|(a, filter)| format!("({a} | {filter})")),
            (inner, -3..4_i64, -3..4_i64, prop::sample::select(vec![1, 2]))
                .prop_map(|(a, start, stop, step)| format!("(({a})[{start}:{stop}:{step}] | list)")),
        ]
    });
    let compared =
        (number.clone(), prop::sample::select(vec!["<", "<=", "==", "!=", ">", ">="]), number.clone());
    prop_oneof![
        compared.prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (number.clone(), list.clone()).prop_map(|(a, b)| format!("{a} in {b}")),
        (text.clone(), text.clone()).prop_map(|(a, b)| format!("{a} in {b} or {b}")),
        list.clone().prop_map(|a| format!("{a} | length")),
        list.clone().prop_map(|a| format!("{a} and {a} | sum")),
        number,
        text,
        list,
    ]
}

/// What minijinja itself makes of an expression. Its slices with a negative step can panic, so that there are none.
fn reference(expression: &str, input: &Value) -> Option<Value> {
    let mut environment = minijinja::Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let value = environment
        .compile_expression(expression)
        .ok()?
        .eval(minijinja::value::Serde(json!({ "input": input })))
        .ok()?;
    serde_json::to_value(&value).ok()
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b,
    }
}

proptest! {
    #[test]
    fn what_holds_no_template_comes_out_as_it_went_in(value in any_json()) {
        prop_assume!(!value.to_string().contains("$from"));
        let template = Template::compile(&value, &Options::default()).unwrap();
        prop_assert!(template.is_static());
        let resolved = template.resolve(&world().scope()).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Value>(resolved.text()).unwrap(), &value);
    }

    #[test]
    fn paths_lead_where_the_tree_does(value in any_json(), turns in prop::collection::vec(any::<Index>(), 0..5)) {
        let (path, expected) = walk(&value, &turns);
        let world = World::new(value.clone(), json!({"s": value.clone()}));
        for root in ["input", "steps.s"] {
            prop_assert_eq!(&world.resolve(&json!(format!("{{{{ {root}{path} }}}}"))).unwrap(), expected);
            let nested = world.resolve(&json!({"a": [format!("{{{{ [{root}{path}] }}}}")]})).unwrap();
            prop_assert_eq!(&nested["a"][0][0], expected);
        }
        let from = json!({"$from": {"step": "s"}, "path": format!("${path}")});
        prop_assert_eq!(&world.resolve(&from).unwrap(), expected);
        prop_assert_eq!(&reference(&format!("input{path}"), &value).unwrap(), expected);
    }

    #[test]
    fn the_language_is_that_of_jinja(expression in any_expression(), n in -5..50_i64, s in "[a-c B-]{0,5}", l in prop::collection::vec(-5..5_i64, 0..5)) {
        let input = json!({"n": n, "s": s, "l": l});
        let ours = World::new(input.clone(), json!({})).resolve(&json!(format!("{{{{ {expression} }}}}")));
        match (ours, reference(&expression, &input)) {
            (Ok(ours), Some(theirs)) => prop_assert!(same(&ours, &theirs), "{}: {} != {}", expression, ours, theirs),
            (Err(_), None) => {}
            (ours, theirs) => prop_assert!(false, "{}: {:?} != {:?}", expression, ours, theirs),
        }
    }

    #[test]
    fn any_text_ends(text in r#"(\{\{|\}\}|\{%|[ ]|steps|input|a|\.|\||\[|\]|\(|\)|'|"|~|\*|9|-|:|,|if|else|not|is|in|map|default|[^a]){0,25}"#) {
        for text in [text.clone(), format!("{{{{ {text} }}}}"), format!("x {{{{ input{text} }}}}")] {
            if let Ok(template) = Template::compile(&json!([text.clone()]), &Options::default()) {
                let _ = template.resolve(&world().scope());
            }
            let _ = Template::compile_condition(&text, &[]);
        }
    }

    #[test]
    fn any_path_ends(path in r#"(\$|\.|\*|\[|\]|\?|@|'|"|a|0|:|,|\(|\)|==|&&|!|[^a]){0,20}"#) {
        let template = json!({"$from": {"step": "fetch"}, "path": path});
        if let Ok(template) = Template::compile(&template, &Options::default()) {
            let _ = template.resolve(&world().scope());
        }
    }

    #[test]
    fn what_counts_as_true_is_what_conditions_take(value in any_json()) {
        let expected = match &value {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(entries) => !entries.is_empty(),
        };
        prop_assert_eq!(truthy(&value), expected);
        let world = World::new(value, json!({}));
        prop_assert_eq!(world.resolve(&json!("{{ true if input else false }}")).unwrap(), json!(expected));
    }
}

#[test]
fn plain_paths_need_no_evaluation_below_them() {
    let mut names = Names::new(&[]);
    let expr = compile::compile("steps.a.b[0]['c d'].e", &mut names).unwrap();
    assert!(matches!(expr, Expr::Path(path) if path.keys.len() == 4));
}
