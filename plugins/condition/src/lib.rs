//! `condition`: takes the port `true` or `false`.

use stepcell::prelude::*;

#[stepcell::data]
struct Config {
    /// What to decide by: a template that gives any value. False are `false`, `null`, `0`, the empty text, the
    /// empty list and the empty object.
    expression: Value,
}

#[stepcell::data]
#[derive(Debug, PartialEq)]
struct Output {
    /// Which way it went.
    result: bool,
}

/// Goes one of two ways, by whether a value is true. What is only on the other way is skipped.
#[stepcell::control(
    label = "Condition",
    icon = "git-branch",
    category = "logic",
    ports = ["true", "false"],
    examples = "examples.json"
)]
fn condition(config: Config) -> Result<Outcome<Output>, Failure> {
    let result = truthy(&config.expression);
    Ok(Outcome::branch(if result { "true" } else { "false" }, Output { result }))
}

/// The same rule as that of the templates' own `if`.
fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use stepcell::testing;

    use super::*;

    #[track_caller]
    fn check(expression: Value, expected: bool) {
        let outcome = condition(Config { expression }).unwrap();
        let port = if expected { "true" } else { "false" };
        assert_eq!(outcome, Outcome::branch(port, Output { result: expected }));
    }

    #[test]
    fn empty_values_are_false() {
        for value in [json!(false), json!(null), json!(0), json!(-0.0), json!(""), json!([]), json!({})] {
            check(value, false);
        }
    }

    #[test]
    fn all_other_values_are_true() {
        for value in [json!(true), json!(1), json!(0.1), json!("false"), json!([0]), json!({ "a": null })] {
            check(value, true);
        }
    }

    #[test]
    fn a_missing_expression_is_the_configs_fault() {
        let failure = testing::decide::<condition>(json!({})).unwrap_err();
        assert_eq!(
            (failure.fault, failure.message.as_str()),
            (Fault::Config, "`config`: missing field `expression`")
        );
    }

    #[test]
    fn the_ports_are_in_the_catalog() {
        assert_eq!(testing::describe_control::<condition>()["ports"], json!(["true", "false"]));
    }

    #[test]
    fn the_examples_hold() {
        testing::check_control_examples::<condition>();
    }
}
