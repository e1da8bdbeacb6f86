//! Parks its run until a signal or a deadline comes.

use stepcell::{SignalWait, Wait, prelude::*};

#[stepcell::data]
struct Config {
    deadline_seconds: f64,
}

/// Waits for a signal that may never come.
#[stepcell::control(
    label = "Waits for a signal",
    icon = "bell",
    category = "custom",
    ports = ["received", "timed_out"],
    resume = resumed
)]
fn waits_for_signal(config: Config) -> Result<Outcome<Value>, Failure> {
    Ok(Outcome::Wait(Wait::Signal(SignalWait {
        name: "go".to_owned(),
        deadline: Some(Duration::from_secs_f64(config.deadline_seconds)),
        ..SignalWait::default()
    })))
}

fn resumed(_config: Config, signal: Signal) -> Result<Outcome<Value>, Failure> {
    Ok(match signal {
        Signal::Timeout => Outcome::branch("timed_out", json!(null)),
        other => Outcome::branch("received", other.payload()?),
    })
}
