//! The bindings, and the exports that the attributes make with them.
#![expect(clippy::allow_attributes_without_reason, reason = "wit-bindgen writes it")]

use std::{marker::PhantomData, time::Duration};

use step::stepcell::step::types;

use crate::{Failure, FanOut, Fault, Outcome, Wait, control::Control, step::Step};

/// The world of a [`Step`].
pub mod step {
    wit_bindgen::generate!({
        path: "wit/step",
        world: "step",
        pub_export_macro: true,
        export_macro_name: "export_step",
        default_bindings_module: "stepcell::__private::step",
    });
}

/// The world of a [`Control`] step.
pub mod control {
    wit_bindgen::generate!({
        path: "wit/step",
        world: "control-step",
        pub_export_macro: true,
        export_macro_name: "export_control",
        default_bindings_module: "stepcell::__private::control",
        with: { "stepcell:step/types@0.1.0": crate::guest::step::stepcell::step::types },
    });
}

/// Exports a [`Step`].
pub struct HandlerOf<S>(PhantomData<S>);

/// Exports a [`Control`] step.
pub struct ControlOf<S>(PhantomData<S>);

impl<S: Step> step::exports::stepcell::step::handler::Guest for HandlerOf<S> {
    fn describe() -> String {
        S::describe().to_string()
    }

    fn execute(config: String, context: String) -> Result<String, types::Failure> {
        S::execute(&config, &context).map_err(types::Failure::from)
    }
}

use control::exports::stepcell::step::control as wire;

impl<S: Control> wire::Guest for ControlOf<S> {
    fn describe() -> String {
        S::describe().to_string()
    }

    fn execute(config: String, context: String) -> Result<wire::Outcome, types::Failure> {
        Ok(lower(S::execute(&config, &context)?))
    }

    fn resume(config: String, context: String, signal: String) -> Result<wire::Outcome, types::Failure> {
        Ok(lower(S::resume(&config, &context, &signal)?))
    }
}

fn lower(outcome: Outcome<String>) -> wire::Outcome {
    match outcome {
        Outcome::Done(output) => wire::Outcome::Done(output),
        Outcome::Branch { port, output } => {
            wire::Outcome::Branch(wire::Branch { port: port.to_owned(), output })
        }
        Outcome::Wait(Wait::Timer(duration)) => {
            wire::Outcome::Wait(wire::Wait::Timer(duration.as_secs_f64()))
        }
        Outcome::Wait(Wait::Signal(wait)) => wire::Outcome::Wait(wire::Wait::Signal(wire::Signal {
            name: wait.name,
            form: wait.form.map(|form| form.to_string()),
            matching: wait.matching.map(|matching| matching.to_string()),
            deadline_seconds: wait.deadline.map(|deadline| deadline.as_secs_f64()),
        })),
        Outcome::FanOut(FanOut { items, body, concurrency, keep_going }) => {
            wire::Outcome::FanOut(wire::FanOut { items, body, concurrency, keep_going })
        }
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        Self {
            fault: failure.fault.into(),
            code: failure.code,
            message: failure.message,
            retryable: failure.retryable,
            retry_after_ms: failure.retry_after.map(milliseconds),
            details: failure.details.map(|details| details.to_string()),
        }
    }
}

/// A wait that does not fit is as good as the longest one that does: 49 days.
fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

impl From<Fault> for types::Fault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Config => Self::Config,
            Fault::Denied => Self::Denied,
            Fault::Unavailable => Self::Unavailable,
            Fault::Timeout => Self::Timeout,
            Fault::Limit => Self::Limit,
            Fault::Failed => Self::Failed,
        }
    }
}
