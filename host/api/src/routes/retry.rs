//! `POST /runs/{id}/retry`: a new run that takes over what still holds of one that has ended.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use stepcell_core::{
    parse::{self, Format},
    problem::Problem as FlowProblem,
};
use stepcell_engine::{Engine, Prepared, Retry};

use crate::{
    api::Api,
    body,
    limits::RUN_BODY_BYTES_MAX,
    operation::{Operation, schema},
    problem::{Problem, Result},
    query::{Query, Run, Wait},
    route::Route,
    started::{self, Started},
    submission,
};

const HINT: &str = r#"send `{"from": "step", "flow": {…}}`, either key, or no body"#;

pub(super) fn routes() -> Vec<Route> {
    let operation = Operation::new(
        "runs",
        "retryRun",
        "Runs an ended run again from the step that failed, or from a named one; what still holds is kept",
    )
    .wait()
    .header(
        "Idempotency-Key",
        json!({"type": "string"}),
        "The same key, run and body again are the same new run",
    )
    .body(false, &[("application/json", schema("Retry")), ("application/yaml", schema("Retry"))])
    .json(202, "The new run is on the disk and goes on; `Location` is its address", schema("Accepted"))
    .json(200, "With `wait`: the new run has ended", schema("Run"))
    .problems(&[400, 404, 408, 409, 413, 415, 422, 429, 503, 507]);
    vec![Route::post("/api/v1/runs/{run_id}/retry", retry, operation)]
}

async fn retry(
    State(api): State<Api>,
    Run(run): Run,
    Query(wait): Query<Wait>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let body = body::read(body, &headers, RUN_BODY_BYTES_MAX).await?;
    let idempotency_key = submission::key_of(&headers)?;
    let (from, plan) = if body.is_empty() {
        (None, None)
    } else {
        let (engine, format) = (api.engine.clone(), body::text_format(&headers)?);
        submission::parsed(body, move |text| read(&engine, text, format)).await?
    };
    tracing::info!(run_id = %run, from, "retry asked for");
    let view = api.engine.retry(run, Retry { from, plan, idempotency_key }).await?;
    let Some(at_most) = wait.asked() else {
        return Ok(started::accepted(Started::of(&view)));
    };
    let ended = started::waited(&api, at_most, |at_most| api.engine.wait(view.run_id, at_most));
    Ok(started::ended(&ended.await?))
}

/// What to do otherwise than the first time.
type Changes = (Option<String>, Option<Arc<Prepared>>);

fn read(engine: &Engine, text: &str, format: Format) -> Result<Changes> {
    let parse::Retry { from, flow } =
        parse::parse_retry(text, format).map_err(|errors| refused(errors, format, text))?;
    Ok((from, flow.map(|flow| submission::plan(engine, flow)).transpose()?))
}

/// What is wrong with the flow is told as with any other; anything else is no retry at all.
fn refused(errors: Vec<FlowProblem>, format: Format, text: &str) -> Problem {
    let beside = |error: &FlowProblem| {
        !error.path.starts_with("flow") && !["invalid_json", "invalid_yaml"].contains(&error.code)
    };
    match errors.first() {
        Some(first) if errors.iter().all(beside) => {
            let detail = match first.path.as_str() {
                "" => first.message.clone(),
                path => format!("{path}: {}", first.message),
            };
            let problem = Problem::new(StatusCode::BAD_REQUEST, "malformed_body", detail);
            problem.with_errors(errors).with_hint(HINT.to_owned())
        }
        _ => submission::refused(errors, format, text),
    }
}
