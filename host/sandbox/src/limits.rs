//! What one execution may use: the smaller of what the operator allows and what the flow or step asks for.

use std::{fmt, time::Duration};

use stepcell_core::{Failure, Fault, Limits, flow::LimitsPatch};
use stepcell_engine::runner::LimitsRequest;

/// Whose word a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// `limits` of the config file, or its default.
    Operator,
    /// `limits` of the grant for the step's type.
    Grant,
    /// `limits` of the step or its flow.
    Flow,
}

/// A limit with the place that sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit<T> {
    pub(crate) value: T,
    pub(crate) source: Source,
}

/// The limits of one execution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effective {
    pub(crate) fuel: Limit<u64>,
    pub(crate) memory: Limit<u64>,
    pub(crate) time: Limit<Duration>,
    pub(crate) output: Limit<u64>,
    pub(crate) request: Limit<u64>,
    pub(crate) response: Limit<u64>,
    pub(crate) requests: Limit<u64>,
    /// The step's own `timeout`, which no operator sets.
    pub(crate) timeout: Option<Duration>,
}

impl Effective {
    pub(crate) fn new(operator: &Limits, grant: Option<&LimitsPatch>, asked: &LimitsRequest) -> Self {
        let grant = grant.copied().unwrap_or_default();
        Self {
            fuel: smaller(operator.fuel, grant.fuel, asked.fuel),
            memory: smaller(operator.memory, grant.memory, asked.memory),
            time: smaller(operator.time, grant.time, asked.time),
            output: smaller(operator.output, grant.output, asked.output),
            request: smaller(operator.request, grant.request, asked.request),
            response: smaller(operator.response, grant.response, asked.response),
            requests: smaller(operator.requests, grant.requests, asked.requests),
            timeout: asked.timeout,
        }
    }

    pub(crate) fn fuel_exhausted(&self, kind: &str) -> Failure {
        let message = format!("the step used up its fuel of {}", self.fuel.value);
        exceeded("fuel_exhausted", message, "limits.fuel", self.fuel.source, kind)
    }

    pub(crate) fn memory_exceeded(&self, kind: &str, wanted: u64) -> Failure {
        let message =
            format!("the step wanted {} of memory, of {} allowed", Bytes(wanted), Bytes(self.memory.value));
        exceeded("memory_exceeded", message, "limits.memory", self.memory.source, kind)
    }

    pub(crate) fn time_exceeded(&self, kind: &str) -> Failure {
        let message = format!("the step ran for longer than {:?}", self.time.value);
        exceeded("time_exceeded", message, "limits.time", self.time.source, kind)
    }

    pub(crate) fn output_exceeded(&self, kind: &str, bytes: u64) -> Failure {
        let most = Bytes(self.output.value);
        // Where the cell was stopped on its way, all that is known is that it was too much.
        let message = if bytes <= self.output.value.saturating_add(1) {
            format!("the step returned more than the {most} allowed")
        } else {
            format!("the step returned {}, of {most} allowed", Bytes(bytes))
        };
        exceeded("output_exceeded", message, "limits.output", self.output.source, kind)
    }

    pub(crate) fn timed_out(&self) -> Failure {
        let allowed = self.timeout.unwrap_or_default();
        Failure::system(
            Fault::Timeout,
            "step_timeout",
            format!("the step ran for longer than its timeout of {allowed:?}"),
        )
        .with_hint("raise the step's `timeout`, or let it try again with `retry`")
        .retryable()
    }
}

fn smaller<T: Ord>(operator: T, grant: Option<T>, asked: Option<T>) -> Limit<T> {
    let allowed = match grant {
        Some(value) => Limit { value, source: Source::Grant },
        None => Limit { value: operator, source: Source::Operator },
    };
    match asked {
        Some(value) if value < allowed.value => Limit { value, source: Source::Flow },
        _ => allowed,
    }
}

fn exceeded(code: &str, message: String, key: &str, source: Source, kind: &str) -> Failure {
    let hint = match source {
        Source::Operator => {
            format!("raise `{key}` in stepcell.yaml, or `grants.{kind}.{key}` for this type alone")
        }
        Source::Grant => format!("raise `grants.{kind}.{key}` in stepcell.yaml"),
        Source::Flow => format!("raise `{key}` of the step or of its flow"),
    };
    Failure::system(Fault::Limit, code, message).with_hint(hint)
}

/// A number of bytes as a person would write it.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
            if self.0 >= unit {
                let tenths = self.0.saturating_mul(10) / unit;
                return match tenths % 10 {
                    0 => write!(f, "{} {name}", tenths / 10),
                    rest => write!(f, "{}.{rest} {name}", tenths / 10),
                };
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(grant: Option<u64>, asked: Option<u64>, value: u64, source: Source) {
        let operator = Limits { fuel: 100, ..Limits::default() };
        let grant = LimitsPatch { fuel: grant, ..LimitsPatch::default() };
        let asked = LimitsRequest { fuel: asked, ..LimitsRequest::default() };
        assert_eq!(Effective::new(&operator, Some(&grant), &asked).fuel, Limit { value, source });
    }

    #[test]
    fn a_grant_replaces_and_a_step_only_narrows() {
        check(None, None, 100, Source::Operator);
        check(None, Some(50), 50, Source::Flow);
        check(None, Some(500), 100, Source::Operator);
        check(Some(300), None, 300, Source::Grant);
        check(Some(300), Some(500), 300, Source::Grant);
        check(Some(300), Some(200), 200, Source::Flow);
    }

    #[test]
    fn a_limit_names_the_key_that_raises_it() {
        let limits = Effective::new(&Limits::default(), None, &LimitsRequest::default());
        let failure = limits.memory_exceeded("grab", 129 << 20);
        assert_eq!(failure.fault, Fault::Limit);
        assert_eq!(failure.message, "the step wanted 129 MiB of memory, of 128 MiB allowed");
        assert!(failure.hint.unwrap().contains("`limits.memory`"));
    }

    #[test]
    fn bytes_read_well() {
        assert_eq!(Bytes(512).to_string(), "512 bytes");
        assert_eq!(Bytes(1_536).to_string(), "1.5 KiB");
        assert_eq!(Bytes(16 << 20).to_string(), "16 MiB");
    }
}
