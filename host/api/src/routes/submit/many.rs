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
use futures_util::{StreamExt, stream};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use stepcell_core::{
    Json as Input, RunId,
    parse::{self, Batch, BatchRun},
    problem::MAX_PROBLEMS,
};
use stepcell_engine::{Engine, Error, Incomplete, Prepared, Submit};

use crate::{
    api::Api,
    body,
    limits::{LINES_AT_A_TIME, LINES_BODY_BYTES_MAX},
    problem::{Asking, Problem, Result, StartedRun},
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
    let (keyed, asked) = (idempotency_key.is_some(), inputs.len());
    let submitted = api.engine.submit_all(plan, inputs, idempotency_key).await;
    let runs = submitted.map_err(|Incomplete { started, error }| {
        let started =
            started.into_iter().map(|(index, run_id)| StartedRun { of: Asking::Index(index), run_id });
        Problem::from(error).with_runs(started.collect(), asked)
    })?;
    tracing::info!(runs = runs.len(), "many runs submitted");
    Ok(answer(&api.engine, runs.into_iter().map(|run| (run, keyed))).await)
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
    let runs = start_all(&api.engine, groups).await?;
    tracing::info!(runs = runs.len(), "many runs submitted");
    Ok(answer(&api.engine, runs).await)
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
    /// Those without a key that go with one flow, with their lines.
    Together(Arc<Prepared>, Vec<Input>, Vec<u32>),
    /// The key of a line names its run alone.
    Keyed(Submit, u32),
}

impl Group {
    fn len(&self) -> usize {
        match self {
            Self::Together(_, inputs, _) => inputs.len(),
            Self::Keyed(..) => 1,
        }
    }
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
    let (mut inputs, mut lines) = (Vec::new(), Vec::new());
    let together = |inputs: &mut Vec<Input>, lines: &mut Vec<u32>| {
        let (inputs, lines) = (mem::take(inputs), mem::take(lines));
        (!inputs.is_empty()).then(|| Group::Together(plan.clone(), inputs, lines))
    };
    for BatchRun { input, idempotency_key, line } in runs {
        if idempotency_key.is_none() {
            inputs.push(input);
            lines.push(line);
            continue;
        }
        groups.extend(together(&mut inputs, &mut lines));
        groups.push(Group::Keyed(Submit { plan: plan.clone(), input, idempotency_key }, line));
    }
    groups.extend(together(&mut inputs, &mut lines));
}

/// Starts the groups in their order, some at a time; gives the runs, and whether each had a key. After one that fails
/// no other starts; the problem names the runs that are there.
async fn start_all(engine: &Engine, groups: Vec<Group>) -> Result<Vec<(RunId, bool)>> {
    let asked = groups.iter().map(Group::len).sum();
    let failed = AtomicBool::new(false);
    let starting = groups.into_iter().map(|group| async {
        if failed.load(Ordering::Relaxed) {
            return Begun::default();
        }
        let begun = start(engine, group).await;
        failed.fetch_or(begun.error.is_some(), Ordering::Relaxed);
        begun
    });
    let groups: Vec<_> = stream::iter(starting).buffered(LINES_AT_A_TIME).collect().await;
    let (mut runs, mut problem) = (Vec::new(), None);
    for Begun { runs: begun, error } in groups {
        runs.extend(begun);
        problem = problem.or(error.map(Problem::from));
    }
    let Some(problem) = problem else {
        return Ok(runs.into_iter().map(|run| (run.id, run.keyed)).collect());
    };
    let started = runs.into_iter().map(|run| StartedRun { of: Asking::Line(run.line), run_id: run.id });
    Err(problem.with_runs(started.collect(), asked))
}

/// What a group has come to: its runs, and an error where some are missing.
#[derive(Default)]
struct Begun {
    runs: Vec<NewRun>,
    error: Option<Error>,
}

struct NewRun {
    id: RunId,
    line: u32,
    keyed: bool,
}

async fn start(engine: &Engine, group: Group) -> Begun {
    match group {
        Group::Together(plan, inputs, lines) => {
            let (started, error) = match engine.submit_all(plan, inputs, None).await {
                Ok(runs) => (runs.into_iter().enumerate().collect(), None),
                Err(Incomplete { started, error }) => (started, Some(error)),
            };
            let of_line = |(index, id)| Some(NewRun { id, line: *lines.get(index)?, keyed: false });
            Begun { runs: started.into_iter().filter_map(of_line).collect(), error }
        }
        Group::Keyed(submit, line) => match engine.submit(submit).await {
            Ok(id) => Begun { runs: vec![NewRun { id, line, keyed: true }], error: None },
            Err(error) => Begun { runs: Vec::new(), error: Some(error) },
        },
    }
}

async fn answer(engine: &Engine, runs: impl IntoIterator<Item = (RunId, bool)>) -> Response {
    let shown = runs.into_iter().map(|(run, keyed)| Started::new(engine, run, keyed));
    let runs = stream::iter(shown).buffered(LINES_AT_A_TIME).collect().await;
    (StatusCode::ACCEPTED, Json(AllStarted { runs })).into_response()
}
