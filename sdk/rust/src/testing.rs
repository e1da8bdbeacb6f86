//! Runs a step through its JSON edge, natively, as the host does. For unit tests.
//!
//! The attributes make a type with the function's own name, so that a test can say
//! `testing::execute::<hello>(json!({ "name": "Ada" }))`.
#![expect(clippy::expect_used, reason = "a test is to fail where a step's own catalog entry is wrong")]

use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::to_raw_value};

use crate::{Failure, Outcome, Sent, Signal, control::Control, step::Step};

/// Runs a step that needs no context.
pub fn execute<S: Step>(config: Value) -> Result<Value, Failure> {
    execute_with::<S>(config, context(Value::Null))
}

/// Runs a step with a context; [`context`] makes one.
pub fn execute_with<S: Step>(config: Value, context: Value) -> Result<Value, Failure> {
    Ok(serde_json::from_str(&S::execute(&config.to_string(), &context.to_string())?)?)
}

/// Asks a control step for its first decision.
pub fn decide<S: Control>(config: Value) -> Result<Outcome, Failure> {
    parsed(S::execute(&config.to_string(), &context(Value::Null).to_string())?)
}

/// Tells a parked control step what has come.
pub fn resume<S: Control>(config: Value, signal: &Signal) -> Result<Outcome, Failure> {
    resume_with::<S>(config, context(Value::Null), signal)
}

/// Like [`resume`], with a context; [`context_with_ports`] makes one.
pub fn resume_with<S: Control>(config: Value, context: Value, signal: &Signal) -> Result<Outcome, Failure> {
    parsed(S::resume(&config.to_string(), &context.to_string(), &serde_json::to_string(signal)?)?)
}

/// What somebody sends without a name: a signal to change by struct update, or to resume with.
#[must_use]
pub fn sent(payload: &impl Serialize) -> Sent {
    let payload = to_raw_value(payload).expect("a payload is JSON");
    Sent { payload, by: None, at: None, approved: true }
}

/// The results of items.
#[must_use]
pub fn items(results: &[impl Serialize]) -> Signal {
    let results = results.iter().map(|result| to_raw_value(result).expect("a result is JSON")).collect();
    Signal::Items { results }
}

/// The catalog entry of a step.
#[must_use]
pub fn describe<S: Step>() -> Value {
    S::describe()
}

/// The catalog entry of a control step.
#[must_use]
pub fn describe_control<S: Control>() -> Value {
    S::describe()
}

/// Runs every example of the catalog entry, and fails the test where an output is another one, or where there
/// is no example.
#[track_caller]
pub fn check_examples<S: Step>() {
    for Example { config, input, port, output } in examples(&S::describe()) {
        let context = context(input);
        assert_eq!(port, None, "a step has no ports: {config}");
        assert_eq!(execute_with::<S>(config.clone(), context), Ok(output), "config: {config}");
    }
}

/// Like [`check_examples`], for a control step that decides at once.
#[track_caller]
pub fn check_control_examples<S: Control>() {
    for Example { config, port, output, .. } in examples(&S::describe()) {
        let decided = match decide::<S>(config.clone()) {
            Ok(Outcome::Done(output)) => (None, output),
            Ok(Outcome::Branch { port, output }) => (Some(port.to_owned()), output),
            other => (None, Value::from(format!("{other:?}"))),
        };
        assert_eq!(decided, (port, output), "config: {config}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    config: Value,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    port: Option<String>,
    output: Value,
}

#[track_caller]
fn examples(entry: &Value) -> Vec<Example> {
    let examples: Vec<Example> = Deserialize::deserialize(&entry["examples"]).expect("`examples` fits");
    assert!(!examples.is_empty(), "there is no example");
    examples
}

/// The context of a first attempt with this input and no other steps.
#[must_use]
pub fn context(input: Value) -> Value {
    first_attempt(input, &[])
}

/// The context of a step whose flow goes on from these ports.
#[must_use]
pub fn context_with_ports(ports: &[&str]) -> Value {
    first_attempt(Value::Null, ports)
}

fn first_attempt(input: Value, ports: &[&str]) -> Value {
    let step = json!({ "id": "step", "attempt": 1, "idempotency_key": "key", "ports": ports });
    json!({ "input": input, "steps": {}, "step": step })
}

fn parsed(outcome: Outcome<String>) -> Result<Outcome, Failure> {
    Ok(match outcome {
        Outcome::Done(output) => Outcome::Done(serde_json::from_str(&output)?),
        Outcome::Branch { port, output } => Outcome::Branch { port, output: serde_json::from_str(&output)? },
        Outcome::Wait(wait) => Outcome::Wait(wait),
        Outcome::FanOut(fan_out) => Outcome::FanOut(fan_out),
    })
}
