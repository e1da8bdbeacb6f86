//! `runs retry`: a run that has ended, once more.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use stepcell_core::RunId;

use super::{run_id, show};
use crate::{
    args::ServerArgs,
    client::Client,
    commands::submit::located,
    error::Error,
    flow_file::FlowText,
    includes,
    live::{self, Live},
    output::{Output, note},
    remote::{self, Accepted},
};

/// Runs an ended run again, and keeps what still holds.
///
/// The new run takes over the result of every step whose config, plugin and inputs are the same; approvals that were
/// given stay given. It begins at the step that failed, or at `--from`: this step and what depends on it runs anew.
/// Prints the new run's id; with `--wait` its output, as `submit` does.
///
/// stepcell runs retry RUN --flow mended.yaml --wait
#[derive(Debug, Args)]
pub(super) struct Retry {
    /// The run's id.
    #[arg(value_name = "RUN", value_parser = run_id)]
    run: RunId,
    /// The step to begin at, instead of the one that failed.
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
    /// The changed flow, a YAML or JSON file, instead of the run's own.
    #[arg(long, value_name = "FILE")]
    flow: Option<PathBuf>,
    /// Waits for the new run's end and prints its output.
    #[arg(long)]
    wait: bool,
    /// Also shows what steps print, while waiting.
    #[arg(short, long, requires = "wait")]
    verbose: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<&'a Value>,
}

impl Retry {
    pub(super) async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::new(&self.server, self.flow.as_deref())?;
        let flow = self.flow.as_deref().map(FlowText::read).transpose()?;
        let changed = match &flow {
            Some(flow) => Some(includes::resolve_for(flow, flow.parse()?, &client).await?),
            None => None,
        };
        let body = Body {
            from: self.from.as_deref(),
            flow: changed.as_ref().map(|(parsed, _)| &parsed.flow.source),
        };
        let accepted: Result<Accepted, Error> =
            client.post(&["runs", &self.run.to_string(), "retry"], &body).await;
        let accepted = accepted.map_err(|error| match flow.as_ref().zip(changed.as_ref()) {
            Some((flow, (_, includes))) => located(error, flow, includes, &flow.name),
            None => error,
        })?;
        if !self.wait {
            return accepted.print(output);
        }
        let (name, kinds) = show::outline(&client, accepted.run_id).await?;
        note(&format!("run {} on {}", accepted.run_id, client.url()));
        remote::follow(&client, accepted.run_id, Live::new(&name, kinds, self.verbose, live::terminal()))
            .await?;
        remote::print(output, &client, accepted.run_id).await
    }
}
