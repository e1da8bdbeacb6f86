//! `submit`: one flow, run by a server.

use std::{cell::RefCell, path::PathBuf, time::Duration};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stepcell_core::{Json, RunId, parse::Parsed, run::RunStatus};

use crate::{
    args::{Global, InputArgs, ServerArgs},
    client::Client,
    error::Error,
    flow_file::{self, FlowText},
    listing::Entry,
    live::{self, Live},
    logging,
    output::Output,
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

/// How often the spinners and clocks of the live tree move.
const TICK: Duration = Duration::from_millis(100);

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
            .map_err(|error| located(error, &flow.name, &parsed, &flow_file::name(&self.input)))?;
        if !self.wait {
            return if output.is_json() {
                output.json(&accepted)
            } else {
                output.text(&format!("{}\n", accepted.run_id))
            };
        }
        let kinds = parsed.flow.steps.values().map(|step| (step.id.clone(), step.kind.clone())).collect();
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
        let mut clock = tokio::time::interval(TICK);
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
fn located(error: Error, flow: &str, parsed: &Parsed, input: &str) -> Error {
    let Error::Problems(mut listing) = error else { return error };
    let in_input = |entry: &Entry| entry.code == "input_invalid";
    listing.file = if listing.errors.iter().all(in_input) { input } else { flow }.to_owned();
    for entry in &mut listing.errors {
        (entry.line, entry.column) = (0, 0);
        if let Some(path) = below(&entry.path, "flow").map(str::to_owned) {
            let at = parsed.spans.locate(&path);
            (entry.line, entry.column, entry.path) = (at.line, at.column, path);
        }
    }
    Error::Problems(listing)
}

/// What follows `parent` in a path; `None` where the path is not below it.
fn below<'a>(path: &'a str, parent: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(parent)?;
    match rest.strip_prefix('.') {
        Some(rest) => Some(rest),
        None => (rest.is_empty() || rest.starts_with('[')).then_some(rest),
    }
}
