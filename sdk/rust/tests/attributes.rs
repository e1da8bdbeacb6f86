//! What the attributes make of a function.

use stepcell::{prelude::*, testing};

#[stepcell::data]
struct Config {
    /// Whom to greet.
    name: String,
    #[serde(default)]
    times: Option<u8>,
}

/// Greets somebody,
/// politely.
///
/// Twice where asked.
#[stepcell::step]
fn greet_twice(config: Config) -> Result<Value, Failure> {
    if config.name.is_empty() {
        return Err(Failure::config("`config.name` is empty"));
    }
    Ok(json!(config.name.repeat(config.times.unwrap_or(1).into())))
}

#[test]
fn the_entry_has_only_keys_that_the_host_knows() {
    assert_eq!(
        testing::describe::<greet_twice>(),
        json!({
            "type": "greet_twice",
            "label": "Greet Twice",
            "icon": "box",
            "category": "custom",
            "description": "Greets somebody, politely.\n\nTwice where asked.",
            "config_schema": {
                "type": "object",
                "additionalProperties": false,
                "required": ["name"],
                "properties": {
                    "name": { "type": "string", "description": "Whom to greet." },
                    "times": {
                        "type": ["integer", "null"], "format": "uint8", "minimum": 0, "maximum": 255, "default": null
                    },
                },
            },
            "output_schema": {},
            "context": "none",
        })
    );
}

#[test]
fn the_function_stays_a_function() {
    assert_eq!(greet_twice(Config { name: "a".to_owned(), times: Some(2) }).unwrap(), "aa");
}

#[test]
fn it_runs_through_its_json_edge() {
    assert_eq!(testing::execute::<greet_twice>(json!({ "name": "a" })).unwrap(), "a");
    let failure = testing::execute::<greet_twice>(json!({ "name": 1 })).unwrap_err();
    assert_eq!(failure.message, "`config.name`: invalid type: integer `1`, expected a string");
    assert_eq!(testing::execute::<greet_twice>(json!({ "name": "" })).unwrap_err().fault, Fault::Config);
}

/// Has every argument.
#[stepcell::step(
    type = "all_of_it",
    label = "All",
    icon = "star",
    category = "logic",
    context_fields = ["a", "b"],
    max_output_bytes = 1_000,
    literal(code = "input"),
    deferred = ["body"],
    match(language = "python", version = 3, beta = false),
    tokens = "$.usage.total_tokens"
)]
fn all(config: Config, context: Context) -> stepcell::Result<Value> {
    Ok(json!([config.name, context.steps]))
}

#[test]
fn every_argument_reaches_the_entry() {
    let entry = testing::describe::<all>();
    assert_eq!(entry["type"], "all_of_it");
    assert_eq!(entry["label"], "All");
    assert_eq!(entry["context"], "full");
    assert_eq!(entry["context_fields"], json!(["a", "b"]));
    assert_eq!(entry["max_output_bytes"], 1000);
    assert_eq!(entry["literal"], json!({ "code": "input" }));
    assert_eq!(entry["deferred"], json!(["body"]));
    assert_eq!(entry["match"], json!({ "language": "python", "version": 3, "beta": false }));
    assert_eq!(entry["tokens"], "$.usage.total_tokens");
}

/// Adds the input.
#[stepcell::step]
fn add(config: Config, input: Input<Vec<i64>>) -> Result<i64, std::num::TryFromIntError> {
    Ok(input.0.iter().sum::<i64>() + i64::try_from(config.name.len())?)
}

#[test]
fn an_input_is_typed_and_any_error_will_do() {
    assert_eq!(testing::describe::<add>()["context"], "input");
    let context = testing::context(json!([1, 2]));
    assert_eq!(testing::execute_with::<add>(json!({ "name": "abc" }), context).unwrap(), 6);
}

/// Takes nothing.
#[stepcell::step]
fn nothing() -> Result<Value, Failure> {
    Ok(json!(1))
}

#[test]
fn a_function_without_arguments_has_an_empty_config() {
    assert_eq!(testing::execute::<nothing>(json!({})).unwrap(), 1);
    assert_eq!(testing::execute::<nothing>(json!({ "a": 1 })).unwrap_err().fault, Fault::Config);
    let schema = &testing::describe::<nothing>()["config_schema"];
    assert_eq!(schema, &json!({ "type": "object", "additionalProperties": false }));
}

/// Asks for approval.
#[stepcell::control(ports = ["yes", "no"], resume = answered)]
fn ask(config: Config, step: StepInfo) -> Result<Outcome<String>, Failure> {
    Ok(Outcome::Wait(stepcell::Wait::Signal(stepcell::SignalWait {
        name: format!("{}-{}", config.name, step.id),
        ..Default::default()
    })))
}

fn answered(config: Config, _step: StepInfo, signal: Signal) -> Result<Outcome<String>, Failure> {
    let port = if signal.payload::<bool>()? { "yes" } else { "no" };
    Ok(Outcome::branch(port, config.name))
}

#[test]
fn a_control_step_parks_and_goes_on() {
    let config = json!({ "name": "boss" });
    let Outcome::Wait(stepcell::Wait::Signal(wait)) = testing::decide::<ask>(config.clone()).unwrap() else {
        panic!("it waits for no signal");
    };
    assert_eq!(wait.name, "boss-step");
    let signal = Signal::Signal(testing::sent(&true));
    let outcome = testing::resume::<ask>(config, &signal).unwrap();
    assert_eq!(outcome, Outcome::branch("yes", json!("boss")));
    assert_eq!(testing::describe_control::<ask>()["output_schema"], json!({ "type": "string" }));
}

#[stepcell::data]
struct Bounded {
    late: Value,
    #[serde(default)]
    bodies: Vec<Value>,
}

/// Runs something for each of two, and tells how it ended by a port where somebody goes on from it.
#[stepcell::control(ports = ["late"], resume = over, deferred = ["bodies"])]
fn twice(config: Bounded, _step: StepInfo) -> Result<Outcome, Failure> {
    Ok(Outcome::FanOut(stepcell::FanOut::new(&[1, 2], &json!({ "steps": config.bodies }))?))
}

fn over(config: Bounded, step: StepInfo, signal: Signal) -> Result<Outcome, Failure> {
    match signal {
        Signal::Timeout if step.uses("late") => Ok(Outcome::branch("late", config.late)),
        Signal::Signal(sent) if !sent.approved => Err(Failure::failed("no").code("refused")),
        other => Ok(Outcome::Done(json!(other.results::<u8>()?))),
    }
}

#[test]
fn a_control_step_fans_out_and_knows_which_ports_are_used() {
    let config = json!({ "late": 7, "bodies": [{ "id": "a" }] });
    let fan_out = stepcell::FanOut::new(&[1, 2], &json!({ "steps": [{ "id": "a" }] })).unwrap();
    assert_eq!(testing::decide::<twice>(config.clone()).unwrap(), Outcome::FanOut(fan_out));
    let done = testing::resume::<twice>(config.clone(), &testing::items(&[3, 4])).unwrap();
    assert_eq!(done, Outcome::Done(json!([3, 4])));
    let late = |ports: &[&str]| {
        let context = testing::context_with_ports(ports);
        testing::resume_with::<twice>(config.clone(), context, &Signal::Timeout)
    };
    assert_eq!(late(&["late"]).unwrap(), Outcome::branch("late", json!(7)));
    assert_eq!(late(&[]).unwrap_err().code.as_deref(), Some("unexpected_signal"));
    let refused = Signal::Signal(stepcell::Sent { approved: false, ..testing::sent(&json!({})) });
    let failure = testing::resume::<twice>(config.clone(), &refused).unwrap_err();
    assert_eq!(failure.code.as_deref(), Some("refused"));
    assert_eq!(testing::describe_control::<twice>()["deferred"], json!(["bodies"]));
}

/// Decides at once.
#[stepcell::control]
fn decided() -> Result<Outcome, Failure> {
    Ok(Outcome::Done(json!(1)))
}

#[test]
fn a_control_step_that_never_waits_can_not_be_resumed() {
    assert_eq!(testing::decide::<decided>(json!({})).unwrap(), Outcome::Done(json!(1)));
    let failure = testing::resume::<decided>(json!({}), &Signal::Timer).unwrap_err();
    assert_eq!(failure.code.as_deref(), Some("unexpected_signal"));
}

#[stepcell::data(open)]
struct Open {
    a: u8,
}

/// Takes more keys than it names.
#[stepcell::step]
fn open(config: Open) -> Result<u8, Failure> {
    Ok(config.a)
}

#[test]
fn an_open_type_takes_unknown_keys() {
    assert_eq!(testing::execute::<open>(json!({ "a": 1, "b": 2 })).unwrap(), 1);
}
