//! `transform`: puts a value together. The templates in its config do the work.

use stepcell::prelude::*;

#[stepcell::data]
struct Config {
    /// The value, of any type; templates in it are resolved first.
    output: Box<RawValue>,
}

/// Puts a value together from the run's input and the outputs of other steps.
#[stepcell::step(label = "Transform", icon = "shuffle", category = "data", examples = "examples.json")]
fn transform(config: Config) -> Result<Box<RawValue>, Failure> {
    Ok(config.output)
}

#[cfg(test)]
mod tests {
    use stepcell::testing;

    use super::*;

    #[test]
    fn any_value_comes_out_as_it_is() {
        for value in [json!(null), json!(1.5), json!("text"), json!([1, { "a": [] }])] {
            assert_eq!(testing::execute::<transform>(json!({ "output": value })).unwrap(), value);
        }
    }

    #[test]
    fn digits_are_kept() {
        let config = RawValue::from_string("12345678901234567890.10".to_owned()).unwrap();
        assert_eq!(transform(Config { output: config }).unwrap().get(), "12345678901234567890.10");
    }

    #[test]
    fn an_unknown_key_is_named() {
        let failure = testing::execute::<transform>(json!({ "output": 1, "outptu": 2 })).unwrap_err();
        assert_eq!(failure.fault, Fault::Config);
        assert!(failure.message.contains("unknown field `outptu`"), "{}", failure.message);
    }

    #[test]
    fn the_examples_hold() {
        testing::check_examples::<transform>();
    }
}
