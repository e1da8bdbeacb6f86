//! What a guest returned, in the words of the engine. Nothing of it is taken on trust.

use stepcell_core::{Failure, FailureKind, Fault, Json};
use stepcell_engine::runner::Outcome;

use crate::{
    bindings::exports::stepcell::step::control, bindings::stepcell::step::types, cell::Refused,
    limits::Effective, trap,
};

/// The longest message that a step may give its failure. Protects the log: a failure is an event.
const MESSAGE_BYTES_MAX: usize = 8 << 10;
/// The longest code. Flows branch on it.
const CODE_BYTES_MAX: usize = 100;
/// The largest details, which are part of the event too.
const DETAILS_BYTES_MAX: usize = 32 << 10;

/// Checks what a guest returned.
pub(crate) struct Check<'a> {
    pub(crate) limits: &'a Effective,
    /// The step's type.
    pub(crate) kind: &'a str,
    /// What the cell was refused while it ran.
    pub(crate) refused: Option<Refused>,
}

impl Check<'_> {
    pub(crate) fn handler(&self, returned: Result<String, types::Failure>) -> Result<Outcome, Failure> {
        match returned {
            Ok(output) => Ok(Outcome::Done(self.json("output", output)?)),
            Err(failure) => Err(self.failure(failure)),
        }
    }

    pub(crate) fn control(
        &self,
        returned: Result<control::Outcome, types::Failure>,
    ) -> Result<Outcome, Failure> {
        match returned {
            Ok(outcome) => self.outcome(outcome),
            Err(failure) => Err(self.failure(failure)),
        }
    }

    fn outcome(&self, outcome: control::Outcome) -> Result<Outcome, Failure> {
        Ok(match outcome {
            control::Outcome::Done(output) => Outcome::Done(self.json("output", output)?),
            control::Outcome::Branch(branch) => {
                Outcome::Branch { port: branch.port, output: self.json("output", branch.output)? }
            }
            control::Outcome::Wait(control::Wait::Timer(seconds)) => {
                Outcome::WaitTimer { seconds: self.seconds("timer", seconds)? }
            }
            control::Outcome::Wait(control::Wait::Signal(signal)) => Outcome::WaitSignal {
                name: signal.name,
                form: signal.form.map(|form| self.json("form", form)).transpose()?,
                matching: signal.matching.map(|matching| self.json("matching", matching)).transpose()?,
                deadline_seconds: signal
                    .deadline_seconds
                    .map(|seconds| self.seconds("deadline", seconds))
                    .transpose()?,
            },
            control::Outcome::FanOut(fan_out) => Outcome::FanOut {
                items: self.json("items", fan_out.items)?,
                body: self.json("body", fan_out.body)?,
                concurrency: fan_out.concurrency,
                keep_going: fan_out.keep_going,
            },
        })
    }

    fn json(&self, what: &str, text: String) -> Result<Json, Failure> {
        let bytes = text.len() as u64;
        if bytes > self.limits.output.value {
            return Err(self.limits.output_exceeded(self.kind, bytes));
        }
        Json::parse(text).map_err(|error| {
            let message = format!("the step returned {what} that is no JSON: {error}");
            Failure::system(Fault::Failed, "output_invalid", message)
        })
    }

    fn seconds(&self, what: &str, seconds: f64) -> Result<f64, Failure> {
        if seconds.is_finite() && seconds >= 0.0 {
            return Ok(seconds);
        }
        let message = format!("the step returned a {what} of {seconds} seconds");
        Err(Failure::system(Fault::Failed, "output_invalid", message))
    }

    /// The step's own word, cut to what an event can carry.
    fn failure(&self, failure: types::Failure) -> Failure {
        if let Some(refused) = self.refused.filter(|_| speaks_of_memory(&failure)) {
            return trap::out_of(refused, self.limits, self.kind);
        }
        Failure {
            fault: fault(failure.fault),
            kind: FailureKind::Business,
            code: failure.code.map(|code| cut(code, CODE_BYTES_MAX)),
            message: cut(failure.message, MESSAGE_BYTES_MAX),
            retryable: failure.retryable,
            retry_after_ms: failure.retry_after_ms,
            hint: None,
            details: failure
                .details
                .filter(|details| details.len() <= DETAILS_BYTES_MAX)
                .and_then(|details| Json::parse(details).ok()),
        }
    }
}

/// Interpreters catch a failed allocation and report it as an error of the program: `MemoryError`, `out of
/// memory`. It is still the limit that ended the step.
fn speaks_of_memory(failure: &types::Failure) -> bool {
    let text = failure.message.to_ascii_lowercase();
    text.contains("memory") || text.contains("alloc")
}

fn fault(fault: types::Fault) -> Fault {
    match fault {
        types::Fault::Config => Fault::Config,
        types::Fault::Denied => Fault::Denied,
        types::Fault::Unavailable => Fault::Unavailable,
        types::Fault::Timeout => Fault::Timeout,
        types::Fault::Limit => Fault::Limit,
        types::Fault::Failed => Fault::Failed,
    }
}

fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use stepcell_core::Limits;
    use stepcell_engine::runner::LimitsRequest;

    use super::*;

    fn limits() -> Effective {
        let operator = Limits { output: 100, ..Limits::default() };
        Effective::new(&operator, None, &LimitsRequest::default())
    }

    fn said(message: &str, details: Option<String>) -> types::Failure {
        types::Failure {
            fault: types::Fault::Denied,
            code: Some("no".to_owned()),
            message: message.to_owned(),
            retryable: true,
            retry_after_ms: Some(5),
            details,
        }
    }

    #[track_caller]
    fn check_output(text: &str, code: Option<&str>) {
        let limits = limits();
        let check = Check { limits: &limits, kind: "t", refused: None };
        let failure = check.handler(Ok(text.to_owned())).err();
        assert_eq!(failure.and_then(|failure| failure.code).as_deref(), code, "{text:.40}");
    }

    #[test]
    fn output_must_be_json_within_the_limit() {
        check_output("{}", None);
        check_output("", Some("output_invalid"));
        check_output("{", Some("output_invalid"));
        check_output(&format!("\"{}\"", "x".repeat(200)), Some("output_exceeded"));
    }

    #[track_caller]
    fn check_failure(failure: types::Failure, refused: Option<Refused>) -> Failure {
        let limits = limits();
        Check { limits: &limits, kind: "t", refused }.handler(Err(failure)).unwrap_err()
    }

    #[test]
    fn a_failure_of_the_step_is_its_own_word() {
        let failure = check_failure(said("no", Some("{\"a\":1}".to_owned())), None);
        assert_eq!(failure.kind, FailureKind::Business);
        assert_eq!(failure.fault, Fault::Denied);
        assert_eq!(failure.code.as_deref(), Some("no"));
        assert!(failure.retryable);
        assert_eq!(failure.details.unwrap().text(), "{\"a\":1}");
    }

    #[test]
    fn a_failure_is_cut_to_what_an_event_carries() {
        let failure = check_failure(said(&"é".repeat(100_000), Some("no json".to_owned())), None);
        assert!(failure.message.len() < MESSAGE_BYTES_MAX + 8);
        assert_eq!(failure.details, None);
    }

    #[test]
    fn a_caught_memory_error_is_the_limit() {
        let refused = Some(Refused::Memory { wanted: 1 << 30 });
        let failure = check_failure(said("MemoryError", None), refused);
        assert_eq!((failure.fault, failure.code.as_deref()), (Fault::Limit, Some("memory_exceeded")));
        let failure = check_failure(said("KeyError: 'x'", None), refused);
        assert_eq!(failure.fault, Fault::Denied);
    }

    #[test]
    fn times_must_be_numbers_to_come() {
        let limits = limits();
        let check = Check { limits: &limits, kind: "t", refused: None };
        let wait = |seconds| check.control(Ok(control::Outcome::Wait(control::Wait::Timer(seconds))));
        assert_eq!(wait(1.5).unwrap(), Outcome::WaitTimer { seconds: 1.5 });
        assert!(wait(f64::NAN).is_err());
        assert!(wait(-1.0).is_err());
        assert!(wait(f64::INFINITY).is_err());
    }
}
