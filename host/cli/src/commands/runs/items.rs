//! `runs items`: what a step has fanned out into.

use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use stepcell_core::{Json, RunId, run::StepStatus};

use super::run_id;
use crate::{
    args::ServerArgs,
    client::Client,
    error::Error,
    output::{Output, note},
    text,
};

/// The most characters of an output that a row shows.
const SHOWN_MAX: usize = 60;

/// Lists the items of a fan-out, in order.
///
/// stepcell runs items RUN each_order --output json | jq '.items[] | select(.status == "failed")'
#[derive(Debug, Args)]
pub(super) struct Items {
    /// The run's id.
    #[arg(value_name = "RUN", value_parser = run_id)]
    run: RunId,
    /// The step that fans out.
    #[arg(value_name = "STEP")]
    step: String,
    /// At most this many.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// The `next` of the page before.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<u64>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Item>,
    next: Option<u64>,
}

/// An item, as far as people are shown it.
#[derive(Deserialize)]
struct Item {
    index: u64,
    status: StepStatus,
    attempts: u32,
    #[serde(default)]
    duration_us: u64,
    output: Option<Json>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    message: String,
}

impl Items {
    pub(super) async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::new(&self.server, None)?;
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.cursor.map(|cursor| ("cursor", cursor.to_string())));
        let path = ["runs", &self.run.to_string(), "steps", &self.step, "items"];
        let page: Box<RawValue> = client.get(&path, &query).await?;
        if output.is_json() {
            return output.json(&page);
        }
        let Page { items, next } = client.read(page.get())?;
        let rows: Vec<_> = items.iter().map(row).collect();
        output.text(&text::table(["ITEM", "STATUS", "TRIES", "TIME", ""], &rows))?;
        if let Some(next) = next {
            note(&format!("more items: --cursor {next}"));
        }
        Ok(())
    }
}

fn row(item: &Item) -> [String; 5] {
    let took = (item.duration_us > 0).then(|| text::duration(Duration::from_micros(item.duration_us)));
    let told = match (&item.error, &item.output) {
        (Some(error), _) => text::line(&error.message),
        (None, Some(output)) => text::shortened(&text::line(output.text()), SHOWN_MAX),
        (None, None) => String::new(),
    };
    [
        item.index.to_string(),
        item.status.to_string(),
        item.attempts.to_string(),
        took.unwrap_or_default(),
        told,
    ]
}
