//! `runs`: the runs of a server.

mod events;
mod items;
mod resume;
mod retry;
mod show;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stepcell_core::{RunId, run::RunStatus};
use stepcell_store::RunSummary;

use self::{events::Events, items::Items, resume::Resume, retry::Retry, show::Show};
use crate::{
    args::{Global, ServerArgs},
    client::Client,
    error::Error,
    logging,
    output::Output,
    text,
};

/// Lists, shows, resumes, retries, cancels and deletes the runs of a server.
#[derive(Debug, Args)]
pub struct Runs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(List),
    Show(Show),
    Items(Items),
    Events(Events),
    Logs(Logs),
    Resume(Resume),
    Retry(Retry),
    Cancel(Cancel),
    Delete(Delete),
}

/// Lists runs, newest first.
///
/// stepcell runs list --status failed --flow order-intake --limit 5
#[derive(Debug, Args)]
struct List {
    /// Only runs with this status, such as `failed`.
    ///
    /// One of queued, running, waiting, succeeded, failed and cancelled.
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<RunStatus>,
    /// Only runs of the flow with this name.
    #[arg(long, value_name = "NAME")]
    flow: Option<String>,
    /// At most this many.
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// The `next` of the page before.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Prints what the steps of a run have printed.
///
/// Without a step every line has its step's id before it: `price | total is 17`
#[derive(Debug, Args)]
struct Logs {
    /// The run's id.
    #[arg(value_name = "RUN", value_parser = run_id)]
    run: RunId,
    /// Only this step.
    #[arg(value_name = "STEP")]
    step: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Stops a run and everything that it has under way.
///
/// A run that has ended already is left as it is; the exit status is 2 then.
#[derive(Debug, Args)]
struct Cancel {
    /// The run's id.
    #[arg(value_name = "RUN", value_parser = run_id)]
    run: RunId,
    /// Why; kept in the run's log.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Removes a run that has ended, with its events, its log and its blobs.
///
/// A run that goes on is left as it is, cancel it first; the exit status is 2 then.
#[derive(Debug, Args)]
struct Delete {
    /// The run's id.
    #[arg(value_name = "RUN", value_parser = run_id)]
    run: RunId,
    #[command(flatten)]
    server: ServerArgs,
}

impl Runs {
    pub async fn run(self, global: &Global) -> Result<(), Error> {
        logging::start(global, "error", None)?;
        let output = Output::new(global.output);
        match self.action {
            Action::List(list) => list.run(output).await,
            Action::Show(show) => show.run(output).await,
            Action::Items(items) => items.run(output).await,
            Action::Events(events) => events.run(output).await,
            Action::Logs(logs) => logs.run(output).await,
            Action::Resume(resume) => resume.run(output).await,
            Action::Retry(retry) => retry.run(output).await,
            Action::Cancel(cancel) => cancel.run(output).await,
            Action::Delete(delete) => delete.run(output).await,
        }
    }
}

/// A page of the listing.
#[derive(Serialize, Deserialize)]
struct Page {
    runs: Vec<Entry>,
    next: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    run_id: RunId,
    #[serde(flatten)]
    summary: RunSummary,
}

impl List {
    async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::new(&self.server, None)?;
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.status.map(|status| ("status", status.to_string())));
        query.extend(self.flow.map(|flow| ("flow", flow)));
        query.extend(self.cursor.map(|cursor| ("cursor", cursor)));
        let page: Page = client.get(&["runs"], &query).await?;
        if output.is_json() {
            return output.json(&page);
        }
        let rows: Vec<_> = page.runs.iter().map(row).collect();
        output.text(&text::table(["RUN", "FLOW", "STATUS", "CREATED", "TOOK"], &rows))?;
        if let Some(next) = page.next {
            crate::output::note(&format!("older runs: --cursor {next}"));
        }
        Ok(())
    }
}

fn row(Entry { run_id, summary }: &Entry) -> [String; 5] {
    let took = summary.finished_at.map(|end| text::duration(text::span(summary.created_at, end)));
    [
        run_id.to_string(),
        text::line(&summary.flow),
        summary.status.to_string(),
        text::moment(summary.created_at),
        took.unwrap_or_default(),
    ]
}

impl Logs {
    async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::new(&self.server, None)?;
        let steps = match &self.step {
            Some(step) => vec![step.clone()],
            None => show::step_ids(&client, self.run).await?,
        };
        let mut logs = serde_json::Map::new();
        for step in steps {
            let path = ["runs", &self.run.to_string(), "steps", &step, "log"];
            logs.insert(step.clone(), client.get_text(&path, &[]).await?.into());
        }
        if output.is_json() {
            return output.json(&logs);
        }
        for (step, log) in &logs {
            let log = log.as_str().unwrap_or_default();
            let prefix = if self.step.is_some() { String::new() } else { format!("{step} | ") };
            let lines: String = text::safe(log).lines().map(|line| format!("{prefix}{line}\n")).collect();
            output.text(&lines)?;
        }
        Ok(())
    }
}

impl Cancel {
    async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::new(&self.server, None)?;
        let body = serde_json::json!({ "reason": self.reason });
        let view: Box<RawValue> = client.post(&["runs", &self.run.to_string(), "cancel"], &body).await?;
        if output.is_json() { output.json(&view) } else { output.text(&format!("{} cancelled\n", self.run)) }
    }
}

impl Delete {
    async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::new(&self.server, None)?;
        client.delete(&["runs", &self.run.to_string()]).await?;
        if output.is_json() {
            return output.json(&serde_json::json!({ "run_id": self.run, "deleted": true }));
        }
        output.text(&format!("{} deleted\n", self.run))
    }
}

fn run_id(text: &str) -> Result<RunId, String> {
    text.parse().map_err(|error: stepcell_core::ids::InvalidId| error.to_string())
}

fn status(text: &str) -> Result<RunStatus, String> {
    serde_json::from_value(text.into())
        .map_err(|_| "not one of queued, running, waiting, succeeded, failed, cancelled".to_owned())
}
