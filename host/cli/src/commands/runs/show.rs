//! `runs show`: one run with its steps.

use std::fmt::Write;

use clap::Args;
use indexmap::IndexMap;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use stepcell_core::{
    FailureKind, RunId,
    run::{RunStatus, StepStatus},
};

use super::run_id;
use crate::{args::ServerArgs, client::Client, error::Error, output::Output, text};

/// Shows a run with all its steps.
///
/// stepcell runs show 01890a5d-ac96-774b-bcce-b302099a8057 --output json | jq .steps.fetch.output
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The run's id.
    #[arg(value_name = "RUN", value_parser = run_id)]
    run: RunId,
    #[command(flatten)]
    server: ServerArgs,
}

/// A run, as far as people are shown it.
#[derive(Deserialize)]
struct Run {
    flow: String,
    status: RunStatus,
    output: Option<Value>,
    error: Option<Failure>,
    created_at: Timestamp,
    finished_at: Option<Timestamp>,
    steps: IndexMap<String, Step>,
}

#[derive(Deserialize)]
struct Failure {
    kind: FailureKind,
    message: String,
    #[serde(default)]
    step: Option<String>,
    #[serde(default)]
    hint: Option<String>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(rename = "type")]
    kind: String,
    status: StepStatus,
    attempts: u32,
    #[serde(default)]
    fuel: u64,
    #[serde(default)]
    duration_us: u64,
    #[serde(default)]
    error: Option<Failure>,
    #[serde(default)]
    reason: Option<String>,
}

impl Show {
    pub(super) async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::new(&self.server, None)?;
        let view: Box<RawValue> = client.get(&["runs", &self.run.to_string()], &[]).await?;
        if output.is_json() {
            return output.json(&view);
        }
        let run: Run = client.read(view.get())?;
        output.text(&text::safe(&rendered(self.run, &run)?))
    }
}

/// The ids of a run's steps, in order.
pub(super) async fn step_ids(client: &Client, run: RunId) -> Result<Vec<String>, Error> {
    let Run { steps, .. } = client.get(&["runs", &run.to_string()], &[]).await?;
    Ok(steps.into_keys().collect())
}

fn rendered(id: RunId, run: &Run) -> Result<String, Error> {
    let took = run.finished_at.map(|end| text::duration(text::span(run.created_at, end)));
    let took = took.map(|took| format!(" in {took}")).unwrap_or_default();
    let mut out = format!("{id}  {}  {}{took}\n\n", text::line(&run.flow), run.status);
    let rows: Vec<_> = run.steps.iter().map(row).collect();
    out.push_str(&text::table(["STEP", "TYPE", "STATUS", "TRIES", "TIME", "FUEL", ""], &rows));
    // Writing to a string does not fail.
    if let Some(error) = &run.error {
        let label = if error.kind == FailureKind::System { "system error" } else { "error" };
        let step = error.step.as_ref().map(|step| format!("step `{step}`: ")).unwrap_or_default();
        let _ = writeln!(out, "\n{label}: {step}{}", error.message);
        for line in error.hint.iter().flat_map(|hint| hint.lines()) {
            let _ = writeln!(out, "  {line}");
        }
    }
    if let Some(output) = &run.output {
        let pretty = serde_json::to_string_pretty(output);
        let pretty = pretty.map_err(|error| Error::system("the output can not be shown", error))?;
        let _ = writeln!(out, "\noutput\n{pretty}");
    }
    Ok(out)
}

fn row((id, step): (&String, &Step)) -> [String; 7] {
    let ran = step.duration_us > 0;
    let note = step.error.as_ref().map(|error| &error.message).or(step.reason.as_ref());
    [
        text::line(id),
        text::line(&step.kind),
        step.status.to_string(),
        step.attempts.to_string(),
        if ran { text::duration(std::time::Duration::from_micros(step.duration_us)) } else { String::new() },
        if ran { text::fuel(step.fuel) } else { String::new() },
        note.map(|note| text::line(note)).unwrap_or_default(),
    ]
}
