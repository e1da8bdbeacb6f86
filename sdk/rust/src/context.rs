//! What a step may know besides its config.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{Failure, step::deserialize};

/// Everything: the run's input and the outputs of the step's ancestors. A function
/// that takes it makes the host hand it over on every call; take [`Input`] or
/// [`StepInfo`] where they will do.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Context {
    /// The run's input.
    pub input: Value,
    /// The outputs of the steps that this one waited for, by id.
    pub steps: Map<String, Value>,
    pub step: StepInfo,
}

/// The run's input alone, as a type of the step's own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Input<T = Value>(pub T);

/// Which step this is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StepInfo {
    pub id: String,
    /// Counts from 1.
    pub attempt: u32,
    /// The same on every attempt of this step in this run, and on no other step.
    pub idempotency_key: String,
    /// Those of the step's ports that the flow goes on from; see [`uses`](Self::uses).
    pub ports: Vec<String>,
}

impl StepInfo {
    /// Whether the flow goes on from this port: some step has it in its `after`. A step that can end in more than one
    /// way takes such a port, and fails where nobody would notice.
    #[must_use]
    pub fn uses(&self, port: &str) -> bool {
        self.ports.iter().any(|used| used == port)
    }
}

/// How much of the context the host hands to a cell: `none`, `input` or `full`.
pub(crate) type Need = &'static str;

/// A function's second argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can not be a step's second argument",
    note = "take `Context`, `Input<T>`, `StepInfo`, or nothing"
)]
pub trait FromContext: Sized {
    /// What the catalog entry says under `context`.
    const NEED: &'static str;

    /// Takes its part out of the context's JSON text.
    fn from_context(context: &str) -> Result<Self, Failure>;
}

impl FromContext for () {
    const NEED: Need = "none";

    fn from_context(_context: &str) -> Result<Self, Failure> {
        Ok(())
    }
}

impl FromContext for StepInfo {
    const NEED: Need = "none";

    fn from_context(context: &str) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Part {
            step: StepInfo,
        }
        Ok(deserialize::<Part>(context, "context")?.step)
    }
}

impl<T: DeserializeOwned> FromContext for Input<T> {
    const NEED: Need = "input";

    fn from_context(context: &str) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Part<T> {
            input: T,
        }
        Ok(Self(deserialize::<Part<T>>(context, "context")?.input))
    }
}

impl FromContext for Context {
    const NEED: Need = "full";

    fn from_context(context: &str) -> Result<Self, Failure> {
        deserialize(context, "context")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: &str = r#"{"input": {"n": 1}, "steps": {"a": 2}, "step": {"id": "b", "attempt": 1, "idempotency_key": "k"}, "later": 0}"#;

    #[test]
    fn each_part_is_taken_alone() {
        assert_eq!(Input::<Value>::from_context(CONTEXT).unwrap().0["n"], 1);
        assert_eq!(StepInfo::from_context(CONTEXT).unwrap().idempotency_key, "k");
        assert_eq!(Context::from_context(CONTEXT).unwrap().steps["a"], 2);
    }

    #[test]
    fn ports_that_nobody_goes_on_from_are_not_used() {
        let none = StepInfo::from_context(CONTEXT).unwrap();
        let one = StepInfo::from_context(r#"{"step": {"id": "b", "ports": ["late"]}}"#).unwrap();
        assert_eq!((none.uses("late"), one.uses("late"), one.uses("early")), (false, true, false));
    }

    #[test]
    fn an_input_of_another_shape_names_the_place() {
        #[derive(Debug, Deserialize)]
        struct Order {
            #[expect(dead_code, reason = "only its type matters")]
            n: String,
        }
        let failure = Input::<Order>::from_context(CONTEXT).unwrap_err();
        assert!(failure.message.starts_with("`context.input.n`: "), "{}", failure.message);
    }
}
