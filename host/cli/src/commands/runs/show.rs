//! `runs show`: one run with its steps.

use std::fmt::Write;

use clap::Args;
use indexmap::IndexMap;
use jiff::Timestamp;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use stepcell_core::{
    FailureKind, RunId, StepId,
    run::{RunStatus, StepStatus},
};

use super::run_id;
use crate::{
    args::ServerArgs,
    client::Client,
    error::Error,
    output::Output,
    text,
    waiting::{Asked, Waiting},
};

/// Shows a run with all its steps.
///
/// Of a step that fans out it shows how many items have ended, and how; `runs items` lists them. Under the steps stands
/// what the run waits for, and the command that answers.
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
    #[serde(default)]
    retry_of: Option<RunId>,
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
    #[serde(default)]
    wait: Option<Waiting>,
    #[serde(default)]
    items: Option<ItemCounts>,
    #[serde(default)]
    kept_from: Option<RunId>,
}

#[derive(Deserialize)]
struct ItemCounts {
    total: u64,
    succeeded: u64,
    failed: u64,
}

impl Show {
    pub(super) async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::new(&self.server, None)?;
        let view: Box<RawValue> = client.get(&["runs", &self.run.to_string()], &[]).await?;
        if output.is_json() {
            return output.json(&view);
        }
        let run: Run = client.read(view.get())?;
        let shown = Shown { id: self.run, run: &run, server: client.url(), named: self.server.url.is_some() };
        output.text(&text::safe(&shown.rendered()?))
    }
}

/// The ids of a run's steps, in order.
pub(super) async fn step_ids(client: &Client, run: RunId) -> Result<Vec<String>, Error> {
    let Run { steps, .. } = client.get(&["runs", &run.to_string()], &[]).await?;
    Ok(steps.into_keys().collect())
}

/// A flow's name, and its steps with their types, as a run of it has them.
pub(super) async fn outline(
    client: &Client,
    run: RunId,
) -> Result<(String, IndexMap<StepId, String>), Error> {
    let Run { flow, steps, .. } = client.get(&["runs", &run.to_string()], &[]).await?;
    let kinds = steps.into_iter().filter_map(|(id, step)| Some((StepId::new(&id).ok()?, step.kind)));
    Ok((flow, kinds.collect()))
}

/// A run and where it is.
struct Shown<'a> {
    id: RunId,
    run: &'a Run,
    server: &'a Url,
    /// The server was named in the call, so that a command that is shown has to name it too.
    named: bool,
}

impl Shown<'_> {
    fn rendered(&self) -> Result<String, Error> {
        let Self { id, run, .. } = self;
        let took = run.finished_at.map(|end| text::duration(text::span(run.created_at, end)));
        let took = took.map(|took| format!(" in {took}")).unwrap_or_default();
        let mut out = format!("{id}  {}  {}{took}\n", text::line(&run.flow), run.status);
        // Writing to a string does not fail.
        if let Some(earlier) = run.retry_of {
            let _ = writeln!(out, "tries {earlier} again");
        }
        out.push('\n');
        let rows: Vec<_> = run.steps.iter().map(row).collect();
        out.push_str(&text::table(["STEP", "TYPE", "STATUS", "TRIES", "TIME", "FUEL", ""], &rows));
        for (step, of) in &run.steps {
            if let Some(Waiting::Signal(asked)) = &of.wait {
                self.push_asked(&mut out, step, asked);
            }
        }
        if let Some(error) = &run.error {
            push_error(&mut out, error);
        }
        if let Some(output) = &run.output {
            let pretty = serde_json::to_string_pretty(output);
            let pretty = pretty.map_err(|error| Error::system("the output can not be shown", error))?;
            let _ = writeln!(out, "\noutput\n{pretty}");
        }
        Ok(out)
    }

    /// What a step waits for, and the line to type.
    fn push_asked(&self, out: &mut String, step: &str, asked: &Asked) {
        let _ = writeln!(out, "\n`{}` waits {}", text::line(step), asked.summary());
        if let Some(instructions) = asked.instructions() {
            let _ = writeln!(out, "  {instructions}");
        }
        if let Some(matching) = &asked.matching {
            let _ = writeln!(out, "  that matches {matching}");
        }
        if let Some(schema) = asked.schema() {
            let _ = writeln!(out, "  with a payload that fits {}", Value::Object(schema));
        }
        let _ = writeln!(out, "  {}", asked.command(self.id, step, self.server, self.named));
    }
}

fn push_error(out: &mut String, error: &Failure) {
    let label = if error.kind == FailureKind::System { "system error" } else { "error" };
    let step = error.step.as_ref().map(|step| format!("step `{step}`: ")).unwrap_or_default();
    let _ = writeln!(out, "\n{label}: {step}{}", error.message);
    for line in error.hint.iter().flat_map(|hint| hint.lines()) {
        let _ = writeln!(out, "  {line}");
    }
}

fn row((id, step): (&String, &Step)) -> [String; 7] {
    let ran = step.duration_us > 0;
    [
        text::line(id),
        text::line(&step.kind),
        step.status.to_string(),
        step.attempts.to_string(),
        if ran { text::duration(std::time::Duration::from_micros(step.duration_us)) } else { String::new() },
        if ran { text::fuel(step.fuel) } else { String::new() },
        notes(step).join("; "),
    ]
}

/// What there is to say of a step in its line.
fn notes(step: &Step) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(ItemCounts { total, succeeded, failed }) = &step.items {
        let noun = if *total == 1 { "item" } else { "items" };
        notes.push(format!("{total} {noun}: {succeeded} succeeded, {failed} failed"));
    }
    notes.extend(step.kept_from.map(|run| format!("kept from {run}")));
    // The items are counted already.
    let wait = step.wait.as_ref().filter(|_| step.items.is_none());
    notes.extend(wait.map(Waiting::summary));
    let said = step.error.as_ref().map(|error| &error.message).or(step.reason.as_ref());
    notes.extend(said.map(|said| text::line(said)));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"{
        "flow": "order-intake", "status": "waiting", "output": null, "error": null,
        "created_at": "2026-01-02T03:04:05Z", "finished_at": null,
        "retry_of": "0199a0b0-0000-7000-8000-000000000000",
        "steps": {
            "fetch": {"type": "http_request", "status": "succeeded", "attempts": 1, "output": {}, "error": null,
                "kept_from": "0199a0b0-0000-7000-8000-000000000000", "fuel": 0, "duration_us": 0},
            "each": {"type": "for_each", "status": "waiting", "attempts": 1, "output": null, "error": null,
                "wait": {"for": "items", "count": 10, "concurrency": 4, "keep_going": true},
                "items": {"total": 10, "succeeded": 7, "failed": 1}, "fuel": 1200, "duration_us": 310},
            "pause": {"type": "delay", "status": "waiting", "attempts": 1, "output": null, "error": null,
                "wait": {"for": "timer", "until": "2026-01-02T04:00:00Z"}, "fuel": 900, "duration_us": 210},
            "approve": {"type": "wait_for_approval", "status": "waiting", "attempts": 1, "output": null, "error": null,
                "wait": {"for": "signal", "name": "approval", "deadline": "2026-01-04T03:04:05Z", "form": {
                    "title": "Large order", "description": "Look at the total first", "type": "object",
                    "required": ["amount"], "properties": {"amount": {"type": "integer"}}}},
                "fuel": 900, "duration_us": 210},
            "paid": {"type": "wait_for_event", "status": "waiting", "attempts": 1, "output": null, "error": null,
                "wait": {"for": "signal", "name": "order.paid", "matching": {"id": 17}}, "fuel": 900, "duration_us": 210}
        }
    }"#;

    #[test]
    fn a_waiting_run_shows_what_to_type() {
        let run: Run = serde_json::from_str(RUN).unwrap();
        let server = Url::parse("http://127.0.0.1:7420/").unwrap();
        let shown = Shown { id: RunId::from_bytes([1; 16]), run: &run, server: &server, named: true };
        insta::assert_snapshot!(shown.rendered().unwrap());
    }
}
