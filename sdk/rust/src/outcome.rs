//! What a control step decides, and what it is told when it goes on.

use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use crate::{
    Failure,
    step::{deserialize, output},
};

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
    /// `approval`, which only a person's word on this run ends, or the name of an event.
    pub name: String,
    /// JSON Schema that a payload must fit.
    pub form: Option<Value>,
    /// An object that the payload must contain.
    pub matching: Option<Value>,
    pub deadline: Option<Duration>,
}

/// A body and the items to run it for. Both are kept as JSON text, so that numbers come through with all their digits
/// and a list of many items is no tree.
#[derive(Debug, Clone, PartialEq)]
pub struct FanOut {
    pub(crate) items: String,
    pub(crate) body: String,
    pub(crate) concurrency: Option<u32>,
    pub(crate) keep_going: bool,
}

impl FanOut {
    /// Runs the body once for each item. A body is `{"step": {…}}`, one step without an id, or `{"steps": […]}`, or
    /// `{"flow": {…}}`, a whole flow that has the item as its input.
    pub fn new(items: &[impl Serialize], body: &impl Serialize) -> Result<Self, Failure> {
        Ok(Self { items: output(&items)?, body: output(body)?, concurrency: None, keep_going: false })
    }

    /// How many at the same time; else the host's limit holds.
    #[must_use]
    pub fn concurrency(mut self, at_a_time: u32) -> Self {
        self.concurrency = Some(at_a_time);
        self
    }

    /// Makes a failed item `{"error": …}` in the results; else it fails the step.
    #[must_use]
    pub fn keep_going(mut self) -> Self {
        self.keep_going = true;
        self
    }
}

/// What `resume` is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", try_from = "Wire")]
pub enum Signal {
    /// The time of a [`Wait::Timer`] is over.
    Timer,
    /// Somebody or something sent what was waited for.
    Signal(Sent),
    /// The deadline of a signal is past.
    Timeout,
    /// Every item is done; the results are in the order of the items.
    Items { results: Vec<Box<RawValue>> },
}

/// What somebody or something sent.
#[derive(Debug, Clone, Serialize)]
pub struct Sent {
    pub payload: Box<RawValue>,
    /// Who sent it, where that is known.
    pub by: Option<String>,
    /// When, as an RFC 3339 time.
    pub at: Option<String>,
    /// `false` where an approval was refused.
    pub approved: bool,
}

impl Signal {
    /// The payload as a type of the step's own.
    pub fn payload<T: DeserializeOwned>(self) -> Result<T, Failure> {
        match self {
            Self::Signal(sent) => Ok(serde_json::from_str(sent.payload.get())?),
            other => Err(other.unexpected()),
        }
    }

    /// The results as a type of the step's own.
    pub fn results<T: DeserializeOwned>(self) -> Result<Vec<T>, Failure> {
        match self {
            Self::Items { results } => {
                results.iter().map(|result| Ok(serde_json::from_str(result.get())?)).collect()
            }
            other => Err(other.unexpected()),
        }
    }

    /// The failure of a step that waits for something else.
    pub fn unexpected(&self) -> Failure {
        let kind = match self {
            Self::Timer => "a timer",
            Self::Signal(_) => "a signal",
            Self::Timeout => "the deadline of a signal",
            Self::Items { .. } => "the results of items",
        };
        Failure::failed(format!("the step was resumed by {kind}, for which it does not wait"))
            .code("unexpected_signal")
    }
}

/// A signal as the host writes it. Serde reads a tagged enum by way of a tree, and a tree does not keep text as it is.
#[derive(Deserialize)]
struct Wire {
    kind: Kind,
    payload: Option<Box<RawValue>>,
    by: Option<String>,
    at: Option<String>,
    approved: Option<bool>,
    results: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Timer,
    Signal,
    Timeout,
    Items,
}

impl TryFrom<Wire> for Signal {
    type Error = &'static str;

    fn try_from(wire: Wire) -> Result<Self, Self::Error> {
        let Wire { kind, payload, by, at, approved, results } = wire;
        Ok(match kind {
            Kind::Timer => Self::Timer,
            Kind::Timeout => Self::Timeout,
            Kind::Signal => {
                let payload = payload.unwrap_or_else(|| RawValue::NULL.to_owned());
                Self::Signal(Sent { payload, by, at, approved: approved.unwrap_or(true) })
            }
            Kind::Items => Self::Items { results: results.ok_or("missing field `results`")? },
        })
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
    fn what_is_sent_counts_as_approved_unless_it_says_otherwise() {
        let approved = |text: &str| match signal(text).unwrap() {
            Signal::Signal(sent) => (sent.approved, sent.payload.get().to_owned()),
            other => panic!("{other:?}"),
        };
        assert_eq!(approved(r#"{"kind": "signal"}"#), (true, "null".to_owned()));
        assert_eq!(
            approved(r#"{"kind": "signal", "approved": false, "payload": 1}"#),
            (false, "1".to_owned())
        );
    }

    #[test]
    fn results_come_in_order_and_with_all_their_digits() {
        let text = r#"{"kind": "items", "results": [12345678901234567890.10, 1]}"#;
        let Signal::Items { results } = signal(text).unwrap() else { panic!("no items") };
        assert_eq!(
            results.iter().map(|result| result.get()).collect::<Vec<_>>(),
            ["12345678901234567890.10", "1"]
        );
        assert_eq!(signal(text).unwrap().results::<f64>().unwrap()[1], 1.0);
    }

    #[test]
    fn a_signal_that_lacks_its_part_is_refused() {
        assert_eq!(signal(r#"{"kind": "items"}"#).unwrap_err().code.as_deref(), Some("signal_invalid"));
        assert_eq!(signal(r#"{"kind": "other"}"#).unwrap_err().code.as_deref(), Some("signal_invalid"));
    }

    #[test]
    fn a_fan_out_keeps_its_texts() {
        let items = [RawValue::from_string("1.10".to_owned()).unwrap()];
        let fan_out = FanOut::new(&items, &json!({ "step": {} })).unwrap().concurrency(2).keep_going();
        assert_eq!((fan_out.items.as_str(), fan_out.body.as_str()), ("[1.10]", r#"{"step":{}}"#));
        assert_eq!((fan_out.concurrency, fan_out.keep_going), (Some(2), true));
    }
}
