//! `POST /runs`: the hot path.

use std::time::Duration;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::LOCATION};
use serde::{Deserialize, Serialize};
use serde_json::json;
use stepcell_core::{
    RunId,
    parse::{self, FlowRef, Format},
    problem::Problem as FlowProblem,
    run::RunStatus,
};
use stepcell_engine::{Engine, RunView, Submit};

use crate::{
    api::Api,
    body,
    limits::{INLINE_PARSE_BYTES, RUN_BODY_BYTES_MAX, WAIT_MAX},
    operation::{Operation, schema},
    problem::{Problem, Result},
    query::{Query, Span},
    route::Route,
};

pub(super) fn routes() -> Vec<Route> {
    let yaml = json!({"description": "The same object as in JSON, or a bare flow", "type": "object"});
    let operation = Operation::new("runs", "submitRun", "Starts a run of a flow")
        .query(
            "wait",
            json!({"type": "string", "examples": ["10s", "500ms"]}),
            "Wait this long for the run's end, at most ten minutes",
        )
        .body(true, &[("application/json", schema("Submission")), ("application/yaml", yaml)])
        .json(202, "The run is on the disk and goes on; `Location` is its address", schema("Accepted"))
        .json(200, "With `wait`: the run has ended", schema("Run"))
        .problems(&[400, 408, 413, 415, 422, 429, 503, 507]);
    vec![Route::post("/api/v1/runs", submit, operation)]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    wait: Option<Span>,
}

/// The answer where the run goes on.
#[derive(Serialize)]
struct Accepted {
    run_id: RunId,
    status: RunStatus,
}

async fn submit(
    State(api): State<Api>,
    Query(Wait { wait }): Query<Wait>,
    request: Request,
) -> Result<Response> {
    let (head, body) = request.into_parts();
    let format = body::text_format(&head.headers)?;
    let body = body::read(body, &head.headers, RUN_BODY_BYTES_MAX).await?;
    let submit = check(&api.engine, body, format).await?;
    match wait {
        Some(Span(wait)) => Ok(ended(&submit_and_wait(&api, submit, wait.min(WAIT_MAX)).await?)),
        None => {
            let keyed = submit.idempotency_key.is_some();
            let run_id = api.engine.submit(submit).await?;
            // A key may have found a run that is further on; any other run has just been written as queued.
            let status = if keyed { api.engine.show(run_id).await?.status } else { RunStatus::Queued };
            Ok(accepted(Accepted { run_id, status }))
        }
    }
}

async fn submit_and_wait(api: &Api, submit: Submit, wait: Duration) -> Result<RunView> {
    tokio::select! {
        biased;
        view = api.engine.submit_and_wait(submit, wait) => Ok(view?),
        () = api.closing.cancelled() => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "the host is stopping; the run goes on when it starts again, if it was stored",
        )
        .with_hint("`GET /api/v1/runs` lists the runs".to_owned())),
    }
}

/// Makes a body ready to run, a large one on a thread that may block.
async fn check(engine: &Engine, body: Bytes, format: Format) -> Result<Submit> {
    if body.len() <= INLINE_PARSE_BYTES {
        return check_now(engine, &body, format);
    }
    let engine = engine.clone();
    match tokio::task::spawn_blocking(move || check_now(&engine, &body, format)).await {
        Ok(submit) => submit,
        Err(error) => Err(Problem::internal("internal_error", "the flow could not be checked", &error)),
    }
}

fn check_now(engine: &Engine, body: &[u8], format: Format) -> Result<Submit> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "malformed_body", format!("the body is not UTF-8: {error}"))
    })?;
    let submission = parse::parse_submission(text, format).map_err(|errors| refused(errors, format, text))?;
    let flow = match submission.flow {
        FlowRef::Inline(flow) => *flow,
        FlowRef::Name(name) => return Err(unknown_flow(&name)),
    };
    let plan = engine.plan(flow).map_err(Problem::flow)?;
    Ok(Submit { plan, input: submission.input, idempotency_key: submission.idempotency_key })
}

/// JSON is written by programs: a text that is none is no attempt at a flow. A YAML text is a flow as its author
/// typed it, and what is wrong with it is wrong with the flow.
fn refused(errors: Vec<FlowProblem>, format: Format, text: &str) -> Problem {
    let hint = match format {
        Format::Json => Some("send YAML with `content-type: application/yaml`"),
        Format::Yaml if !text.contains('\n') => {
            Some("the text has a single line; curl keeps line breaks with `--data-binary`, not with `-d`")
        }
        Format::Yaml => None,
    };
    match errors.as_slice() {
        [error] if error.code == "invalid_json" => {
            let detail = format!("the body, line {}, column {}: {}", error.line, error.column, error.message);
            Problem::new(StatusCode::BAD_REQUEST, "malformed_body", detail).with_errors(errors)
        }
        [error] if error.code == "invalid_yaml" => Problem::flow(errors),
        _ => return Problem::flow(errors),
    }
    .with_hint(hint.map(str::to_owned))
}

fn unknown_flow(name: &str) -> Problem {
    let name: String = name.chars().take(100).collect();
    let detail = format!("there is no stored flow `{name}`");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_flow", detail)
        .with_hint("send the flow itself under `flow`".to_owned())
}

fn ended(view: &RunView) -> Response {
    if view.is_final() {
        (StatusCode::OK, location(view.run_id), Json(view)).into_response()
    } else {
        accepted(Accepted { run_id: view.run_id, status: view.status })
    }
}

fn accepted(answer: Accepted) -> Response {
    (StatusCode::ACCEPTED, location(answer.run_id), Json(answer)).into_response()
}

fn location(run: RunId) -> Option<[(http::HeaderName, HeaderValue); 1]> {
    let address = HeaderValue::try_from(format!("/api/v1/runs/{run}")).ok()?;
    Some([(LOCATION, address)])
}
