//! What a control step decides, and what it is told when it goes on.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Failure, step::deserialize};

/// What a control step decides. `T` is the type of its output.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<T = Value> {
    /// The step is done.
    Done(T),
    /// The step is done and takes one of its ports.
    Branch { port: &'static str, output: T },
    /// The step is parked. It holds no cell, thread or timer meanwhile.
    Wait(Wait),
    /// Runs a body once for each item.
    FanOut(FanOut),
}

impl<T> Outcome<T> {
    /// Done, through this port.
    pub fn branch(port: &'static str, output: T) -> Self {
        Self::Branch { port, output }
    }

    /// Parked for this long.
    pub fn sleep(duration: Duration) -> Self {
        Self::Wait(Wait::Timer(duration))
    }
}

/// What a parked step waits for.
#[derive(Debug, Clone, PartialEq)]
pub enum Wait {
    /// `resume` then gets [`Signal::Timer`].
    Timer(Duration),
    /// `resume` then gets [`Signal::Signal`] or, past the deadline, [`Signal::Timeout`].
    Signal(SignalWait),
}

/// Which signal ends a wait.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SignalWait {
    /// `approval`, or the name of an event.
    pub name: String,
    /// JSON Schema that a payload must fit.
    pub form: Option<Value>,
    /// An object that the payload must contain.
    pub matching: Option<Value>,
    pub deadline: Option<Duration>,
}

/// A body and the items to run it for.
#[derive(Debug, Clone, PartialEq)]
pub struct FanOut {
    pub items: Vec<Value>,
    /// `{"steps": […]}` or `{"flow": name}`.
    pub body: Value,
    /// How many at the same time; the host's limit where absent.
    pub concurrency: Option<u32>,
    /// Whether a failed item becomes `{"error": …}` in the results instead of failing the step.
    pub keep_going: bool,
}

/// What `resume` is told.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Signal {
    /// The time of a [`Wait::Timer`] is over.
    Timer,
    /// Somebody or something sent what was waited for.
    Signal {
        #[serde(default)]
        payload: Value,
        /// Who sent it, where that is known.
        #[serde(default)]
        by: Option<String>,
        /// When, as an RFC 3339 time.
        #[serde(default)]
        at: Option<String>,
    },
    /// The deadline of a signal is past.
    Timeout,
    /// Every item is done; the results are in the order of the items.
    Items { results: Vec<Value> },
}

impl Signal {
    /// The payload as a type of the step's own.
    pub fn payload<T: DeserializeOwned>(self) -> Result<T, Failure> {
        match self {
            Self::Signal { payload, .. } => Ok(serde_json::from_value(payload)?),
            other => Err(other.unexpected()),
        }
    }

    /// The failure of a step that waits for something else.
    pub fn unexpected(&self) -> Failure {
        let kind = match self {
            Self::Timer => "a timer",
            Self::Signal { .. } => "a signal",
            Self::Timeout => "the deadline of a signal",
            Self::Items { .. } => "the results of items",
        };
        Failure::failed(format!("the step was resumed by {kind}, for which it does not wait"))
            .code("unexpected_signal")
    }
}

/// For `resume`: what the host's text says.
pub fn signal(text: &str) -> Result<Signal, Failure> {
    deserialize(text, "signal")
}

/// What the functions of a control step may return.
#[diagnostic::on_unimplemented(
    message = "a control step returns `Result<Outcome<T>, Failure>`, not `{Self}`"
)]
pub trait ControlResult {
    type Output;

    fn into_result(self) -> Result<Outcome<Self::Output>, Failure>;
}

impl<T, E: Into<Failure>> ControlResult for Result<Outcome<T>, E> {
    type Output = T;

    fn into_result(self) -> Result<Outcome<T>, Failure> {
        self.map_err(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_payload_is_taken_as_a_type() {
        let sent = signal(r#"{"kind": "signal", "payload": [1], "by": null, "at": "now"}"#).unwrap();
        assert_eq!(sent.payload::<Vec<u8>>().unwrap(), [1]);
    }

    #[test]
    fn a_timer_has_no_payload() {
        let failure = signal(r#"{"kind": "timer"}"#).unwrap().payload::<Value>().unwrap_err();
        assert_eq!(failure.code.as_deref(), Some("unexpected_signal"));
    }

    #[test]
    fn results_come_in_order() {
        let sent = signal(&json!({ "kind": "items", "results": [2, 1] }).to_string()).unwrap();
        assert_eq!(sent, Signal::Items { results: vec![json!(2), json!(1)] });
    }
}
