//! `wait_for_approval`: parks the run until somebody says yes or no.

use stepcell::{Sent, SignalWait, Timeout, Wait, prelude::*};

/// What the host resumes on a person's word only, never on an event.
const SIGNAL: &str = "approval";

#[stepcell::data]
struct Config {
    /// What is to be approved, in a few words.
    #[serde(default)]
    label: Option<String>,
    /// What to look at before one says yes.
    #[serde(default)]
    instructions: Option<String>,
    /// A JSON Schema that the payload of the answer must fit. Any payload will do where absent.
    #[serde(default)]
    form: Option<Map<String, Value>>,
    /// How long to wait, such as `2d`, or in seconds; without end where absent.
    #[serde(default)]
    timeout: Option<Timeout>,
}

#[stepcell::data]
#[derive(Debug)]
struct Output {
    /// What came with the answer.
    #[schemars(with = "Value")]
    payload: Box<RawValue>,
    /// Who gave it, where that is known.
    by: Option<String>,
    /// When; absent where nobody did.
    at: Option<String>,
}

/// Waits until a person says yes or no. Without a step after `rejected` or `timed_out`, such an end fails the step.
#[stepcell::control(
    label = "Approval",
    icon = "user-check",
    category = "flow",
    ports = ["approved", "rejected", "timed_out"],
    resume = answered
)]
fn wait_for_approval(config: Config, _step: StepInfo) -> Result<Outcome<Output>, Failure> {
    Ok(Outcome::Wait(Wait::Signal(SignalWait {
        name: SIGNAL.to_owned(),
        deadline: config.timeout.map(|timeout| timeout.0),
        form: form(config),
        matching: None,
    })))
}

fn answered(config: Config, step: StepInfo, signal: Signal) -> Result<Outcome<Output>, Failure> {
    match signal {
        Signal::Signal(Sent { payload, by, at, approved }) => {
            let output = Output { payload, by, at };
            match approved {
                true => Ok(Outcome::branch("approved", output)),
                false if step.uses("rejected") => Ok(Outcome::branch("rejected", output)),
                false => Err(rejected(&config, &output)),
            }
        }
        Signal::Timeout if step.uses("timed_out") => {
            let payload = RawValue::NULL.to_owned();
            Ok(Outcome::branch("timed_out", Output { payload, by: None, at: None }))
        }
        Signal::Timeout => Err(timed_out(&config)),
        other => Err(other.unexpected()),
    }
}

/// The schema with label and instructions as its title and description: whoever shows the form shows them too. A form
/// that has its own keeps them.
fn form(config: Config) -> Option<Value> {
    let mut form = config.form.unwrap_or_default();
    for (key, text) in [("title", config.label), ("description", config.instructions)] {
        if let Some(text) = text.filter(|_| !form.contains_key(key)) {
            form.insert(key.to_owned(), text.into());
        }
    }
    (!form.is_empty()).then_some(Value::Object(form))
}

fn rejected(config: &Config, output: &Output) -> Failure {
    let by = output.by.as_ref().map(|by| format!(" by `{by}`")).unwrap_or_default();
    Failure::failed(format!("{} was rejected{by}", what(config)))
        .code("rejected")
        .details(json!({ "payload": output.payload, "by": output.by, "at": output.at }))
}

fn timed_out(config: &Config) -> Failure {
    let seconds = config.timeout.map_or(0.0, |timeout| timeout.0.as_secs_f64());
    Failure::timeout(format!("nobody answered {} within {seconds} s", what(config)))
        .code("approval_timed_out")
        .permanent()
}

fn what(config: &Config) -> String {
    config.label.as_ref().map_or_else(|| "the approval".to_owned(), |label| format!("`{label}`"))
}

#[cfg(test)]
mod tests {
    use stepcell::testing::{self, context_with_ports, sent};

    use super::*;

    const PORTS: [&str; 3] = ["approved", "rejected", "timed_out"];

    fn wait(config: Value) -> SignalWait {
        match testing::decide::<wait_for_approval>(config).unwrap() {
            Outcome::Wait(Wait::Signal(wait)) => wait,
            other => panic!("{other:?}"),
        }
    }

    fn resumed(config: Value, ports: &[&str], signal: Signal) -> Result<Outcome, Failure> {
        testing::resume_with::<wait_for_approval>(config, context_with_ports(ports), &signal)
    }

    fn word(approved: bool) -> Signal {
        let (by, at) = (Some("ada".to_owned()), Some("2026-01-02T03:04:05Z".to_owned()));
        Signal::Signal(Sent { by, at, approved, ..sent(&json!({ "n": 1 })) })
    }

    fn output() -> Value {
        json!({ "payload": { "n": 1 }, "by": "ada", "at": "2026-01-02T03:04:05Z" })
    }

    #[test]
    fn it_waits_for_a_person_with_form_and_deadline() {
        let form = json!({ "type": "object", "required": ["n"] });
        let wait = wait(json!({ "form": form, "timeout": "2d" }));
        assert_eq!((wait.name.as_str(), wait.form), ("approval", Some(form)));
        assert_eq!((wait.deadline, wait.matching), (Some(Duration::from_secs(172_800)), None));
    }

    #[test]
    fn without_a_config_anything_will_do_for_ever() {
        assert_eq!(wait(json!({})), SignalWait { name: "approval".to_owned(), ..SignalWait::default() });
        assert_eq!(wait(json!({ "timeout": 0.5 })).deadline, Some(Duration::from_millis(500)));
    }

    #[test]
    fn label_and_instructions_head_the_form_unless_it_has_its_own() {
        let config = json!({ "label": "L", "instructions": "I", "form": { "title": "T" } });
        assert_eq!(wait(config).form, Some(json!({ "title": "T", "description": "I" })));
        assert_eq!(wait(json!({ "label": "L" })).form, Some(json!({ "title": "L" })));
    }

    #[test]
    fn yes_takes_its_port_whoever_uses_it() {
        for ports in [&PORTS[..], &[]] {
            assert_eq!(resumed(json!({}), ports, word(true)).unwrap(), Outcome::branch("approved", output()));
        }
    }

    #[test]
    fn no_takes_its_port_or_fails_with_who_said_it() {
        assert_eq!(resumed(json!({}), &PORTS, word(false)).unwrap(), Outcome::branch("rejected", output()));
        let failure = resumed(json!({ "label": "Order 7" }), &["approved"], word(false)).unwrap_err();
        assert_eq!(failure.message, "`Order 7` was rejected by `ada`");
        assert_eq!((failure.fault, failure.code.as_deref()), (Fault::Failed, Some("rejected")));
        assert_eq!(failure.details.as_deref(), Some(&output()));
        let nobody = Signal::Signal(Sent { approved: false, ..sent(&json!(null)) });
        assert_eq!(resumed(json!({}), &[], nobody).unwrap_err().message, "the approval was rejected");
    }

    #[test]
    fn silence_takes_its_port_or_fails_for_good() {
        let nothing = json!({ "payload": null, "by": null, "at": null });
        let config = json!({ "timeout": 90 });
        let outcome = resumed(config.clone(), &PORTS, Signal::Timeout).unwrap();
        assert_eq!(outcome, Outcome::branch("timed_out", nothing));
        let failure = resumed(config, &["rejected"], Signal::Timeout).unwrap_err();
        assert_eq!(failure.message, "nobody answered the approval within 90 s");
        assert_eq!((failure.fault, failure.retryable), (Fault::Timeout, false));
        assert_eq!(failure.code.as_deref(), Some("approval_timed_out"));
    }

    #[test]
    fn another_signal_does_not_end_it() {
        let failure = resumed(json!({}), &PORTS, Signal::Timer).unwrap_err();
        assert_eq!(failure.code.as_deref(), Some("unexpected_signal"));
    }

    #[test]
    fn a_time_or_a_form_that_makes_no_sense_is_the_configs_fault() {
        for config in [json!({ "timeout": "soon" }), json!({ "timeout": -1 }), json!({ "form": true })] {
            let failure = testing::decide::<wait_for_approval>(config).unwrap_err();
            assert_eq!(failure.code.as_deref(), Some("config_invalid"), "{}", failure.message);
        }
    }

    #[test]
    fn the_ports_are_in_the_catalog() {
        let entry = testing::describe_control::<wait_for_approval>();
        assert_eq!((&entry["ports"], &entry["context"]), (&json!(PORTS), &json!("none")));
    }
}
