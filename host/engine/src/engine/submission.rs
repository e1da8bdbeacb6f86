//! From what was submitted to runs that are on the disk, and driven or queued.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use jiff::Timestamp;
use stepcell_core::{
    Digest, Event, EventKind, Json, RunId,
    event::{RetryOf, RunCreated},
    problem::{MAX_PROBLEMS, Problem},
    run::{FoldError, RunState},
};
use stepcell_store::{BlobRef, Claim, Error as StoreError};
use tokio::sync::oneshot;

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
        let claim = claim(&plan, std::slice::from_ref(&input), idempotency_key.as_deref(), 0).await?;
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
    ) -> Result<RunId, Error> {
        match self.begin(plan, New::of(input, None, None, Some(retry_of)), true).await? {
            Begun::Found(run) => Ok(run),
            Begun::New { run, synced, .. } => acknowledged(run, synced.await, None),
        }
    }

    pub(super) async fn submit_and_wait(
        self: &Arc<Self>,
        submit: Submit,
        at_most: Duration,
    ) -> Result<RunView, Error> {
        let Submit { plan, input, idempotency_key } = submit;
        let claim = claim(&plan, std::slice::from_ref(&input), idempotency_key.as_deref(), 0).await?;
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
    ) -> Result<Vec<RunId>, Error> {
        check_all(&plan, &inputs)?;
        let (mut ids, mut news, mut places) = (Vec::with_capacity(inputs.len()), Vec::new(), Vec::new());
        let first = claim(&plan, &inputs, key.as_deref(), 0).await?;
        for (index, input) in inputs.into_iter().enumerate() {
            let claim = first.as_ref().map(|first| Claim { key: key_of(&first.key, index), ..first.clone() });
            if let Some(run) = self.find(claim.as_ref()).await? {
                ids.push(run);
                continue;
            }
            let blobs = blobs::of_input(self, &input).await.map_err(|error| of_input(error, index))?;
            let new = New { blobs, ..New::of(input, claim, key.clone(), None) };
            places.push(index);
            ids.push(new.run);
            news.push(new);
        }
        let placed = self.enter(&plan, &news.iter().map(|new| new.run).collect::<Vec<_>>())?;
        // From here on it is done also where the caller goes away.
        let (answer, written) = oneshot::channel();
        let engine = self.clone();
        self.spawn(async move {
            let _ = answer.send(engine.write_all(&plan, news, placed).await);
        });
        let written = written.await.map_err(|_| Error::Stopping)??;
        for (index, run) in places.into_iter().zip(written) {
            if let Some(id) = ids.get_mut(index) {
                *id = run;
            }
        }
        Ok(ids)
    }

    /// Writes the first events of runs of which the first `placed` have a place. Gives the runs' ids, which are
    /// those of others where the same was submitted meanwhile.
    async fn write_all(
        self: &Arc<Self>,
        plan: &Arc<Prepared>,
        news: Vec<New>,
        placed: usize,
    ) -> Result<Vec<RunId>, Error> {
        let mut ids = Vec::with_capacity(news.len());
        let mut news = news.into_iter().enumerate();
        loop {
            let chunk: Vec<_> = news.by_ref().take(RUNS_AT_A_TIME).collect();
            if chunk.is_empty() {
                return Ok(ids);
            }
            let begun = chunk.into_iter().map(|(index, new)| {
                let (run, claim) = (new.run, new.claim.clone());
                let synced = self.launch(plan, new, index < placed, true);
                async move { acknowledged(run, synced?.await, claim.as_ref()) }
            });
            let written: Result<Vec<_>, _> = join_all(begun).await.into_iter().collect();
            match written {
                Ok(written) => ids.extend(written),
                Err(error) => {
                    news.for_each(|(index, new)| self.give_up(plan, new.run, index < placed));
                    return Err(error);
                }
            }
        }
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

/// What is claimed under a key: the flow with all inputs, whatever the order of keys in them.
async fn claim(
    plan: &Prepared,
    inputs: &[Json],
    key: Option<&str>,
    index: usize,
) -> Result<Option<Claim>, Error> {
    let Some(key) = key else { return Ok(None) };
    let mut text = plan.digest.to_string();
    for input in inputs {
        let mut input = input.value().clone();
        input.sort_all_objects();
        text.push('\n');
        text.push_str(&input.to_string());
    }
    let body = stepcell_store::digest::of(&Bytes::from(text)).await?;
    Ok(Some(Claim { key: key_of(key, index), body }))
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
