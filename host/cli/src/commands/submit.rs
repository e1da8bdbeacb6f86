//! `submit`: one flow, run by a server, once or for many inputs.

mod inputs;
mod many;
mod progress;
mod summary;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use stepcell_core::Json;

use self::{inputs::Inputs, many::Many};
use crate::{
    args::{Global, InputArgs, ServerArgs},
    client::Client,
    error::Error,
    flow_file::{self, FlowText, Given},
    includes::{self, Includes, below},
    listing::Entry,
    live::{self, Live},
    logging,
    output::{Output, note},
    remote::{self, Accepted},
};

/// Submits a flow to a server and prints the run's id.
///
/// The run is on the server's disk when this ends. With `--wait` the run is followed as `run` does it, and the
/// output and the exit status are those of the run. Ctrl-C then ends the waiting, not the run.
///
/// With `--inputs` there is a run for each line of a file, some at a time. A summary follows the last one; the exit status
/// is 1 where a run did not succeed. The first Ctrl-C stops sending, the second one the waiting. A server that restarts is
/// waited for, for two minutes.
///
/// stepcell submit flow.yaml --input 'id: A-17' --idempotency-key order-A-17 --wait
///
/// stepcell submit flow.yaml --inputs orders.jsonl --concurrency 32
#[derive(Debug, Args)]
pub struct Submit {
    /// The flow, a YAML or JSON file.
    #[arg(value_name = "FLOW")]
    pub flow: PathBuf,
    #[command(flatten)]
    pub input: InputArgs,
    /// A file with a run's input on each line, as JSON; `-` is stdin.
    ///
    /// All lines are checked before the first run starts.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["input", "input_file", "wait", "verbose"])]
    pub inputs: Option<PathBuf>,
    /// Runs of `--inputs` that go on at a time.
    #[arg(
        long, value_name = "COUNT", requires = "inputs", default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(1..=many::CONCURRENCY_MAX)
    )]
    pub concurrency: u16,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Waits for the run's end and prints its output.
    #[arg(long)]
    pub wait: bool,
    /// Also shows what steps print, while waiting.
    #[arg(short, long, requires = "wait")]
    pub verbose: bool,
    /// A name for this submission; the same name again is the same run.
    ///
    /// With another flow or input it is refused. Of `--inputs` each line has this name with its number, so that the same
    /// call again goes on where an earlier one ended. A name is free again once the server has removed its run
    /// (`retention`): such a line runs again.
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

impl Submit {
    pub async fn run(self, global: &Global) -> Result<(), Error> {
        let terminal = live::terminal().filter(|_| self.wait || self.inputs.is_some());
        logging::start(global, "error", terminal.clone())?;
        let output = Output::new(global.output);
        let client = Client::new(&self.server, Some(&self.flow))?;
        let flow = FlowText::read(&self.flow)?;
        // Read here as well: what the server finds wrong is then shown at its place in this file.
        let (parsed, includes) = includes::resolve_for(&flow, flow.parse()?, &client).await?;
        if let Some(path) = &self.inputs {
            let inputs = Inputs::read(path, parsed.flow.input.as_ref())?;
            let many = Many::new(client, &parsed.flow, self.idempotency_key)?;
            let name = inputs.name.clone();
            let summary = many.submit(inputs, self.concurrency.into(), terminal).await?;
            return summary.print(output).map_err(|error| located(error, &flow, &includes, &name));
        }
        let input = flow_file::input(&self.input)?;
        let body = Submission {
            flow: &parsed.flow.source,
            input: &input,
            idempotency_key: self.idempotency_key.as_deref(),
        };
        let accepted: Accepted = client
            .post(&["runs"], &body)
            .await
            .map_err(|error| located(error, &flow, &includes, &Given::input(&self.input).name()))?;
        if !self.wait {
            return accepted.print(output);
        }
        let kinds = parsed.flow.steps.values().map(|step| (step.id.clone(), step.kind.clone())).collect();
        note(&format!("run {} on {}", accepted.run_id, client.url()));
        let live = Live::new(&parsed.flow.name, kinds, self.verbose, terminal);
        remote::follow(&client, accepted.run_id, live).await?;
        remote::print(output, &client, accepted.run_id).await
    }
}

/// Gives the server's list of problems the names and places of the user's own files.
pub(super) fn located(error: Error, flow: &FlowText, includes: &Includes, input: &str) -> Error {
    let Error::Problems(mut listing) = error else { return error };
    if listing.file.is_empty() {
        let in_input = |entry: &Entry| below(&entry.path, "input").is_some();
        listing.file = if listing.errors.iter().all(in_input) { input } else { &flow.name }.to_owned();
    }
    let in_flow = listing.errors.iter_mut().filter_map(|entry| {
        entry.path = below(&entry.path, "flow")?.to_owned();
        Some(entry)
    });
    includes.place(flow, in_flow);
    Error::Problems(listing)
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
        let entry = Entry { path, line: 0, column: 0, code, message, hint: None, file: None };
        let listing = Listing { errors: vec![entry], ..Listing::default() };
        assert_eq!(
            located(Error::Problems(listing), &flow(), &Includes::default(), "--input").to_string(),
            expected
        );
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
