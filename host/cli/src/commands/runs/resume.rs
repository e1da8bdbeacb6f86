//! `runs resume`: an answer to an approval.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;
use stepcell_core::{Json, RunId};

use super::run_id;
use crate::{args::ServerArgs, client::Client, error::Error, flow_file::Given, output::Output};

/// Answers an approval that a run waits for.
///
/// Without `--reject` the answer is yes. Where the step asks for more than that, the payload has to fit its form,
/// which `stepcell runs show RUN` shows. An approval is answered once: a second answer is refused with the first, and
/// the exit status is 2.
///
/// stepcell runs resume RUN --step approve --payload 'amount: 17' --by ada
#[derive(Debug, Args)]
pub(super) struct Resume {
    /// The run's id.
    #[arg(value_name = "RUN", value_parser = run_id)]
    run: RunId,
    /// The step that waits; needed only where several do.
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// What the step's form asks for, as JSON or YAML.
    #[arg(long, value_name = "JSON-OR-YAML", conflicts_with = "payload_file")]
    payload: Option<String>,
    /// A file with the payload, as JSON or YAML; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    payload_file: Option<PathBuf>,
    /// Says no.
    ///
    /// The run goes on with what comes after `STEP.rejected`, or fails where nothing does.
    #[arg(long)]
    reject: bool,
    /// Who answers; kept in the run's log [default: $USER].
    #[arg(long, value_name = "NAME", env = "USER", hide_env = true)]
    by: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    payload: Option<Json>,
    approved: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
}

impl Resume {
    pub(super) async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::new(&self.server, None)?;
        let given = Given::new("--payload", self.payload.as_deref(), self.payload_file.as_deref());
        let answer = Answer {
            step: self.step.as_deref(),
            payload: given.read()?,
            approved: !self.reject,
            // Where there is no user, the variable may be there and empty.
            by: self.by.as_deref().filter(|by| !by.is_empty()),
        };
        let view: Result<Box<RawValue>, Error> =
            client.post(&["runs", &self.run.to_string(), "resume"], &answer).await;
        let view = view.map_err(|error| error.within(&given.name()))?;
        if output.is_json() {
            return output.json(&view);
        }
        let word = if self.reject { "rejected" } else { "resumed" };
        output.text(&format!("{} {word}\n", self.run))
    }
}
