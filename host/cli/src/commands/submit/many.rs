//! A run for each of many inputs, some at a time.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use indicatif::MultiProgress;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use stepcell_core::{Flow, Json, RunId, run::RunStatus};
use tokio::sync::Notify;
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
    text,
};

/// The most runs that one command has under way. Each holds a connection of the server.
pub(super) const CONCURRENCY_MAX: i64 = 256;
/// How long one call waits for a run; a run that takes longer is asked for again. Shorter than what proxies allow.
const WAIT: Duration = Duration::from_secs(30);
/// How long a server that has answered before may be away: a restart, or the change of a version. The end of it is when
/// lines are given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// How soon a server that gives no answer is called again.
const CALL_AGAIN: Duration = Duration::from_secs(1);

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

/// What came of a line.
enum Outcome {
    Ended(Ended),
    NotSent,
    /// The server has no run of it.
    Refused(Error),
    /// The server may have a run of it, or has one, and what became of that is not known.
    Left(Option<Error>),
}

/// What the lines of one call share.
#[derive(Default)]
struct Shared {
    /// No more lines are sent.
    stopping: CancellationToken,
    /// Lines whose runs have not ended, with the runs that are known.
    under_way: RefCell<BTreeMap<usize, Option<RunId>>>,
    /// There was a server at that address, which may come back.
    reached: Cell<bool>,
    /// Nothing has come from the server since it went away.
    away: Cell<bool>,
    went_away: Notify,
}

/// One line on its way.
struct Line<'s> {
    number: usize,
    shared: &'s Shared,
    /// The server may have a run of it.
    sent: bool,
    away_since: Option<Instant>,
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
        let (started, total, shared) = (Instant::now(), inputs.lines.len(), Shared::default());
        let mut progress = Progress::new(total, terminal);
        let mut summary = Summary::new(&self.name, &self.key, total);
        let run = |(line, input)| self.run(Line::new(line, &shared), input);
        let mut outcomes = stream::iter(inputs.lines).map(run).buffer_unordered(concurrency);
        loop {
            tokio::select! {
                outcome = outcomes.next() => match outcome {
                    None => break,
                    Some(Outcome::NotSent | Outcome::Left(None)) => {}
                    Some(Outcome::Ended(ended)) => {
                        progress.ended(ended.status == RunStatus::Succeeded);
                        summary.ended(ended);
                    }
                    Some(Outcome::Refused(error) | Outcome::Left(Some(error))) => {
                        shared.stopping.cancel();
                        summary.refused(error);
                    }
                },
                () = shared.went_away.notified() => {
                    let most = text::duration(PATIENCE);
                    progress.say(&format!("the server is away; it is asked again for up to {most}"));
                }
                () = stop.asked() => {
                    if shared.stopping.is_cancelled() {
                        break;
                    }
                    shared.stopping.cancel();
                    let count = shared.under_way.borrow().len();
                    progress.say(&format!("no more are sent; {count} runs go on, Ctrl-C leaves them to the server"));
                }
            }
        }
        drop(outcomes);
        progress.finish();
        summary.finish(shared.under_way.into_inner(), started.elapsed());
        Ok(summary)
    }

    /// One line, until its run has ended.
    async fn run(&self, mut line: Line<'_>, input: Json) -> Outcome {
        if line.shared.stopping.is_cancelled() {
            return Outcome::NotSent;
        }
        let idempotency_key = format!("{}-{}", self.key, line.number);
        let body =
            match serde_json::to_string(&Submission { flow: &self.flow, input: &input, idempotency_key }) {
                Ok(body) => body,
                Err(error) => {
                    return Outcome::Refused(Error::system("an input can not be written as JSON", error));
                }
            };
        line.shared.under_way.borrow_mut().insert(line.number, None);
        let outcome = self.until_ended(&mut line, &body).await;
        // Who is left is named in the summary.
        if !matches!(outcome, Outcome::Left(_)) {
            line.shared.under_way.borrow_mut().remove(&line.number);
        }
        match outcome {
            Outcome::Refused(error) => Outcome::Refused(error.at_line(line.number)),
            Outcome::Left(Some(error)) => Outcome::Left(Some(error.at_line(line.number))),
            outcome => outcome,
        }
    }

    async fn until_ended(&self, line: &mut Line<'_>, body: &str) -> Outcome {
        let query = [("wait", format!("{}s", WAIT.as_secs()))];
        loop {
            let offered = self.client.offer(&["runs"], &query, body.to_owned(), WAIT).await;
            let outcome = match offered {
                Ok(Offered::Taken { ended, text }) => {
                    line.heard();
                    line.sent = true;
                    self.taken(line, ended, &text).unwrap_or_else(|error| Some(line.failed(error)))
                }
                Ok(Offered::Full { pause }) => {
                    line.heard();
                    line.pause(pause).await
                }
                Ok(Offered::Away { pause, error }) => line.missed(pause, true, error).await,
                Ok(Offered::Lost { received, error }) => line.missed(CALL_AGAIN, received, error).await,
                Err(error) => {
                    // A server that could not do it may have done a part of it.
                    line.sent |= matches!(error, Error::System { .. });
                    Some(line.failed(error))
                }
            };
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
    }

    fn taken(&self, line: &Line<'_>, ended: bool, text: &str) -> Result<Option<Outcome>, Error> {
        if !ended {
            // Under its key the next call finds it again.
            let Accepted { run_id, .. } = self.client.read(text)?;
            line.shared.under_way.borrow_mut().insert(line.number, Some(run_id));
            return Ok(None);
        }
        let Finished { run_id, status, error } = self.client.read(text)?;
        let error = error.map(|Failure { message, step }| match step {
            Some(step) => format!("step `{step}`: {message}"),
            None => message,
        });
        Ok(Some(Outcome::Ended(Ended { line: line.number, run_id, status, error })))
    }
}

impl<'s> Line<'s> {
    fn new(number: usize, shared: &'s Shared) -> Self {
        Self { number, shared, sent: false, away_since: None }
    }

    /// The server is there.
    fn heard(&mut self) {
        self.away_since = None;
        self.shared.reached.set(true);
        self.shared.away.set(false);
    }

    /// The server did not do it, and may at another time. An outcome where it has been waited for long enough.
    async fn missed(&mut self, pause: Duration, received: bool, error: Error) -> Option<Outcome> {
        self.sent |= received;
        self.shared.reached.set(self.shared.reached.get() || received);
        let since = *self.away_since.get_or_insert_with(Instant::now);
        if !self.shared.reached.get() || since.elapsed() > PATIENCE {
            return Some(self.failed(error));
        }
        if !self.shared.away.replace(true) {
            self.shared.went_away.notify_one();
        }
        self.pause(pause).await
    }

    /// Waits before the next call. An outcome where there is none, since no more is sent.
    async fn pause(&self, pause: Duration) -> Option<Outcome> {
        let known = self.shared.under_way.borrow().get(&self.number).is_some_and(Option::is_some);
        tokio::select! {
            () = tokio::time::sleep(pause) => None,
            () = self.shared.stopping.cancelled(), if !known => {
                Some(if self.sent { Outcome::Left(None) } else { Outcome::NotSent })
            }
        }
    }

    fn failed(&self, error: Error) -> Outcome {
        if self.sent { Outcome::Left(Some(error)) } else { Outcome::Refused(error) }
    }
}
