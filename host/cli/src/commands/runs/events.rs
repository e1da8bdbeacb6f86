//! `runs events`: what happened to a run.

use clap::Args;
use serde::{Deserialize, Serialize};
use stepcell_core::{Event, RunId};

use super::run_id;
use crate::{args::ServerArgs, client::Client, error::Error, output::Output, text};

/// Prints what happened to a run, oldest first.
///
/// With `--output json` each event is one line of JSON, as it happens:
///
/// stepcell runs events RUN --follow --output json | jq -c 'select(.type == "step.failed")'
#[derive(Debug, Args)]
pub(super) struct Events {
    /// The run's id.
    #[arg(value_name = "RUN", value_parser = run_id)]
    run: RunId,
    /// Only events past this number.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: u64,
    /// Goes on until the run has ended.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Deserialize)]
struct Page {
    events: Vec<Event>,
    next: Option<u64>,
}

/// An event as programs get it, here and from the server.
#[derive(Serialize)]
struct Shown<'a> {
    run_id: RunId,
    #[serde(flatten)]
    event: &'a Event,
}

impl Events {
    pub(super) async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::new(&self.server, None)?;
        if self.follow {
            return client.follow(self.run, self.after, |event| print(output, self.run, &event)).await;
        }
        let mut after = self.after;
        loop {
            let query = [("after", after.to_string())];
            let path = ["runs", &self.run.to_string(), "events"];
            let page: Page = client.get(&path, &query).await?;
            for event in &page.events {
                print(output, self.run, event)?;
            }
            match page.next {
                // A page that is empty is the last one for now: the run still goes on.
                Some(next) if !page.events.is_empty() => after = next,
                _ => return Ok(()),
            }
        }
    }
}

fn print(output: Output, run_id: RunId, event: &Event) -> Result<(), Error> {
    if output.is_json() {
        return output.json_line(&Shown { run_id, event });
    }
    let step = event.step.as_ref().map_or("-", |step| step.as_str());
    let time = text::moment(event.at);
    let line =
        format!("{:>5}  {time}  {:<17}  {step}  {}", event.seq, event.kind.name(), text::line(&data(event)));
    output.text(&format!("{}\n", line.trim_end()))
}

/// The event's data as one line of JSON, cut to what a line can show.
fn data(event: &Event) -> String {
    const SHOWN_MAX: usize = 160;
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::to_value(event) else { return String::new() };
    let data = fields.remove("data").unwrap_or_default();
    if data.as_object().is_some_and(serde_json::Map::is_empty) {
        return String::new();
    }
    text::shortened(&data.to_string(), SHOWN_MAX)
}
