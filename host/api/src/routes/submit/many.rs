//! Many runs with one request: a list of inputs, or a submission on each line.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Json,
    body::Body,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use stepcell_core::{
    Json as Input, RunId,
    parse::{self, Batch, BatchRun},
    problem::MAX_PROBLEMS,
    run::RunStatus,
};
use stepcell_engine::{Engine, Error, Prepared, Submit};

use crate::{
    api::Api,
    body,
    limits::{LINES_AT_A_TIME, LINES_BODY_BYTES_MAX},
    problem::{Problem, Result},
    query::Wait,
    started::Started,
    submission,
};

/// The answer to many submissions, in their order.
#[derive(Serialize)]
struct AllStarted {
    runs: Vec<Started>,
}

/// Starts a run for each input.
pub(super) async fn inputs(
    api: &Api,
    wait: &Wait,
    plan: Arc<Prepared>,
    inputs: Vec<Input>,
    idempotency_key: Option<String>,
) -> Result<Response> {
    refuse_to_wait(wait)?;
    let keyed = idempotency_key.is_some();
    let runs = api.engine.submit_all(plan, inputs, idempotency_key).await?;
    tracing::info!(runs = runs.len(), "many runs submitted");
    answer(&api.engine, new(runs, keyed)).await
}

/// Starts a run for each line.
pub(super) async fn lines(api: &Api, wait: &Wait, headers: &HeaderMap, body: Body) -> Result<Response> {
    refuse_to_wait(wait)?;
    if submission::key_of(headers)?.is_some() {
        let detail = "one `Idempotency-Key` can not stand for many lines";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail)
            .with_hint("write an `idempotency_key` into each line".to_owned()));
    }
    let _turn = api.lines.acquire().await;
    let body = body::read(body, headers, LINES_BODY_BYTES_MAX).await?;
    let engine = api.engine.clone();
    let groups = submission::parsed(body, move |text| read(&engine, text)).await?;
    let started = start_all(&api.engine, groups).await?;
    tracing::info!(runs = started.len(), "many runs submitted");
    answer(&api.engine, started).await
}

fn refuse_to_wait(wait: &Wait) -> Result<()> {
    match wait.asked() {
        None => Ok(()),
        Some(_) => Err(Problem::query("`wait` is for one run, and this request starts many")
            .with_hint("leave it out, and ask for each run: `GET /api/v1/runs/{run_id}`".to_owned())),
    }
}

/// Lines that are started with one call.
enum Group {
    /// Those without a key that go with one flow.
    Together(Arc<Prepared>, Vec<Input>),
    /// The key of a line names its run alone.
    Keyed(Submit),
}

/// Reads and checks every line before the first run starts.
fn read(engine: &Engine, text: &str) -> Result<Vec<Group>> {
    let batches = parse::parse_submissions_jsonl(text).map_err(Problem::lines)?;
    let (mut groups, mut problems) = (Vec::new(), Vec::new());
    for Batch { flow, runs } in batches {
        let plan = submission::plan(engine, flow)?;
        for run in &runs {
            if problems.len() < MAX_PROBLEMS {
                let found = plan.check_input(&run.input).err().into_iter().flatten();
                problems.extend(found.map(|mut problem| {
                    problem.line = run.line;
                    problem.column = 1;
                    problem
                }));
            }
        }
        group(&plan, runs, &mut groups);
    }
    if problems.is_empty() { Ok(groups) } else { Err(Problem::lines(problems)) }
}

/// Runs that follow one another without a key go together, which is one sync and one look at the queue.
fn group(plan: &Arc<Prepared>, runs: Vec<BatchRun>, groups: &mut Vec<Group>) {
    let mut inputs = Vec::new();
    let together = |inputs: &mut Vec<Input>| {
        let inputs = mem::take(inputs);
        (!inputs.is_empty()).then(|| Group::Together(plan.clone(), inputs))
    };
    for BatchRun { input, idempotency_key, .. } in runs {
        if idempotency_key.is_none() {
            inputs.push(input);
            continue;
        }
        groups.extend(together(&mut inputs));
        groups.push(Group::Keyed(Submit { plan: plan.clone(), input, idempotency_key }));
    }
    groups.extend(together(&mut inputs));
}

/// Starts the groups in their order, some at a time. After one that fails no other starts; the problem names what did.
async fn start_all(engine: &Engine, groups: Vec<Group>) -> Result<Vec<NewRun>> {
    let failed = AtomicBool::new(false);
    let starting = groups.into_iter().map(|group| async {
        if failed.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        let started = start(engine, group).await;
        failed.fetch_or(started.is_err(), Ordering::Relaxed);
        started
    });
    let results: Vec<_> = stream::iter(starting).buffered(LINES_AT_A_TIME).collect().await;
    let (mut runs, mut problem) = (Vec::new(), None);
    for result in results {
        match result {
            Ok(started) => runs.extend(started),
            Err(error) => problem = problem.or(Some(Problem::from(error))),
        }
    }
    match problem {
        None => Ok(runs),
        Some(problem) => Err(problem.with_runs(runs.into_iter().map(|new| new.run).collect())),
    }
}

/// A run that was asked for.
struct NewRun {
    run: RunId,
    /// A key may have found a run that is further on; any other run has just been written as queued.
    keyed: bool,
}

async fn start(engine: &Engine, group: Group) -> std::result::Result<Vec<NewRun>, Error> {
    Ok(match group {
        Group::Together(plan, inputs) => new(engine.submit_all(plan, inputs, None).await?, false),
        Group::Keyed(submit) => new(vec![engine.submit(submit).await?], true),
    })
}

fn new(runs: Vec<RunId>, keyed: bool) -> Vec<NewRun> {
    runs.into_iter().map(|run| NewRun { run, keyed }).collect()
}

async fn answer(engine: &Engine, runs: Vec<NewRun>) -> Result<Response> {
    let shown = runs.into_iter().map(|NewRun { run, keyed }| async move {
        let status = if keyed { engine.show(run).await?.status } else { RunStatus::Queued };
        Ok::<_, Error>(Started { run_id: run, status })
    });
    let runs = stream::iter(shown).buffered(LINES_AT_A_TIME).try_collect().await?;
    Ok((StatusCode::ACCEPTED, Json(AllStarted { runs })).into_response())
}
