//! `sub_flow`: runs a flow within the run. The engine runs it; this says which and with what input.

use stepcell::{FanOut, prelude::*, serde::Serialize};

#[stepcell::data]
struct Config {
    /// A whole flow, as it would stand in a file of its own. Its templates know its own input and steps only.
    #[schemars(with = "Map<String, Value>")]
    flow: Box<RawValue>,
    /// The input of that flow; `{}` where absent.
    #[serde(default = "empty")]
    #[schemars(with = "Value")]
    input: Box<RawValue>,
}

/// What runs, as it stands in the flow.
#[derive(Serialize)]
#[serde(crate = "stepcell::serde")]
struct Body {
    flow: Box<RawValue>,
}

/// Runs a flow as a part of this run. Its output is the step's output.
#[stepcell::control(
    label = "Sub-flow",
    icon = "workflow",
    category = "flow",
    deferred = ["flow"],
    resume = ended,
    examples = "examples.json"
)]
fn sub_flow(config: Config) -> Result<Outcome<Box<RawValue>>, Failure> {
    Ok(Outcome::FanOut(FanOut::new(&[config.input], &Body { flow: config.flow })?))
}

fn ended(_config: Config, signal: Signal) -> Result<Outcome<Box<RawValue>>, Failure> {
    match signal {
        Signal::Items { mut results } if results.len() == 1 => {
            Ok(Outcome::Done(results.pop().unwrap_or_else(|| RawValue::NULL.to_owned())))
        }
        other => Err(other.unexpected()),
    }
}

fn empty() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use stepcell::testing;

    use super::*;

    fn flow() -> Value {
        json!({ "name": "inner", "steps": [{ "id": "a", "type": "transform", "config": { "output": "{{ input.n }}" } }] })
    }

    #[track_caller]
    fn fans_out(config: Value, input: Value) {
        let expected = FanOut::new(&[input], &json!({ "flow": flow() })).unwrap();
        assert_eq!(testing::decide::<sub_flow>(config).unwrap(), Outcome::FanOut(expected));
    }

    #[test]
    fn the_flow_runs_once_with_its_input() {
        fans_out(json!({ "flow": flow(), "input": { "n": 1 } }), json!({ "n": 1 }));
        fans_out(json!({ "flow": flow() }), json!({}));
        fans_out(json!({ "flow": flow(), "input": null }), json!(null));
    }

    #[test]
    fn the_output_is_the_flows_own() {
        let config = json!({ "flow": flow() });
        let outcome = testing::resume::<sub_flow>(config, &testing::items(&[json!({ "a": [1] })]));
        assert_eq!(outcome.unwrap(), Outcome::Done(json!({ "a": [1] })));
    }

    #[test]
    fn another_signal_does_not_end_it() {
        for signal in [Signal::Timeout, testing::items(&[1, 2])] {
            let failure = testing::resume::<sub_flow>(json!({ "flow": flow() }), &signal).unwrap_err();
            assert_eq!(failure.code.as_deref(), Some("unexpected_signal"));
        }
    }

    #[test]
    fn a_missing_flow_is_the_configs_fault() {
        let failure = testing::decide::<sub_flow>(json!({ "input": {} })).unwrap_err();
        assert_eq!(
            (failure.fault, failure.message.as_str()),
            (Fault::Config, "`config`: missing field `flow`")
        );
    }

    #[test]
    fn the_flow_is_deferred() {
        let entry = testing::describe_control::<sub_flow>();
        assert_eq!(entry["deferred"], json!(["flow"]));
        assert_eq!(entry["config_schema"]["properties"]["flow"]["type"], "object");
    }
}
