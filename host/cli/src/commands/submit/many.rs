//! A run for each of many inputs, some at a time.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use indicatif::MultiProgress;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use stepcell_core::{Flow, Json, RunId, run::RunStatus};
use tokio_util::sync::CancellationToken;

use super::{
    inputs::Inputs,
    progress::Progress,
    summary::{Ended, Summary},
};
use crate::{
    client::{Client, Offered},
    error::Error,
    remote::Accepted,
    signals::Stop,
};

/// The most runs that one command has under way. Each holds a connection of the server.
pub(super) const CONCURRENCY_MAX: i64 = 256;
/// How long one call waits for a run; a run that takes longer is asked for again. Shorter than what proxies allow.
const WAIT: Duration = Duration::from_secs(30);

/// What all runs have in common.
#[derive(Debug)]
pub(super) struct Many {
    client: Client,
    name: String,
    flow: Box<RawValue>,
    /// Before the number of each line. It makes a call that is made twice the same run.
    key: String,
}

#[derive(Serialize)]
struct Submission<'a> {
    flow: &'a RawValue,
    input: &'a Json,
    idempotency_key: String,
}

/// A run that has ended, as the server tells it.
#[derive(Deserialize)]
struct Finished {
    run_id: RunId,
    status: RunStatus,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    message: String,
    #[serde(default)]
    step: Option<String>,
}

/// Lines whose runs have not ended, with the runs that are known.
type UnderWay = RefCell<BTreeMap<usize, Option<RunId>>>;

/// What came of a line.
enum Outcome {
    Ended(Ended),
    NotSent,
    Refused(Error),
}

impl Many {
    /// Runs of `flow`, each under `key` and its line, where there is a key.
    pub(super) fn new(client: Client, flow: &Flow, key: Option<String>) -> Result<Self, Error> {
        let text = to_raw_value(&flow.source);
        let text = text.map_err(|error| Error::system("the flow can not be written as JSON", error))?;
        let key = key.unwrap_or_else(|| format!("submit-{:032x}", rand::random::<u128>()));
        Ok(Self { client, name: flow.name.clone(), flow: text, key })
    }

    /// Submits every line and waits for the runs, `concurrency` at a time. The first Ctrl-C, and a line that the server
    /// refuses, stop the sending; the second Ctrl-C stops the waiting.
    pub(super) async fn submit(
        &self,
        inputs: Inputs,
        concurrency: usize,
        terminal: Option<MultiProgress>,
    ) -> Result<Summary, Error> {
        let mut stop = Stop::listen()?;
        let (started, total) = (Instant::now(), inputs.lines.len());
        let (stopping, under_way) = (CancellationToken::new(), UnderWay::default());
        let mut progress = Progress::new(total, terminal);
        let mut summary = Summary::new(&self.name, &self.key, total);
        let lines = stream::iter(inputs.lines);
        let run = |(line, input)| self.run(line, input, &stopping, &under_way);
        let mut outcomes = lines.map(run).buffer_unordered(concurrency);
        loop {
            tokio::select! {
                outcome = outcomes.next() => match outcome {
                    None => break,
                    Some(Outcome::NotSent) => {}
                    Some(Outcome::Ended(ended)) => {
                        progress.ended(ended.status == RunStatus::Succeeded);
                        summary.ended(ended);
                    }
                    Some(Outcome::Refused(error)) => {
                        stopping.cancel();
                        summary.refused(error);
                    }
                },
                () = stop.asked() => {
                    if stopping.is_cancelled() {
                        break;
                    }
                    stopping.cancel();
                    let count = under_way.borrow().len();
                    progress.say(&format!("no more are sent; {count} runs go on, Ctrl-C leaves them to the server"));
                }
            }
        }
        drop(outcomes);
        progress.finish();
        summary.finish(under_way.into_inner(), started.elapsed());
        Ok(summary)
    }

    /// One line, until its run has ended.
    async fn run(
        &self,
        line: usize,
        input: Json,
        stopping: &CancellationToken,
        under_way: &UnderWay,
    ) -> Outcome {
        if stopping.is_cancelled() {
            return Outcome::NotSent;
        }
        let idempotency_key = format!("{}-{line}", self.key);
        let body =
            match serde_json::to_string(&Submission { flow: &self.flow, input: &input, idempotency_key }) {
                Ok(body) => body,
                Err(error) => {
                    return Outcome::Refused(Error::system("an input can not be written as JSON", error));
                }
            };
        under_way.borrow_mut().insert(line, None);
        let outcome = self.until_ended(line, &body, stopping, under_way).await;
        under_way.borrow_mut().remove(&line);
        outcome.unwrap_or_else(|error| Outcome::Refused(error.at_line(line)))
    }

    async fn until_ended(
        &self,
        line: usize,
        body: &str,
        stopping: &CancellationToken,
        under_way: &UnderWay,
    ) -> Result<Outcome, Error> {
        let query = [("wait", format!("{}s", WAIT.as_secs()))];
        loop {
            match self.client.offer(&["runs"], &query, body.to_owned(), WAIT).await? {
                Offered::Taken { ended: true, text } => {
                    let Finished { run_id, status, error } = self.client.read(&text)?;
                    let error = error.map(|Failure { message, step }| match step {
                        Some(step) => format!("step `{step}`: {message}"),
                        None => message,
                    });
                    return Ok(Outcome::Ended(Ended { line, run_id, status, error }));
                }
                // It goes on: under its key the next call finds it again.
                Offered::Taken { ended: false, text } => {
                    let Accepted { run_id, .. } = self.client.read(&text)?;
                    under_way.borrow_mut().insert(line, Some(run_id));
                }
                Offered::Later(pause) => {
                    let sent = under_way.borrow().get(&line).is_some_and(Option::is_some);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stopping.cancelled(), if !sent => return Ok(Outcome::NotSent),
                    }
                }
            }
        }
    }
}
