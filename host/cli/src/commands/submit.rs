//! `submit`: one flow, run by a server.

use std::{cell::RefCell, path::PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stepcell_core::{Json, RunId, flow::MAX_FLOW_BYTES, parse::Document, problem::Position, run::RunStatus};

use crate::{
    args::{Global, InputArgs, ServerArgs},
    client::Client,
    error::Error,
    flow_file::{self, FlowText},
    listing::Entry,
    live::{self, Live},
    logging,
    output::{Output, note},
};

/// Submits a flow to a server and prints the run's id.
///
/// The run is on the server's disk when this ends. With `--wait` the run is followed as `run` does it, and the
/// output and the exit status are those of the run. Ctrl-C then ends the waiting, not the run.
///
/// stepcell submit flow.yaml --input 'id: A-17' --idempotency-key order-A-17 --wait
#[derive(Debug, Args)]
pub struct Submit {
    /// The flow, a YAML or JSON file.
    #[arg(value_name = "FLOW")]
    pub flow: PathBuf,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Waits for the run's end and prints its output.
    #[arg(long)]
    pub wait: bool,
    /// Also shows what steps print, while waiting.
    #[arg(short, long, requires = "wait")]
    pub verbose: bool,
    /// A name for this submission, kept with the run.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

#[derive(Serialize)]
struct Submission<'a> {
    flow: &'a serde_json::Value,
    input: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Accepted {
    run_id: RunId,
    status: RunStatus,
}

/// A finished run, as far as it decides what is printed.
#[derive(Deserialize)]
struct Finished {
    status: RunStatus,
    output: Option<Box<RawValue>>,
}

impl Submit {
    pub async fn run(self, global: &Global) -> Result<(), Error> {
        let terminal = live::terminal().filter(|_| self.wait);
        logging::start(global, "error", terminal.clone())?;
        let output = Output::new(global.output);
        let client = Client::new(&self.server, Some(&self.flow))?;
        let flow = FlowText::read(&self.flow)?;
        // Read here as well: what the server finds wrong is then shown at its place in this file.
        let parsed = flow.parse()?;
        let input = flow_file::input(&self.input)?;
        let body = Submission {
            flow: &parsed.flow.source,
            input: &input,
            idempotency_key: self.idempotency_key.as_deref(),
        };
        let accepted: Accepted = client
            .post(&["runs"], &body)
            .await
            .map_err(|error| located(error, &flow, &flow_file::name(&self.input)))?;
        if !self.wait {
            return if output.is_json() {
                output.json(&accepted)
            } else {
                output.text(&format!("{}\n", accepted.run_id))
            };
        }
        let kinds = parsed.flow.steps.values().map(|step| (step.id.clone(), step.kind.clone())).collect();
        note(&format!("run {} on {}", accepted.run_id, client.url()));
        let live = Live::new(&parsed.flow.name, kinds, self.verbose, terminal);
        follow(&client, accepted.run_id, live).await?;
        print(output, &client, accepted.run_id).await
    }
}

/// Shows the run until it has ended.
async fn follow(client: &Client, run: RunId, live: Live) -> Result<(), Error> {
    // Events and the clock take turns on this one task, each for less than an await.
    let live = RefCell::new(live);
    let events = client.follow(run, 0, |event| {
        live.borrow_mut().event(&event);
        Ok(())
    });
    let ticks = async {
        let mut clock = tokio::time::interval(live::TICK);
        loop {
            clock.tick().await;
            live.borrow().tick();
        }
    };
    tokio::select! {
        ended = events => ended?,
        () = ticks => {}
    }
    live.into_inner().finish();
    Ok(())
}

/// The output of a run that succeeded, or as JSON the whole run either way, as the server tells it.
async fn print(output: Output, client: &Client, run: RunId) -> Result<(), Error> {
    let view: Box<RawValue> = client.get(&["runs", &run.to_string()], &[]).await?;
    let Finished { status, output: value } = client.read(view.get())?;
    let succeeded = status == RunStatus::Succeeded;
    if output.is_json() {
        output.json(&view)?;
    } else if succeeded {
        output.json(&value)?;
    }
    if succeeded { Ok(()) } else { Err(Error::RunFailed) }
}

/// Gives the server's list of problems the names and places of the user's own files.
fn located(error: Error, flow: &FlowText, input: &str) -> Error {
    let Error::Problems(mut listing) = error else { return error };
    let in_input = |entry: &Entry| entry.code == "input_invalid";
    listing.file = if listing.errors.iter().all(in_input) { input } else { &flow.name }.to_owned();
    let places = Document::read(&flow.text, flow.format, MAX_FLOW_BYTES).ok();
    for entry in &mut listing.errors {
        let path = below(&entry.path, "flow").map(str::to_owned);
        let at = path.as_ref().zip(places.as_ref()).map(|(path, places)| place(places, path, &entry.code));
        let Position { line, column } = at.unwrap_or_default();
        (entry.line, entry.column) = (line, column);
        entry.path = path.unwrap_or_else(|| std::mem::take(&mut entry.path));
    }
    Error::Problems(listing)
}

/// A key that should not be there is shown itself, everything else where its value stands.
fn place(places: &Document, path: &str, code: &str) -> Position {
    match path.rsplit_once('.').unwrap_or(("", path)) {
        (parent, key) if code == "unknown_key" => places.locate_key(parent, key),
        _ => places.locate(path),
    }
}

/// What follows `parent` in a path; `None` where the path is not below it.
fn below<'a>(path: &'a str, parent: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(parent)?;
    match rest.strip_prefix('.') {
        Some(rest) => Some(rest),
        None => (rest.is_empty() || rest.starts_with('[')).then_some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::Listing;

    fn flow() -> FlowText {
        let text = "name: f\nsteps:\n  - id: a\n    type: x\n    confg: 1\n".to_owned();
        FlowText { name: "f.yaml".to_owned(), text, format: stepcell_core::parse::Format::Yaml }
    }

    #[track_caller]
    fn check(path: &str, code: &str, expected: &str) {
        let (path, code, message) = (path.to_owned(), code.to_owned(), "no".to_owned());
        let entry = Entry { path, line: 1, column: 99, code, message, hint: None };
        let listing = Listing { errors: vec![entry], ..Listing::default() };
        assert_eq!(located(Error::Problems(listing), &flow(), "--input").to_string(), expected);
    }

    #[test]
    fn problems_are_shown_in_the_users_own_files() {
        check("flow.steps[0].type", "unknown_type", "f.yaml:4:11: no\n");
        check("flow.steps[0].confg", "unknown_key", "f.yaml:5:5: no\n");
        check("flow", "missing_key", "f.yaml:1:1: no\n");
        check("input.id", "input_invalid", "--input: no\n");
        check("flowers", "unknown_key", "f.yaml: no\n");
    }
}
