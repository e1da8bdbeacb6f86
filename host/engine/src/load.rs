//! Runs out of the store: their state, their flow, and taking them up again.

mod seen;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::Value;
use stepcell_core::{
    Digest, Event, EventKind, Failure, Fault, RunId, StepId, StepType,
    event::{Payload, RunFailed},
    plan::Plan,
    run::{FoldError, RunState, StepStatus},
};
use stepcell_store::Error as StoreError;

use crate::{
    Error,
    driver::{Command, Outbox},
    engine::{Driven, Inner, Sent},
    payload,
    prepared::{Outline, Prepared},
};
pub(crate) use seen::{Folds, seen};

/// Events read from the store at a time. Bounds the memory of a fold beside its state.
const EVENTS_PER_READ: usize = 1_000;
/// Runs that recovery asks for at a time.
const RUNS_PER_READ: usize = 256;
/// How long to leave the store alone after it failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Outlines kept for showing runs. Bounds memory; a miss costs reading the flow's definition.
const MAX_OUTLINES: usize = 256;

/// Flows kept ready for runs that are taken up. Bounds memory; a miss costs reading and planning the flow.
const MAX_PINNED: usize = 64;

/// The flows of the runs that were taken up last, each with what it pins.
pub(crate) type Pinned = Mutex<HashMap<Digest, (BTreeMap<String, Vec<Digest>>, Arc<Prepared>)>>;

/// The outlines of the flows that were shown last.
pub(crate) type Outlines = Mutex<HashMap<Digest, Arc<Outline>>>;

/// A run's state, folded from its log.
pub(crate) async fn state(engine: &Inner, run: RunId) -> Result<RunState, Error> {
    let mut events = engine.store.events(run, 0, EVENTS_PER_READ).await?;
    let mut state = begun(run, &events)?;
    while events.len() == EVENTS_PER_READ {
        events = engine.store.events(run, state.seq, EVENTS_PER_READ).await?;
        apply(run, &mut state, &events)?;
    }
    Ok(state)
}

/// The state of a run whose log begins with these events.
fn begun(run: RunId, events: &[Event]) -> Result<RunState, Error> {
    let damaged = |error: FoldError| Error::Damaged { run, reason: error.to_string() };
    let (first, rest) = events.split_first().ok_or(Error::NoSuchRun(run))?;
    let mut state = RunState::new(first).map_err(damaged)?;
    apply(run, &mut state, rest)?;
    Ok(state)
}

fn apply(run: RunId, state: &mut RunState, events: &[Event]) -> Result<(), Error> {
    let damaged = |error: FoldError| Error::Damaged { run, reason: error.to_string() };
    events.iter().try_for_each(|event| state.apply(event).map_err(damaged))
}

/// The steps of a run's flow with their types.
pub(crate) async fn outline(engine: &Inner, run: RunId, flow: Digest) -> Result<Arc<Outline>, Error> {
    if let Some(outline) = engine.outlines.lock().get(&flow) {
        return Ok(outline.clone());
    }
    let source = source(engine, run, flow).await?;
    let steps = source.get("steps").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let outline: Outline = steps
        .iter()
        .filter_map(|step| {
            let id = StepId::new(step.get("id")?.as_str()?).ok()?;
            Some((id, step.get("type")?.as_str()?.to_owned()))
        })
        .collect();
    let outline = Arc::new(outline);
    let mut outlines = engine.outlines.lock();
    if outlines.len() >= MAX_OUTLINES {
        outlines.clear();
    }
    outlines.insert(flow, outline.clone());
    Ok(outline)
}

/// What a step printed.
pub(crate) async fn log(engine: &Inner, run: RunId, step: &str) -> Result<String, Error> {
    let (mut after, mut text, mut flow) = (0, String::new(), None);
    loop {
        let events = engine.store.events(run, after, EVENTS_PER_READ).await?;
        for Event { seq, step: of, kind, .. } in &events {
            after = *seq;
            match kind {
                EventKind::RunCreated(created) => flow = Some(created.flow_digest),
                EventKind::StepLog(log) if of.as_ref().is_some_and(|of| of.as_str() == step) => {
                    text.push_str(&log.text);
                    if log.dropped_bytes > 0 {
                        text.push_str(&format!("\n… {} more bytes were not kept\n", log.dropped_bytes));
                    }
                }
                _ => {}
            }
        }
        if events.len() < EVENTS_PER_READ {
            break;
        }
    }
    let flow = flow.ok_or(Error::NoSuchRun(run))?;
    let known = outline(engine, run, flow).await?;
    if text.is_empty() && !known.iter().any(|(id, _)| id.as_str() == step) {
        return Err(Error::NoSuchStep { run, step: step.to_owned() });
    }
    Ok(text)
}

/// Hands a command to a run, taking it up first where it is parked.
pub(crate) async fn tell(engine: &Arc<Inner>, run: RunId, command: Command) -> Result<(), Error> {
    match engine.send(run, command) {
        Sent::Told => Ok(()),
        Sent::Queued(command) => {
            // Done to its end also where the caller goes away.
            engine.spawn(engine.clone().tell_queued(run, command));
            Ok(())
        }
        Sent::Undriven(command) => take_up(engine, run, Some(command)).await,
    }
}

/// Takes up the runs that an earlier process left behind. What fails for one run stops no other.
pub(crate) async fn recover(engine: &Arc<Inner>) {
    let mut after = None;
    loop {
        let runs = match engine.store.unfinished(after, RUNS_PER_READ).await {
            Ok(runs) => runs,
            Err(error) => {
                tracing::error!(%error, "open runs could not be read, trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        for run in &runs {
            if !engine.is_queued(*run) {
                revive(engine, *run).await;
            }
        }
        match runs.last() {
            Some(last) if runs.len() == RUNS_PER_READ => after = Some(*last),
            _ => return,
        }
    }
}

/// Takes up one run that has no driver; says so where it can not, and tries again where the store may do it later.
pub(crate) async fn revive(engine: &Arc<Inner>, run: RunId) {
    match take_up(engine, run, None).await {
        Ok(()) => {}
        // A run whose first event never got to the disk was never acknowledged.
        Err(Error::Finished { .. } | Error::NoSuchRun(_)) => engine.forget_revivals(run),
        Err(Error::Store(error)) if !is_lasting(&error) => {
            tracing::error!(run_id = %run, %error, "run could not be taken up, trying again");
            engine.revive_later(run);
        }
        Err(error) => {
            if let Error::Store(error) = &error {
                engine.note(error);
            }
            tracing::error!(run_id = %run, %error, "run could not be taken up");
        }
    }
}

/// Whether the store will do no better in this process.
fn is_lasting(error: &StoreError) -> bool {
    matches!(error, StoreError::Failed { .. } | StoreError::Damaged { .. })
}

async fn take_up(engine: &Arc<Inner>, run: RunId, first: Option<Command>) -> Result<(), Error> {
    let driven = open(engine, run).await?;
    engine.drive(driven, first);
    Ok(())
}

/// All that it takes to drive a run that has not ended.
pub(crate) async fn open(engine: &Arc<Inner>, run: RunId) -> Result<Driven, Error> {
    let mut state = state(engine, run).await?;
    if state.is_final() {
        return Err(Error::Finished { run, status: state.status });
    }
    let outbox = Outbox::new(run, state.seq);
    match prepare(engine, run, &state).await {
        Ok(plan) => Ok(Driven { run, plan, state, outbox }),
        Err(error @ Error::PluginGone { .. }) => {
            fail_for_good(engine, run, &mut state, outbox, &error).await?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Nothing can ever drive this run: it ends here, so that it is not found open at each start.
async fn fail_for_good(
    engine: &Arc<Inner>,
    run: RunId,
    state: &mut RunState,
    mut outbox: Outbox,
    error: &Error,
) -> Result<(), Error> {
    let failure = Failure::system(Fault::Failed, error.code(), error.to_string())
        .with_hint(error.hint().unwrap_or_default());
    let open = |status| matches!(status, StepStatus::Running | StepStatus::Waiting);
    let under_way = state.steps.iter().filter(|(_, seen)| open(seen.status)).map(|(id, _)| id.clone());
    let mut last = vec![(None, EventKind::RunFailed(RunFailed { error: failure, failed_step: None }))];
    last.splice(0..0, under_way.map(|step| (Some(step), EventKind::StepCancelled)).collect::<Vec<_>>());
    for (step, kind) in last {
        let damaged = |error: FoldError| Error::Damaged { run, reason: error.to_string() };
        outbox.emit(state, step, kind).map_err(damaged)?;
    }
    outbox.synced(engine, state).await?;
    // Whoever waits for its end has it.
    let view = engine.show(run).await?;
    engine.run_ended(run, view);
    Ok(())
}

/// The flow of a run with the plugins that the run pinned. Runs of the same flow share it.
pub(crate) async fn prepare(engine: &Inner, run: RunId, state: &RunState) -> Result<Arc<Prepared>, Error> {
    let known = engine.pinned.lock().get(&state.flow_digest).cloned();
    if let Some((_, prepared)) = known.filter(|(pins, _)| *pins == state.plugins) {
        return Ok(prepared);
    }
    let mut types = BTreeMap::new();
    for (kind, digests) in &state.plugins {
        let mut providers = Vec::with_capacity(digests.len());
        for digest in digests {
            let mut provider = engine.runner.pinned(*digest).await;
            if provider.is_none() {
                // Its file may be among those that are looked into only now.
                engine.runner.settled().await;
                provider = engine.runner.pinned(*digest).await;
            }
            let gone = || Error::PluginGone { run, kind: kind.clone(), digest: *digest };
            providers.push(provider.ok_or_else(gone)?);
        }
        types.insert(kind.clone(), StepType { providers });
    }
    let source = source(engine, run, state.flow_digest).await?;
    let plan = Plan::from_source(&source, &types).map_err(|problems| {
        let list: Vec<_> = problems.iter().map(ToString::to_string).collect();
        Error::Damaged { run, reason: format!("its flow is no longer valid: {}", list.join("; ")) }
    })?;
    let prepared = Arc::new(Prepared::new(plan, types));
    let mut pinned = engine.pinned.lock();
    if pinned.len() >= MAX_PINNED {
        pinned.clear();
    }
    pinned.insert(state.flow_digest, (state.plugins.clone(), prepared.clone()));
    Ok(prepared)
}

pub(crate) async fn source(engine: &Inner, run: RunId, flow: Digest) -> Result<Value, Error> {
    let payload = Payload::Blob { digest: flow, bytes: 0, fields: stepcell_core::Json::null() };
    match payload::whole(&*engine.store, &payload).await {
        Ok(json) => Ok(json.value().clone()),
        Err(stepcell_store::Error::Damaged { what, reason }) => {
            Err(Error::Damaged { run, reason: format!("its flow, {what}: {reason}") })
        }
        Err(error) => Err(error.into()),
    }
}
