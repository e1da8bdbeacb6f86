//! What operators, filters and tests give.

use super::*;

#[track_caller]
fn gives(expression: &str, expected: Value) {
    check(json!(format!("{{{{ {expression} }}}}")), expected);
}

#[track_caller]
fn fails(expression: &str, reason: &str) {
    let error = world().resolve(&json!(format!("{{{{ {expression} }}}}"))).unwrap_err();
    assert_eq!(error.reason, reason, "{expression}");
}

#[track_caller]
fn refused(expression: &str, code: &str, hint: &str) {
    let problems =
        Template::compile(&json!(format!("{{{{ {expression} }}}}")), &Options::default()).unwrap_err();
    let problem = &problems[0];
    assert_eq!((problem.code, problem.hint.as_deref().unwrap_or_default()), (code, hint), "{expression}");
}

#[test]
fn arithmetic_is_that_of_jinja() {
    gives("7 / 2", json!(3.5));
    gives("4 / 2", json!(2.0));
    gives("-7 // 2", json!(-4));
    gives("-7 % 3", json!(2));
    gives("7.5 // 2", json!(3.0));
    gives("2 ** 10", json!(1024));
    gives("2 ** -1", json!(0.5));
    gives("1 + 2 * 3 - 4", json!(3));
    gives("input.big - 1", json!(u64::MAX - 1));
    gives("'a' + 'b' ~ 1 ~ none ~ [1]", json!("ab1null[1]"));
    gives("'ab' * 3", json!("ababab"));
    gives("[1] + input.list", json!([1, 3, 1, 2]));
    fails("input.big + 1", "the result is no number of 64 bits");
    fails("10 ** 100", "the result is no number of 64 bits");
    fails("1e308 * 10", "the result is no number of 64 bits");
    fails("1 % 0", "division by zero");
    fails("1 // 0.0", "division by zero");
    fails("'a' + 1", "`+` does not work on a string and a number");
    fails("true + 1", "`+` does not work on a boolean and a number");
    fails("[1] * 2", "`*` does not work on a list and a number");
}

#[test]
fn comparison_is_deep_and_strict() {
    gives("1 == 1.0", json!(true));
    gives("9007199254740993 == 9007199254740992.0", json!(false));
    gives("9007199254740993 > 9007199254740992.0", json!(true));
    gives("0.0 == -0.0", json!(true));
    gives("{'a': 1, 'b': [2]} == {'b': [2.0], 'a': 1}", json!(true));
    gives("1 < 2 < 3 and not 3 < 2", json!(true));
    gives("1 < 3 < 2", json!(false));
    gives("'b' > 'a'", json!(true));
    gives("1 == '1'", json!(false));
    gives("'da' in input.name and 'id' in input and 3 in input.list and 4 not in input.list", json!(true));
    fails("'10' > 5", "a string and a number have no order");
    fails("none < 1", "null and a number have no order");
    fails("1 in 1", "a number can not be in a number");
}

#[test]
fn logic_gives_the_operand_that_decides() {
    gives("input.none or 'x'", json!("x"));
    gives("input.id and 'x'", json!("x"));
    gives("0 and input.nope", json!(0));
    gives("not ''", json!(true));
    gives("'a' if input.list else 'b'", json!("a"));
    fails("input.nope or 1", "`input` has no `nope`; it has `id`, `name`, `big`, `none`, `list`, `a.b`");
    refused("'a' if input.x", "template_syntax", "write `{{ a if b else c }}`; `null` is a value");
}

#[test]
fn subscripts_and_slices_are_those_of_python() {
    gives("input.list[0]", json!(3));
    gives("input.list[-1]", json!(2));
    gives("input.list.0", json!(3));
    gives("input.list[1:]", json!([1, 2]));
    gives("input.list[::-1]", json!([2, 1, 3]));
    gives("input.list[:-1]", json!([3, 1]));
    gives("input.list[5:]", json!([]));
    gives("input.list[2:0:-1]", json!([2, 1]));
    gives("input.name[1:]", json!("da"));
    gives("'héé'[:2]", json!("hé"));
    gives("input['na' ~ 'me']", json!("Ada"));
    gives("item.n + index", json!(10));
    gives("null", json!(null));
    gives("{'a': 1, 'a': 2}", json!({"a": 2}));
    gives("(1, 2)", json!([1, 2]));
    fails("input.list[::0]", "the step of a slice is zero");
    fails("input.id[1:]", "a number can not be sliced, a string or a list can");
}

#[test]
fn defaults_stand_in_for_what_is_not_there() {
    gives("input.nope | default('x')", json!("x"));
    gives("input.nope.deeper[3] | default(none)", json!(null));
    gives("steps.other.body | d(0)", json!(0));
    gives("input.nope | default", json!(""));
    gives("'' | default('x', true)", json!("x"));
    gives("input.none | default('x')", json!(null));
    gives("input.nope is defined or input.id is defined", json!(true));
    gives("input.nope is undefined", json!(true));
    gives("[] | first | default(1)", json!(1));
}

#[test]
fn text_filters_work() {
    gives("'aB c' | upper ~ 'aB' | lower", json!("AB Cab"));
    gives("'hello wORLD-x' | title", json!("Hello World-X"));
    gives("'hELLO' | capitalize", json!("Hello"));
    gives("'  x ' | trim", json!("x"));
    gives("'xxaxx' | trim('x')", json!("a"));
    gives("'a-b-c' | replace('-', '+')", json!("a+b+c"));
    gives("'a,b,c' | split(',')", json!(["a", "b", "c"]));
    gives("'a,b,c' | split(',', 1)", json!(["a", "b,c"]));
    gives("' a  b ' | split", json!(["a", "b"]));
    gives("'a\\nb' | lines", json!(["a", "b"]));
    gives("'a b/ü' | urlencode", json!("a%20b%2F%C3%BC"));
    gives("{'q': 'a b', 'n': 1, 'x': none} | urlencode", json!("q=a%20b&n=1"));
    gives("12 | string", json!("12"));
    gives("[1, 'x'] | string", json!("[1,\"x\"]"));
    fails("1 | upper", "`upper`: a string is needed here, not a number");
}

#[test]
fn number_filters_work() {
    gives("-3 | abs", json!(3));
    gives("' 42 ' | int", json!(42));
    gives("'4.9' | int", json!(4));
    gives("'n/a' | int(default=0)", json!(0));
    gives("none | int(none)", json!(null));
    gives("'18446744073709551615' | int", json!(u64::MAX));
    gives("'2.5' | float", json!(2.5));
    gives("2.675 | round(2)", json!(2.67));
    gives("2.5 | round", json!(3.0));
    gives("2.1 | round(method='ceil')", json!(3.0));
    gives("1234 | round(-2)", json!(1200));
    gives("[1, 2.5] | sum", json!(3.5));
    gives("[{'a': {'b': 2}}, {'a': {'b': 3}}] | sum(attribute='a.b')", json!(5));
    gives("input.list | bool", json!(true));
    fails("'n/a' | int", "`int`: `n/a` is no text of an integer");
    fails("'nan' | float", "`float`: the result is no number of 64 bits");
}

#[test]
fn list_filters_work() {
    gives("input.list | length", json!(3));
    gives("'äb' | count", json!(2));
    gives("input.list | first", json!(3));
    gives("input.list | last", json!(2));
    gives("input.list | min", json!(1));
    gives("input.list | max", json!(3));
    gives("input.list | sort", json!([1, 2, 3]));
    gives("['b', 'A', 'a'] | sort", json!(["A", "a", "b"]));
    gives("['b', 'A', 'a'] | sort(case_sensitive=true, reverse=true)", json!(["b", "a", "A"]));
    gives(
        "steps.fetch.body.items | sort(attribute='n', reverse=true) | map(attribute='n')",
        json!(["b", "a"]),
    );
    gives("input.list | reverse", json!([2, 1, 3]));
    gives("input.list | join('-')", json!("3-1-2"));
    gives("steps.fetch.body.items | join(', ', attribute='n')", json!("a, b"));
    gives("[1, 1, 'a', 'A'] | unique", json!([1, "a"]));
    gives("[0, 0.0, -0.0, 0.5, 0.5] | unique", json!([0, 0.5]));
    gives("'ab' | list", json!(["a", "b"]));
    gives("['a', 'b'] | map('upper')", json!(["A", "B"]));
    gives("['a-b'] | map('replace', '-', '+')", json!(["a+b"]));
    gives("[{'a': 1}, {}] | map(attribute='a', default=0)", json!([1, 0]));
    gives("[1, 2, 3] | select('odd')", json!([1, 3]));
    gives("[1, 2, 3] | reject('in', [1, 2])", json!([3]));
    gives("[0, 1, ''] | select", json!([1]));
    gives("steps.fetch.body.items | selectattr('n', '==', 'b') | map(attribute='n') | first", json!("b"));
    gives("[{'a': 1}, {'b': 1}] | rejectattr('a', 'defined')", json!([{"b": 1}]));
    gives("[{'a': 1}, {'b': 1}] | selectattr('a')", json!([{"a": 1}]));
    gives(
        "[{'k': 'x', 'v': 1}, {'k': 'y', 'v': 2}, {'k': 'X', 'v': 3}] | groupby('k') | map('last') | map('length')",
        json!([2, 1]),
    );
    gives("range(3)", json!([0, 1, 2]));
    gives("range(5, 0, -2)", json!([5, 3, 1]));
    gives("range(3, 1)", json!([]));
    fails("[{'a': 1}] | map(attribute='b')", "`map`: a map of the list has no `b`");
    fails("[1, 'a'] | sort", "`sort`: a string and a number have no order");
    fails("[] | min", "list is empty");
}

#[test]
fn map_and_json_filters_work() {
    gives("{'b': 1, 'a': 2} | keys", json!(["b", "a"]));
    gives("{'b': 1, 'a': 2} | values", json!([1, 2]));
    gives("{'b': 1} | items", json!([["b", 1]]));
    gives("{'b': 1, 'A': 2} | dictsort", json!([["A", 2], ["b", 1]]));
    gives("{'b': 1, 'A': 2} | dictsort(by='value', reverse=true)", json!([["A", 2], ["b", 1]]));
    gives("{'a': 1, 'b': 1} | merge({'b': 2, 'c': 3})", json!({"a": 1, "b": 2, "c": 3}));
    gives("'{\"a\": [1, 2.5, null, \"<x>\"]}' | fromjson", json!({"a": [1, 2.5, null, "<x>"]}));
    gives("{'a': '<b>'} | tojson", json!("{\"a\":\"<b>\"}"));
    gives("{'a': [1]} | tojson(indent=1)", json!("{\n \"a\": [\n  1\n ]\n}"));
    fails("'x' | fromjson", "`fromjson`: not JSON: expected value at line 1 column 1");
}

#[test]
fn tests_tell_types() {
    gives("[1, 1.5, 'a', none, true, [], {}] | select('number') | list", json!([1, 1.5]));
    gives(
        "1 is integer and 1.5 is float and 'a' is string and none is none and true is boolean",
        json!(true),
    );
    gives("[] is sequence and {} is mapping and 'a' is iterable and [] is empty", json!(true));
    gives("4 is even and 3 is odd and 9 is divisibleby(3) and 9 is divisibleby 3", json!(true));
    gives("'abc' is startingwith('ab') and 'abc' is endingwith 'c'", json!(true));
    gives("1 is not none", json!(true));
}

#[test]
fn what_there_is_not_is_refused_with_what_there_is() {
    refused("input.x | lenght", "unknown_filter", "did you mean `length`?");
    refused("input.x is defned", "unknown_test", "did you mean `defined`?");
    refused("input.x.upper()", "unknown_function", "if there is a filter of that name: `value | upper`");
    refused("now()", "unknown_function", "if it is a filter: `value | now`");
    refused("input.x | replace('a')", "template_arguments", "");
    refused("input.x | upper(1)", "template_arguments", "");
    refused("input.x | sort(atribute='a')", "template_arguments", "");
    refused("input.x | map(input.y)", "template_arguments", "");
    refused("input.x | split(',', sep=',')", "template_arguments", "");
    refused("340282366920938463463374607431768211455", "template_syntax", "");
}
