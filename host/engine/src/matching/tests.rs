use proptest::prelude::*;
use serde_json::json;

use super::*;

#[track_caller]
fn check(payload: Value, pattern: Value, expected: bool) {
    assert_eq!(matches(&payload, &pattern), expected, "{payload} against {pattern}");
}

#[test]
fn a_mapping_may_have_more() {
    check(json!({"id": 1, "x": 2}), json!({"id": 1}), true);
    check(json!({"id": 1}), json!({"id": 1, "x": 2}), false);
    check(json!({"order": {"id": 1, "x": 2}, "y": 3}), json!({"order": {"id": 1}}), true);
    check(json!({"order": {"id": 2}}), json!({"order": {"id": 1}}), false);
    check(json!({"id": null}), json!({"id": null}), true);
    check(json!({}), json!({"id": null}), false);
}

#[test]
fn lists_are_equal_or_not() {
    check(json!({"tags": ["a", "b"]}), json!({"tags": ["a", "b"]}), true);
    check(json!({"tags": ["a", "b"]}), json!({"tags": ["a"]}), false);
    check(json!([{"id": 1, "x": 2}]), json!([{"id": 1}]), false);
    check(json!([{"id": 1.0}]), json!([{"id": 1}]), true);
}

#[test]
fn numbers_are_equal_by_value() {
    check(json!(1), json!(1.0), true);
    check(json!(1), json!("1"), false);
    check(json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992_u64), false);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-d]", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// A part of a value: some keys of its mappings, at any depth.
fn part_of(value: &Value, keep: &mut impl FnMut() -> bool) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|_| keep());
            Value::Object(
                kept.collect::<Vec<_>>().into_iter().map(|(k, v)| (k.clone(), part_of(v, keep))).collect(),
            )
        }
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn every_value_matches_itself(value in values()) {
        prop_assert!(matches(&value, &value));
    }

    #[test]
    fn every_value_matches_its_parts(value in values(), kept in any::<u64>()) {
        let mut bits = kept;
        let mut keep = || { bits = bits.rotate_left(1); bits & 1 == 1 };
        prop_assert!(matches(&value, &part_of(&value, &mut keep)));
    }

    #[test]
    fn a_match_is_handed_on(a in values(), b in values(), c in values()) {
        if matches(&a, &b) && matches(&b, &c) {
            prop_assert!(matches(&a, &c));
        }
    }

    #[test]
    fn what_matches_both_ways_is_equal(a in values(), b in values()) {
        prop_assert_eq!(matches(&a, &b) && matches(&b, &a), equal(&a, &b));
    }
}
