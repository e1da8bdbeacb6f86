//! `for_each`: runs a step, or several, once for each item of a list. The engine runs them; this says what and how.

use stepcell::{FanOut, prelude::*, serde::Serialize};

/// The most items at a time: one run is not to take a whole host.
const MAX_CONCURRENCY: u32 = 256;

#[stepcell::data]
struct Config {
    /// A list, or a template that gives one.
    #[schemars(with = "Vec<Value>")]
    items: Vec<Box<RawValue>>,
    /// One step without an id, `{type, config, …}`, to run for each item. Its templates know `item` and `index`.
    #[serde(default)]
    #[schemars(with = "Map<String, Value>")]
    step_config: Option<Box<RawValue>>,
    /// Or several steps, as in a flow.
    #[serde(default)]
    #[schemars(with = "Vec<Value>")]
    steps: Option<Box<RawValue>>,
    /// How many items at the same time.
    #[serde(default)]
    #[schemars(range(min = 1, max = 256))]
    concurrency: Option<u32>,
    #[serde(default)]
    on_item_error: OnItemError,
}

/// What a failed item does: it fails the step, or it is `{"error": …}` in the results.
#[stepcell::data]
#[derive(Debug, Default, PartialEq)]
#[serde(rename_all = "snake_case")]
enum OnItemError {
    #[default]
    Fail,
    Continue,
}

#[stepcell::data]
struct Output {
    /// In the order of the items. Of `steps`, each is `{id: output}` of the last ones.
    #[schemars(with = "Vec<Value>")]
    results: Vec<Box<RawValue>>,
    /// How many there are.
    count: usize,
}

/// What runs for each item, as it stands in the flow.
#[derive(Serialize)]
#[serde(crate = "stepcell::serde", rename_all = "snake_case")]
enum Body {
    Step(Box<RawValue>),
    Steps(Box<RawValue>),
}

/// Runs a step, or several, once for each item of a list, and gathers the results in order.
#[stepcell::control(
    label = "For Each",
    icon = "repeat",
    category = "flow",
    context_fields = ["count"],
    deferred = ["step_config", "steps"],
    resume = gathered,
    examples = "examples.json"
)]
fn for_each(config: Config) -> Result<Outcome<Output>, Failure> {
    let body = match (config.step_config, config.steps) {
        (Some(step), None) => Body::Step(step),
        (None, Some(steps)) => Body::Steps(steps),
        (Some(_), Some(_)) => {
            return Err(invalid("`config.step_config` and `config.steps` are both there: keep one of them"));
        }
        (None, None) => {
            return Err(invalid(
                "`config.step_config` or `config.steps` is missing: it says what to do with each item",
            ));
        }
    };
    let mut fan_out = FanOut::new(&config.items, &body)?;
    if let Some(concurrency) = config.concurrency {
        if !(1..=MAX_CONCURRENCY).contains(&concurrency) {
            return Err(invalid(format!(
                "`config.concurrency` is {concurrency}, not within 1 to {MAX_CONCURRENCY}"
            )));
        }
        fan_out = fan_out.concurrency(concurrency);
    }
    if config.on_item_error == OnItemError::Continue {
        fan_out = fan_out.keep_going();
    }
    Ok(Outcome::FanOut(fan_out))
}

fn gathered(_config: Config, signal: Signal) -> Result<Outcome<Output>, Failure> {
    match signal {
        Signal::Items { results } => Ok(Outcome::Done(Output { count: results.len(), results })),
        other => Err(other.unexpected()),
    }
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::config(message).code("config_invalid")
}

#[cfg(test)]
mod tests {
    use stepcell::testing;

    use super::*;

    #[track_caller]
    fn fans_out(config: Value, expected: FanOut) {
        assert_eq!(testing::decide::<for_each>(config).unwrap(), Outcome::FanOut(expected));
    }

    #[track_caller]
    fn refused(config: Value, message: &str) {
        let failure = testing::decide::<for_each>(config).unwrap_err();
        assert_eq!((failure.fault, failure.code.as_deref()), (Fault::Config, Some("config_invalid")));
        assert!(failure.message.contains(message), "{}", failure.message);
    }

    #[test]
    fn a_body_goes_out_as_it_is_written() {
        let step = json!({ "type": "transform", "config": { "output": "{{ item }}" } });
        fans_out(
            json!({ "items": [1, "a"], "step_config": step }),
            FanOut::new(&[json!(1), json!("a")], &json!({ "step": step })).unwrap(),
        );
        let steps = json!([{ "id": "a", "type": "transform" }]);
        fans_out(
            json!({ "items": [], "steps": steps, "concurrency": 256, "on_item_error": "continue" }),
            FanOut::new(&[(); 0], &json!({ "steps": steps })).unwrap().concurrency(256).keep_going(),
        );
    }

    #[test]
    fn items_and_bodies_keep_their_digits() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let config = Config {
            items: vec![raw("12345678901234567890.10")],
            step_config: Some(raw(r#"{"type":"a","config":{"n":1.10}}"#)),
            steps: None,
            concurrency: None,
            on_item_error: OnItemError::Fail,
        };
        let body = json!({ "step": raw(r#"{"type":"a","config":{"n":1.1}}"#) });
        let Ok(Outcome::FanOut(fan_out)) = for_each(config) else { panic!("it does not fan out") };
        assert_ne!(fan_out, FanOut::new(&[json!(12345678901234567890.10)], &body).unwrap());
        let exact = FanOut::new(
            &[raw("12345678901234567890.10")],
            &Body::Step(raw(r#"{"type":"a","config":{"n":1.10}}"#)),
        );
        assert_eq!(fan_out, exact.unwrap());
    }

    #[test]
    fn results_are_counted_and_stay_in_order() {
        let config = json!({ "items": [1, 2], "step_config": { "type": "transform" } });
        let outcome =
            testing::resume::<for_each>(config, &testing::items(&[json!("b"), json!({ "error": 1 })]));
        let expected = json!({ "results": ["b", { "error": 1 }], "count": 2 });
        assert_eq!(outcome.unwrap(), Outcome::Done(expected));
    }

    #[test]
    fn exactly_one_body_is_there() {
        refused(json!({ "items": [] }), "`config.step_config` or `config.steps` is missing");
        refused(json!({ "items": [], "steps": [], "step_config": {} }), "both there");
    }

    #[test]
    fn what_makes_no_sense_is_the_configs_fault() {
        let with = |key: &str, value: Value| {
            let mut config = json!({ "items": [1], "step_config": {} });
            config[key] = value;
            config
        };
        refused(with("items", json!({ "a": 1 })), "`config.items`");
        refused(with("items", json!("a")), "`config.items`");
        for concurrency in [0, 257] {
            refused(with("concurrency", json!(concurrency)), "not within 1 to 256");
        }
        refused(with("on_item_error", json!("ignore")), "`config.on_item_error`");
    }

    #[test]
    fn another_signal_does_not_end_it() {
        let config = json!({ "items": [], "step_config": {} });
        let failure = testing::resume::<for_each>(config, &Signal::Timeout).unwrap_err();
        assert_eq!(failure.code.as_deref(), Some("unexpected_signal"));
    }

    #[test]
    fn bodies_are_deferred_and_the_schema_says_what_may_stand_there() {
        let entry = testing::describe_control::<for_each>();
        assert_eq!(entry["deferred"], json!(["step_config", "steps"]));
        // Many results are a reference for cells, and how many there are is told all the same.
        assert_eq!(entry["context_fields"], json!(["count"]));
        assert_eq!(entry["config_schema"]["required"], json!(["items"]));
        let properties = &entry["config_schema"]["properties"];
        assert_eq!(
            (&properties["step_config"]["type"], &properties["steps"]["type"]),
            (&json!("object"), &json!("array"))
        );
    }
}
