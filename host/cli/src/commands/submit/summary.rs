//! What came of many runs.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Serialize, Serializer};
use stepcell_core::{RunId, run::RunStatus};

use crate::{error::Error, output::Output, text};

/// The most runs that a summary names, of those that did not succeed. Protects memory and the reader; the counts are of
/// all.
const NAMED_MAX: usize = 10_000;

/// The run of one line, ended.
#[derive(Debug, Serialize)]
pub(super) struct Ended {
    pub(super) line: usize,
    pub(super) run_id: RunId,
    pub(super) status: RunStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// A line whose run was left to the server, which may have none of it.
#[derive(Debug, Serialize)]
struct Left {
    line: usize,
    /// Not known where the server had not answered yet.
    run_id: Option<RunId>,
}

/// What came of all lines; serialises to what `--output json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    flow: String,
    total: usize,
    succeeded: usize,
    failed: usize,
    cancelled: usize,
    not_sent: usize,
    #[serde(rename = "took_ms", serialize_with = "as_millis")]
    took: Duration,
    /// Those that did not succeed, in the order in which they ended.
    unsuccessful: Vec<Ended>,
    still_running: Vec<Left>,
    /// The same call under it goes on where this one ended, as far as the server still has the runs.
    idempotency_key: String,
    /// Why the sending stopped.
    #[serde(skip)]
    refused: Option<Error>,
}

impl Summary {
    pub(super) fn new(flow: &str, key: &str, total: usize) -> Self {
        Self {
            flow: flow.to_owned(),
            total,
            succeeded: 0,
            failed: 0,
            cancelled: 0,
            not_sent: 0,
            took: Duration::ZERO,
            unsuccessful: Vec::new(),
            still_running: Vec::new(),
            idempotency_key: key.to_owned(),
            refused: None,
        }
    }

    pub(super) fn ended(&mut self, ended: Ended) {
        match ended.status {
            RunStatus::Succeeded => {
                self.succeeded += 1;
                return;
            }
            RunStatus::Cancelled => self.cancelled += 1,
            _ => self.failed += 1,
        }
        if self.unsuccessful.len() < NAMED_MAX {
            self.unsuccessful.push(ended);
        }
    }

    /// The server refused a line; the first reason is the one that is told.
    pub(super) fn refused(&mut self, error: Error) {
        self.refused.get_or_insert(error);
    }

    /// No more is waited for.
    pub(super) fn finish(&mut self, under_way: BTreeMap<usize, Option<RunId>>, took: Duration) {
        self.still_running = under_way.into_iter().map(|(line, run_id)| Left { line, run_id }).collect();
        self.not_sent = self.total.saturating_sub(self.ended_count() + self.still_running.len());
        self.took = took;
    }

    /// Prints it on stdout; an error where a run did not succeed, or was not sent.
    pub(super) fn print(mut self, output: Output) -> Result<(), Error> {
        let refused = self.refused.take();
        // Where nothing began the reason says it all.
        if self.ended_count() + self.still_running.len() > 0 || refused.is_none() {
            if output.is_json() {
                output.json(&self)?;
            } else {
                output.text(&text::safe(&self.to_string()))?;
            }
        }
        match refused {
            Some(error) => Err(error),
            None if self.succeeded == self.total => Ok(()),
            None => Err(Error::RunFailed),
        }
    }

    fn ended_count(&self) -> usize {
        self.succeeded + self.failed + self.cancelled
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} runs of {} ended", self.ended_count(), self.total, text::line(&self.flow))?;
        write!(f, " in {}: {} succeeded, {} failed", text::duration(self.took), self.succeeded, self.failed)?;
        let others = [
            (self.cancelled, "cancelled"),
            (self.still_running.len(), "going on"),
            (self.not_sent, "not sent"),
        ];
        for (count, what) in others {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        writeln!(f)?;
        for Ended { line, run_id, status, error } in &self.unsuccessful {
            let error = error.as_ref().map(|error| format!(": {}", text::line(error))).unwrap_or_default();
            writeln!(f, "  line {line}  {run_id}  {status}{error}")?;
        }
        let more = (self.failed + self.cancelled).saturating_sub(self.unsuccessful.len());
        if more > 0 {
            writeln!(
                f,
                "  and {more} more: `stepcell runs list --status failed --flow {}`",
                text::line(&self.flow)
            )?;
        }
        for Left { line, run_id } in &self.still_running {
            match run_id {
                Some(run) => writeln!(f, "  line {line}  {run}  goes on")?,
                None => writeln!(f, "  line {line}  may go on: the server has not answered")?,
            }
        }
        if self.ended_count() < self.total {
            let key = text::line(&self.idempotency_key);
            writeln!(f, "  the same call with `--idempotency-key {key}` goes on from here;")?;
            writeln!(f, "  a line whose run the server has removed by then (`retention`) runs again")?;
        }
        Ok(())
    }
}

fn as_millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(time.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(last: u8) -> RunId {
        RunId::from_bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, last])
    }

    fn ended(line: usize, status: RunStatus, error: Option<&str>) -> Ended {
        Ended { line, run_id: run(0), status, error: error.map(str::to_owned) }
    }

    fn summary() -> Summary {
        let mut summary = Summary::new("order-intake", "night-17", 9);
        summary.ended(ended(1, RunStatus::Succeeded, None));
        summary.ended(ended(3, RunStatus::Failed, Some("step `price`: no such article\nsecond line")));
        summary.ended(ended(2, RunStatus::Cancelled, None));
        summary.finish(BTreeMap::from([(4, Some(run(4))), (5, None)]), Duration::from_millis(2_340));
        summary
    }

    #[test]
    fn a_summary_counts_all_and_names_what_did_not_succeed() {
        insta::assert_snapshot!(summary());
        insta::assert_json_snapshot!(summary());
    }

    #[test]
    fn all_that_succeeded_is_a_success() {
        let output = Output::new(crate::args::OutputFormat::Text);
        let mut all = Summary::new("f", "k", 1);
        all.ended(ended(1, RunStatus::Succeeded, None));
        all.finish(BTreeMap::new(), Duration::ZERO);
        assert!(all.print(output).is_ok());
        assert!(matches!(summary().print(output), Err(Error::RunFailed)));
    }

    #[test]
    fn a_refusal_is_what_the_command_ends_with() {
        let mut refused = Summary::new("f", "k", 2);
        refused.refused(Error::call("no", "no", "no"));
        refused.refused(Error::RunFailed);
        refused.finish(BTreeMap::new(), Duration::ZERO);
        let error = refused.print(Output::new(crate::args::OutputFormat::Text)).unwrap_err();
        assert!(matches!(error, Error::Call { .. }));
    }

    #[test]
    fn not_every_failed_run_is_named() {
        let mut many = Summary::new("f", "k", NAMED_MAX + 5);
        (0..NAMED_MAX + 5).for_each(|line| many.ended(ended(line, RunStatus::Failed, None)));
        assert!(many.to_string().contains("and 5 more"));
    }
}
