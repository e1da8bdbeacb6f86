//! A control step's edge: JSON text in, a decision out.

use serde::Serialize;
use serde_json::Value;

use crate::{Failure, Outcome, outcome::ControlResult, step::output};

/// What `#[stepcell::control]` makes of a function. Use the attribute.
pub trait Control {
    /// The catalog entry.
    fn describe() -> Value;

    /// Decides for the first time. The output is JSON text.
    fn execute(config: &str, context: &str) -> Result<Outcome<String>, Failure>;

    /// Decides again, after what was waited for has come.
    fn resume(config: &str, context: &str, signal: &str) -> Result<Outcome<String>, Failure>;
}

/// The decision with its output as JSON text.
pub fn decision<R>(result: R) -> Result<Outcome<String>, Failure>
where
    R: ControlResult,
    R::Output: Serialize,
{
    Ok(match result.into_result()? {
        Outcome::Done(value) => Outcome::Done(output(&value)?),
        Outcome::Branch { port, output: value } => Outcome::Branch { port, output: output(&value)? },
        Outcome::Wait(wait) => Outcome::Wait(wait),
        Outcome::FanOut(fan_out) => Outcome::FanOut(fan_out),
    })
}

/// What a step answers to `resume` where it never waits.
pub fn never_waits(kind: &str) -> Failure {
    Failure::failed(format!("`{kind}` never waits, so nothing can resume it")).code("unexpected_signal")
}
