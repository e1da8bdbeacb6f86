//! From what was submitted to runs that are on the disk, and driven or queued.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use jiff::Timestamp;
use stepcell_core::{
    Digest, Event, EventKind, Json, RunId, StepId,
    event::{RetryOf, RunCreated},
    problem::{MAX_PROBLEMS, Problem},
    run::{FoldError, RunState},
};
use stepcell_store::{BlobRef, Claim, Error as StoreError};
use tokio::sync::{mpsc, oneshot};

use super::{
    Inner, Submit,
    inner::{Driven, Ending, Forget},
};
use crate::{
    Error, blobs,
    driver::{Outbox, Synced},
    places::{Full, Own},
    prepared::Prepared,
    view::RunView,
};

/// First events of one submission that are on their way to the disk at once. Bounds what waits in the store's memory.
const RUNS_AT_A_TIME: usize = 256;

/// Of many submissions, some came to a run and others did not.
#[derive(Debug, thiserror::Error)]
#[error("{error}; {} runs are there", started.len())]
pub struct Incomplete {
    /// The runs that are on the disk and go on, each with the number of its input.
    pub started: Vec<(usize, RunId)>,
    /// Why the first of the others did not start.
    pub error: Error,
}

impl From<Error> for Incomplete {
    fn from(error: Error) -> Self {
        Self { started: Vec::new(), error }
    }
}

/// The run of one input, or why there is none, with the input's number.
type Written = (usize, Result<RunId, Error>);

/// A run in the making.
struct New {
    run: RunId,
    input: Json,
    /// Those that the input names.
    blobs: Vec<BlobRef>,
    claim: Option<Claim>,
    key: Option<String>,
    retry_of: Option<RetryOf>,
}

/// What a submission has come to.
enum Begun {
    New {
        run: RunId,
        /// Done when the run's first event is on the disk; at once where nobody has to wait for that.
        synced: Synced,
        /// Gets the run when it has ended.
        ended: oneshot::Receiver<Ending>,
    },
    /// The same was submitted before.
    Found(RunId),
}

impl Inner {
    pub(super) async fn submit(self: &Arc<Self>, submit: Submit) -> Result<RunId, Error> {
        let Submit { plan, input, idempotency_key } = submit;
        let inputs = std::slice::from_ref(&input);
        let claim = claim(idempotency_key.as_deref(), || body(&plan, inputs)).await?;
        let new = New::of(input, claim.clone(), idempotency_key, None);
        match self.begin(&plan, new, true).await? {
            Begun::Found(run) => Ok(run),
            Begun::New { run, synced, .. } => acknowledged(run, synced.await, claim.as_ref()),
        }
    }

    /// Starts a run that tries another one again.
    pub(crate) async fn submit_again(
        self: &Arc<Self>,
        plan: &Arc<Prepared>,
        input: Json,
        retry_of: RetryOf,
        idempotency_key: Option<String>,
    ) -> Result<RunId, Error> {
        let claim = claim(idempotency_key.as_deref(), || body_again(plan, &retry_of)).await?;
        let new = New::of(input, claim.clone(), idempotency_key, Some(retry_of));
        match self.begin(plan, new, true).await? {
            Begun::Found(run) => Ok(run),
            Begun::New { run, synced, .. } => acknowledged(run, synced.await, claim.as_ref()),
        }
    }

    pub(super) async fn submit_and_wait(
        self: &Arc<Self>,
        submit: Submit,
        at_most: Duration,
    ) -> Result<RunView, Error> {
        let Submit { plan, input, idempotency_key } = submit;
        let inputs = std::slice::from_ref(&input);
        let claim = claim(idempotency_key.as_deref(), || body(&plan, inputs)).await?;
        let new = New::of(input, claim.clone(), idempotency_key, None);
        let (run, synced, ended) = match self.begin(&plan, new, false).await? {
            Begun::Found(run) => return self.wait(run, at_most).await,
            Begun::New { run, synced, ended } => (run, synced, ended),
        };
        let _forgotten = Forget(self, run);
        let acknowledged = acknowledged(run, synced.await, claim.as_ref())?;
        if acknowledged != run {
            return self.wait(acknowledged, at_most).await;
        }
        match tokio::time::timeout(at_most, ended).await {
            Ok(Ok(ending)) => ending.map_err(Error::Store),
            // Time is over, or the engine stops: what is on the disk is the answer.
            Ok(Err(_)) | Err(_) => {
                self.sync(run).await;
                self.show(run).await
            }
        }
    }

    pub(super) async fn submit_all(
        self: &Arc<Self>,
        plan: Arc<Prepared>,
        inputs: Vec<Json>,
        key: Option<String>,
    ) -> Result<Vec<RunId>, Incomplete> {
        check_all(&plan, &inputs)?;
        let first = claim(key.as_deref(), || body(&plan, &inputs)).await?;
        let (mut runs, mut news) = (Vec::with_capacity(inputs.len()), Vec::new());
        for (index, input) in inputs.into_iter().enumerate() {
            let claim = first.as_ref().map(|first| Claim { key: key_of(&first.key, index), ..first.clone() });
            let found = self.find(claim.as_ref()).await?;
            runs.push(found);
            if found.is_none() {
                let blobs = blobs::of_input(self, &input).await.map_err(|error| of_input(error, index))?;
                news.push((index, New { blobs, ..New::of(input, claim, key.clone(), None) }));
            }
        }
        let placed = self.enter(&plan, &news.iter().map(|(_, new)| new.run).collect::<Vec<_>>())?;
        // From here on it is done also where the caller goes away.
        let (sender, mut written) = mpsc::unbounded_channel();
        let engine = self.clone();
        self.spawn(async move { engine.write_all(&plan, news, placed, sender).await });
        let mut error = None;
        while let Some((index, outcome)) = written.recv().await {
            match (outcome, runs.get_mut(index)) {
                (Ok(run), Some(place)) => *place = Some(run),
                (Ok(_), None) => {}
                (Err(why), _) => error = error.or(Some(why)),
            }
        }
        // Where nothing went wrong and yet some are missing, the engine stops.
        complete(runs, error.unwrap_or(Error::Stopping))
    }

    /// Writes the first events of runs of which the first `placed` have a place, and tells the run of each, which is
    /// another one where the same was submitted meanwhile. After a chunk with one that fails no other is begun.
    async fn write_all(
        self: &Arc<Self>,
        plan: &Arc<Prepared>,
        news: Vec<(usize, New)>,
        placed: usize,
        written: mpsc::UnboundedSender<Written>,
    ) {
        let mut news = news.into_iter().enumerate();
        let mut failed = false;
        while !failed {
            let chunk: Vec<_> = news.by_ref().take(RUNS_AT_A_TIME).collect();
            if chunk.is_empty() {
                return;
            }
            let begun = chunk.into_iter().map(|(nth, (index, new))| {
                let (run, claim) = (new.run, new.claim.clone());
                let synced = self.launch(plan, new, nth < placed, true);
                let run = async move { acknowledged(run, synced?.await, claim.as_ref()) };
                run.map(move |outcome| (index, outcome))
            });
            for told in join_all(begun).await {
                failed |= told.1.is_err();
                // The caller may have gone away.
                let _ = written.send(told);
            }
        }
        news.for_each(|(nth, (_, new))| self.give_up(plan, new.run, nth < placed));
    }

    /// Checks what is new, finds a place for it and starts or queues it. `sync` asks for the first event to be
    /// written at once; what is keyed or queued is written anyway.
    async fn begin(self: &Arc<Self>, plan: &Arc<Prepared>, new: New, sync: bool) -> Result<Begun, Error> {
        if let Some(run) = self.find(new.claim.as_ref()).await? {
            return Ok(Begun::Found(run));
        }
        plan.check_input(&new.input).map_err(Error::InvalidInput)?;
        let blobs = blobs::of_input(self, &new.input).await?;
        let run = new.run;
        let placed = self.enter(plan, &[run])? > 0;
        // Who waits for the sync alone needs no place among those who wait for the end.
        let ended = if sync { oneshot::channel().1 } else { self.waiter(run) };
        let synced = self.launch(plan, New { blobs, ..new }, placed, sync)?;
        Ok(Begun::New { run, synced, ended })
    }

    /// The run that was submitted under the same key, if it is the same.
    async fn find(&self, claim: Option<&Claim>) -> Result<Option<RunId>, Error> {
        let Some(claim) = claim else { return Ok(None) };
        match self.store.claimed(&claim.key).await? {
            Some((run, body)) => same(claim, run, body).map(Some),
            None => Ok(None),
        }
    }

    fn enter(&self, plan: &Prepared, runs: &[RunId]) -> Result<usize, Error> {
        if self.draining.is_cancelled() {
            return Err(Error::Stopping);
        }
        let entered = self.runs.lock().places.enter(&plan.flow.name, Own::of(&plan.flow), runs);
        entered.map_err(|Full { queued, retry_after }| Error::QueueFull {
            queued,
            wanted: runs.len(),
            retry_after,
        })
    }

    /// Drives a run that has its place, or queues it. Gives what is done when the run is acknowledged.
    fn launch(
        self: &Arc<Self>,
        plan: &Arc<Prepared>,
        new: New,
        placed: bool,
        sync: bool,
    ) -> Result<Synced, Error> {
        let run = new.run;
        let keyed = new.claim.is_some();
        let (mut state, mut outbox) =
            self.create(plan, new).inspect_err(|_| self.give_up(plan, run, placed))?;
        self.submitted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        tracing::debug!(run_id = %run, flow = %plan.flow.name, placed, "run created");
        if !placed {
            outbox.flush(self, &state);
            return Ok(self.queue(run, outbox.last()));
        }
        let started = outbox.emit(&mut state, None, EventKind::RunStarted);
        started.map_err(|error| damaged(run, &error)).inspect_err(|_| self.give_up(plan, run, placed))?;
        if sync || keyed {
            outbox.flush(self, &state);
        }
        let synced = outbox.last();
        let mailbox = self.runs.lock().activate(run, plan.flow.name.as_str().into());
        // Under a key there may be another run already: nothing of this one is to happen then.
        let before = keyed.then(|| synced.clone());
        self.spawn_driver(Driven { run, plan: plan.clone(), state, outbox }, mailbox, before);
        Ok(synced)
    }

    /// Lets a run that is queued start when its turn comes, once it is on the disk.
    fn queue(self: &Arc<Self>, run: RunId, written: Synced) -> Synced {
        let engine = self.clone();
        let settled = async move {
            match written.await {
                Ok(()) => engine.settle(run),
                Err(error) => {
                    engine.unqueue(run, &error);
                    return Err(error);
                }
            }
            Ok(())
        };
        let settled = settled.boxed().shared();
        // Also where the caller goes away.
        self.spawn(settled.clone().map(drop));
        settled
    }

    /// The state and the first event of a new run.
    fn create(&self, plan: &Prepared, new: New) -> Result<(RunState, Outbox), Error> {
        let New { run, input, mut blobs, claim, key, retry_of } = new;
        // A run's first event names its flow by digest: the definition gets to the disk with it.
        blobs.push(BlobRef { digest: plan.digest, bytes: Some(plan.source.clone()) });
        let at = Timestamp::now();
        let created = Event {
            seq: 1,
            at,
            step: None,
            kind: EventKind::RunCreated(RunCreated {
                flow: plan.flow.name.clone(),
                flow_digest: plan.digest,
                input,
                idempotency_key: key,
                plugins: plan.pins(),
                deadline: plan.flow.deadline.and_then(|deadline| at.checked_add(deadline).ok()),
                retry_of,
            }),
        };
        let state = RunState::new(&created).map_err(|error| damaged(run, &error))?;
        Ok((state, Outbox::begin(run, created, blobs, claim)))
    }
}

impl New {
    fn of(input: Json, claim: Option<Claim>, key: Option<String>, retry_of: Option<RetryOf>) -> Self {
        let run = RunId::from_uuid(uuid::Uuid::now_v7());
        Self { run, input, blobs: Vec::new(), claim, key, retry_of }
    }
}

/// The run that a submission has come to: its own, or the same one that was there before.
fn acknowledged(run: RunId, synced: Result<(), StoreError>, claim: Option<&Claim>) -> Result<RunId, Error> {
    match (synced, claim) {
        (Ok(()), _) => Ok(run),
        (Err(StoreError::Claimed { run, body }), Some(claim)) => same(claim, run, body),
        (Err(error), _) => Err(error.into()),
    }
}

/// The run of the key, where it was submitted with the same body.
fn same(claim: &Claim, run: RunId, body: Digest) -> Result<RunId, Error> {
    if body == claim.body {
        return Ok(run);
    }
    let key = claim.key.split(SEPARATOR).next().unwrap_or_default().to_owned();
    Err(Error::IdempotencyKeyReused { key, run })
}

/// Stands between a key and the number of an input in the keys of a submission of many. Keys of clients are printed
/// text, so that theirs are others.
const SEPARATOR: char = '\0';

fn key_of(key: &str, index: usize) -> String {
    if index == 0 { key.to_owned() } else { format!("{key}{SEPARATOR}{index}") }
}

/// What a key stands for.
async fn claim(key: Option<&str>, body: impl FnOnce() -> String) -> Result<Option<Claim>, Error> {
    let Some(key) = key else { return Ok(None) };
    let body = stepcell_store::digest::of(&Bytes::from(body())).await?;
    Ok(Some(Claim { key: key.to_owned(), body }))
}

/// What is claimed by a submission: the flow with all inputs, whatever the order of keys in them.
fn body(plan: &Prepared, inputs: &[Json]) -> String {
    let mut text = plan.digest.to_string();
    for input in inputs {
        let mut input = input.value().clone();
        input.sort_all_objects();
        text.push('\n');
        text.push_str(&input.to_string());
    }
    text
}

/// What is claimed by a retry. No submission's text begins like this.
fn body_again(plan: &Prepared, RetryOf { run, from }: &RetryOf) -> String {
    let from = from.as_ref().map(StepId::as_str).unwrap_or_default();
    format!("retry {run}\n{from}\n{}", plan.digest)
}

/// All runs, where each input has one.
fn complete(runs: Vec<Option<RunId>>, error: Error) -> Result<Vec<RunId>, Incomplete> {
    let asked = runs.len();
    let started: Vec<_> =
        runs.into_iter().enumerate().filter_map(|(index, run)| Some((index, run?))).collect();
    if started.len() == asked {
        return Ok(started.into_iter().map(|(_, run)| run).collect());
    }
    Err(Incomplete { started, error })
}

/// What is wrong with any of the inputs.
fn check_all(plan: &Prepared, inputs: &[Json]) -> Result<(), Error> {
    let mut problems = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        let found = plan.check_input(input).err().unwrap_or_default();
        problems.extend(found.into_iter().map(|problem| of_input_problem(problem, index)));
        if problems.len() >= MAX_PROBLEMS {
            problems.truncate(MAX_PROBLEMS);
            break;
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::InvalidInput(problems)) }
}

fn of_input(error: Error, index: usize) -> Error {
    match error {
        Error::BlobMissing(problems) => {
            Error::BlobMissing(problems.into_iter().map(|problem| of_input_problem(problem, index)).collect())
        }
        error => error,
    }
}

/// `input.id` of one submission is `inputs[3].id` of many.
fn of_input_problem(problem: Problem, index: usize) -> Problem {
    let within = problem.path.strip_prefix("input").unwrap_or(&problem.path);
    Problem { path: format!("inputs[{index}]{within}"), ..problem }
}

fn damaged(run: RunId, error: &FoldError) -> Error {
    Error::Damaged { run, reason: error.to_string() }
}
