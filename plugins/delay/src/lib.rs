//! `delay`: parks the run for a while.

use stepcell::{prelude::*, serde_json::Number};

/// Ten years: beyond it, somebody gave milliseconds for seconds or a date for a duration.
const MAX_SECONDS: f64 = 315_360_000.0;

#[stepcell::data]
struct Config {
    /// How long, in seconds; parts of a second too.
    #[schemars(range(min = 0, max = 315_360_000))]
    seconds: Number,
}

#[stepcell::data]
#[derive(Debug, PartialEq)]
struct Output {
    /// How long the step asked to wait.
    delayed_seconds: Number,
}

/// Waits for some seconds. It survives a restart, and holds no memory meanwhile.
#[stepcell::control(
    label = "Delay",
    icon = "clock",
    category = "flow",
    resume = finished,
    examples = "examples.json"
)]
fn delay(config: Config) -> Result<Outcome<Output>, Failure> {
    Ok(Outcome::sleep(duration(&config.seconds)?))
}

fn finished(config: Config, signal: Signal) -> Result<Outcome<Output>, Failure> {
    match signal {
        Signal::Timer => Ok(Outcome::Done(Output { delayed_seconds: config.seconds })),
        other => Err(other.unexpected()),
    }
}

fn duration(seconds: &Number) -> Result<Duration, Failure> {
    let given = seconds.as_f64().unwrap_or(f64::NAN);
    if (0.0..=MAX_SECONDS).contains(&given) {
        return Ok(Duration::from_secs_f64(given));
    }
    Err(Failure::config(format!("`config.seconds` is {seconds}, not within 0 to {MAX_SECONDS}"))
        .code("config_invalid"))
}

#[cfg(test)]
mod tests {
    use stepcell::testing;

    use super::*;

    #[test]
    fn it_parks_and_then_tells_how_long() {
        let config = json!({ "seconds": 1.5 });
        assert_eq!(
            testing::decide::<delay>(config.clone()).unwrap(),
            Outcome::sleep(Duration::from_millis(1500))
        );
        assert_eq!(
            testing::resume::<delay>(config, &Signal::Timer).unwrap(),
            Outcome::Done(json!({ "delayed_seconds": 1.5 }))
        );
    }

    #[test]
    fn another_signal_does_not_end_it() {
        let failure = testing::resume::<delay>(json!({ "seconds": 1 }), &Signal::Timeout).unwrap_err();
        assert_eq!(failure.code.as_deref(), Some("unexpected_signal"));
    }

    #[test]
    fn a_time_that_makes_no_sense_is_the_configs_fault() {
        for seconds in [json!(-1), json!(1e12), json!("1")] {
            let failure = testing::decide::<delay>(json!({ "seconds": seconds })).unwrap_err();
            assert_eq!(failure.fault, Fault::Config, "{}", failure.message);
        }
    }

    #[test]
    fn the_schema_bounds_the_seconds() {
        let schema = &testing::describe_control::<delay>()["config_schema"]["properties"]["seconds"];
        assert_eq!((&schema["minimum"], schema["maximum"].as_f64()), (&json!(0), Some(MAX_SECONDS)));
    }
}
