//! `wait_for_event`: parks the run until an event comes.

use stepcell::{SignalWait, Timeout, Wait, prelude::*};

/// The name under which persons answer, which no event has.
const APPROVAL: &str = "approval";

/// The longest name that `POST /api/v1/events/NAME` takes: an event of a longer one never comes.
const MAX_NAME_BYTES: usize = 128;

#[stepcell::data]
struct Config {
    /// The event's name, as in `POST /api/v1/events/NAME`: letters, digits, dots, colons, hyphens and underscores.
    #[schemars(length(min = 1, max = 128))]
    event_name: String,
    /// What the payload must contain: every key given here with an equal value, at any depth. Any payload will do where
    /// absent.
    #[serde(default, rename = "match")]
    matching: Option<Map<String, Value>>,
    /// How long to wait, such as `1h`; without end where absent.
    #[serde(default)]
    timeout: Option<Timeout>,
    /// The same in seconds.
    #[serde(default)]
    #[schemars(with = "f64", range(min = 0, max = 31_622_400))]
    timeout_seconds: Option<Timeout>,
}

/// Waits until an event of this name comes. Without a step after `timed_out`, a time-out fails the step.
#[stepcell::control(
    label = "Wait for Event",
    icon = "bell",
    category = "flow",
    ports = ["received", "timed_out"],
    resume = received
)]
fn wait_for_event(config: Config, _step: StepInfo) -> Result<Outcome<Box<RawValue>>, Failure> {
    if config.event_name == APPROVAL {
        return Err(invalid(
            "`config.event_name` is `approval`, which is a person's to give and no event: use `wait_for_approval`",
        ));
    }
    if !can_be_sent(&config.event_name) {
        return Err(invalid(&format!(
            "`config.event_name` is `{}`, which no event can have: write 1 to {MAX_NAME_BYTES} letters, digits, dots, colons, hyphens and underscores",
            config.event_name
        )));
    }
    let deadline = timeout(&config)?;
    let matching = config.matching.map(Value::Object);
    Ok(Outcome::Wait(Wait::Signal(SignalWait { name: config.event_name, form: None, matching, deadline })))
}

fn received(config: Config, step: StepInfo, signal: Signal) -> Result<Outcome<Box<RawValue>>, Failure> {
    match signal {
        Signal::Signal(sent) => Ok(Outcome::branch("received", sent.payload)),
        Signal::Timeout if step.uses("timed_out") => {
            Ok(Outcome::branch("timed_out", RawValue::NULL.to_owned()))
        }
        Signal::Timeout => Err(timed_out(&config)),
        other => Err(other.unexpected()),
    }
}

/// The host's rule for names of events.
fn can_be_sent(name: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(of_name)
}

fn timeout(config: &Config) -> Result<Option<Duration>, Failure> {
    match (config.timeout, config.timeout_seconds) {
        (Some(_), Some(_)) => {
            Err(invalid("`config.timeout` and `config.timeout_seconds` are both there: keep one of them"))
        }
        (one, other) => Ok(one.or(other).map(|timeout| timeout.0)),
    }
}

fn timed_out(config: &Config) -> Failure {
    let timeout = config.timeout.or(config.timeout_seconds).unwrap_or_default();
    let seconds = timeout.0.as_secs_f64();
    Failure::timeout(format!("no event `{}` that matches came within {seconds} s", config.event_name))
        .code("event_timed_out")
        .permanent()
}

fn invalid(message: &str) -> Failure {
    Failure::config(message).code("config_invalid")
}

#[cfg(test)]
mod tests {
    use stepcell::{
        serde_json,
        testing::{self, context_with_ports, sent},
    };

    use super::*;

    fn resumed(config: Value, ports: &[&str], signal: &Signal) -> Result<Outcome, Failure> {
        testing::resume_with::<wait_for_event>(config, context_with_ports(ports), signal)
    }

    #[track_caller]
    fn waits(config: Value, matching: Option<Value>, millis: Option<u64>) {
        let (name, deadline) = ("paid".to_owned(), millis.map(Duration::from_millis));
        let wait = SignalWait { name, form: None, matching, deadline };
        assert_eq!(testing::decide::<wait_for_event>(config).unwrap(), Outcome::Wait(Wait::Signal(wait)));
    }

    #[track_caller]
    fn refused(config: Value, message: &str) {
        let failure = testing::decide::<wait_for_event>(config).unwrap_err();
        assert_eq!((failure.fault, failure.code.as_deref()), (Fault::Config, Some("config_invalid")));
        assert!(failure.message.contains(message), "{}", failure.message);
    }

    #[test]
    fn it_waits_for_what_matches_within_its_time() {
        waits(json!({ "event_name": "paid" }), None, None);
        let matching = json!({ "order": { "id": 7 } });
        waits(
            json!({ "event_name": "paid", "match": matching, "timeout": "1h" }),
            Some(matching),
            Some(3_600_000),
        );
        waits(json!({ "event_name": "paid", "timeout_seconds": 0.5 }), None, Some(500));
    }

    #[test]
    fn what_matches_is_told_with_all_digits() {
        let matching = json!({ "amount": 94.52706955539223 });
        waits(json!({ "event_name": "paid", "match": matching }), Some(matching), None);
    }

    #[test]
    fn the_payload_is_the_output_with_all_its_digits() {
        let payload = RawValue::from_string("12345678901234567890.10".to_owned()).unwrap();
        let step = StepInfo::default();
        let config = || serde_json::from_value(json!({ "event_name": "paid" })).unwrap();
        let outcome = received(config(), step, Signal::Signal(sent(&payload))).unwrap();
        let Outcome::Branch { port: "received", output } = outcome else { panic!("{outcome:?}") };
        assert_eq!(output.get(), payload.get());
    }

    #[test]
    fn silence_takes_its_port_or_fails_for_good() {
        let config = json!({ "event_name": "paid", "timeout_seconds": 90 });
        let outcome = resumed(config.clone(), &["timed_out"], &Signal::Timeout).unwrap();
        assert_eq!(outcome, Outcome::branch("timed_out", json!(null)));
        let failure = resumed(config, &["received"], &Signal::Timeout).unwrap_err();
        assert_eq!(failure.message, "no event `paid` that matches came within 90 s");
        assert_eq!((failure.fault, failure.retryable), (Fault::Timeout, false));
        assert_eq!(failure.code.as_deref(), Some("event_timed_out"));
    }

    #[test]
    fn an_approval_is_no_event() {
        refused(json!({ "event_name": "approval" }), "use `wait_for_approval`");
    }

    #[test]
    fn a_name_that_no_event_can_have_is_refused() {
        for name in ["", "a b", "a/b", "ä", &"x".repeat(129)] {
            refused(json!({ "event_name": name }), "which no event can have");
        }
        assert!(can_be_sent("shop:order_paid-2.v1") && can_be_sent(&"x".repeat(128)));
    }

    #[test]
    fn what_makes_no_sense_is_the_configs_fault() {
        refused(json!({ "event_name": "a", "match": [] }), "`config.match`");
        refused(json!({ "event_name": "a", "timeout": "soon" }), "`soon` is no time");
        refused(json!({ "event_name": "a", "timeout": "1s", "timeout_seconds": 1 }), "both there");
    }

    #[test]
    fn another_signal_does_not_end_it() {
        let failure = resumed(json!({ "event_name": "a" }), &[], &Signal::Timer).unwrap_err();
        assert_eq!(failure.code.as_deref(), Some("unexpected_signal"));
    }

    #[test]
    fn the_ports_are_in_the_catalog() {
        let entry = testing::describe_control::<wait_for_event>();
        assert_eq!(entry["ports"], json!(["received", "timed_out"]));
        assert!(entry["config_schema"]["properties"]["match"].is_object());
    }
}
