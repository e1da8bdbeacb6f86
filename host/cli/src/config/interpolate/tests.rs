use proptest::prelude::*;

use super::*;

fn variables(name: &str) -> Option<String> {
    match name {
        "A" => Some("alpha".to_owned()),
        "EMPTY" => Some(String::new()),
        "TRICKY" => Some("${A}}".to_owned()),
        _ => None,
    }
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(fill_in(text, &variables).as_deref(), Ok(expected), "{text}");
}

#[track_caller]
fn check_fails(text: &str, offset: usize, reason: Reason) {
    assert_eq!(fill_in(text, &variables), Err(Error { offset, reason }), "{text}");
}

#[test]
fn set_variables_are_filled_in() {
    check("x ${A} y", "x alpha y");
    check("${A}${A}", "alphaalpha");
    check("${EMPTY}", "");
    check("${A:-other}", "alpha");
}

#[test]
fn defaults_stand_in_for_unset_and_empty() {
    check("${B:-other}", "other");
    check("${EMPTY:-other}", "other");
    check("${B:-}", "");
    check("${B:-a:-b}", "a:-b");
}

#[test]
fn defaults_nest() {
    check("${B:-${C:-${A}}}", "alpha");
    check("${B:-<${C:-in}>}!", "<in>!");
    check("${A:-${C}}", "alpha");
}

#[test]
fn other_text_is_kept() {
    check("$A $ $$ {x} }", "$A $ $$ {x} }");
    check("$${A}", "${A}");
    check("é $${", "é ${");
    check("${B:-$${A}}", "${A}");
}

#[test]
fn values_are_not_filled_in_again() {
    check("${TRICKY}", "${A}}");
    check("${B:-${TRICKY}}", "${A}}");
}

#[test]
fn errors_say_what_and_where() {
    check_fails("é ${B}", 3, Reason::Unset("B".to_owned()));
    check_fails("${B:-${C}}", 5, Reason::Unset("C".to_owned()));
    check_fails("${B:-${C} ${D}}", 5, Reason::Unset("C".to_owned()));
    check_fails("x ${A", 2, Reason::Unclosed);
    check_fails("${A:-x", 0, Reason::Unclosed);
    check_fails("${A-x}", 0, Reason::Name("A-x".to_owned()));
    check_fails("${}", 0, Reason::Name(String::new()));
    check_fails("${1A}", 0, Reason::Name("1A".to_owned()));
    check_fails("${A:-${1}}", 5, Reason::Name("1".to_owned()));
}

#[test]
fn depth_and_size_are_limited() {
    let deep = format!("{}{}", "${B:-".repeat(10_000), "}".repeat(10_000));
    let error = fill_in(&deep, &variables).unwrap_err();
    assert_eq!(error.reason, Reason::Depth);

    let large = |_: &str| Some("x".repeat(BYTES_MAX));
    assert_eq!(fill_in("${A}${A}", &large).unwrap_err().reason, Reason::Size);
}

proptest! {
    #[test]
    fn never_panics_and_errors_point_at_a_dollar(text in "[${}:\\-ABé1 ]{0,40}") {
        if let Err(error) = fill_in(&text, &variables) {
            prop_assert!(text[error.offset..].starts_with("${"), "{text}: {error:?}");
        }
    }

    #[test]
    fn escaping_is_undone(text in "\\PC{0,40}") {
        let escaped = text.replace("${", "$${");
        prop_assert_eq!(fill_in(&escaped, &variables), Ok(text));
    }

    #[test]
    fn a_set_variable_beats_any_default(value in "\\PC{1,20}", default in "[a-z ]{0,20}") {
        let set = |_: &str| Some(value.clone());
        prop_assert_eq!(fill_in(&format!("${{V:-{default}}}"), &set), Ok(value.clone()));
        prop_assert_eq!(fill_in(&format!("${{V:-{default}}}"), &|_: &str| None), Ok(default));
    }

    #[test]
    fn nesting_unset_defaults_gives_the_innermost(depth in 1..DEPTH_MAX, inner in "[a-z]{0,9}") {
        let text = format!("{}{inner}{}", "${N:-".repeat(depth), "}".repeat(depth));
        prop_assert_eq!(fill_in(&text, &|_: &str| None), Ok(inner));
    }
}
