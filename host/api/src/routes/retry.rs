//! `POST /runs/{id}/retry`: a new run that takes over what still holds of one that has ended.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use stepcell_core::{
    parse::{Document, Format, MAX_SUBMISSION_BYTES},
    problem::{Position, Problem as FlowProblem},
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
    let retry = if body.is_empty() {
        Retry { from: None, plan: None }
    } else {
        let (engine, format) = (api.engine.clone(), body::text_format(&headers)?);
        submission::parsed(body, move |text| read(&engine, text, format)).await?
    };
    tracing::info!(run_id = %run, from = retry.from, "retry asked for");
    let view = api.engine.retry(run, retry).await?;
    let Some(at_most) = wait.asked() else {
        return Ok(started::accepted(Started { run_id: view.run_id, status: view.status }));
    };
    let ended = started::waited(&api, at_most, |at_most| api.engine.wait(view.run_id, at_most));
    Ok(started::ended(&ended.await?))
}

/// Reads `{"from", "flow"}`.
fn read(engine: &Engine, text: &str, format: Format) -> Result<Retry> {
    let document = Document::read(text, format, MAX_SUBMISSION_BYTES)
        .map_err(|errors| submission::refused(errors, format, text))?;
    let Value::Object(mut keys) = document.value() else {
        return Err(malformed("the body is no object".to_owned()));
    };
    let from = match keys.remove("from") {
        None | Some(Value::Null) => None,
        Some(Value::String(step)) => Some(step),
        Some(_) => return Err(malformed("`from` is no text".to_owned())),
    };
    let flow = keys.remove("flow").filter(|flow| !flow.is_null());
    if let Some(key) = keys.keys().next() {
        let key: String = key.chars().take(100).collect();
        return Err(malformed(format!("unknown key `{key}`")));
    }
    let plan = flow.map(|flow| plan(engine, flow, &document)).transpose()?;
    Ok(Retry { from, plan })
}

/// The plan of a flow that stands under `flow` in a document.
fn plan(engine: &Engine, flow: Value, document: &Document) -> Result<Arc<Prepared>> {
    // It is read once more as a submission of its own, in which every path is the same as in the document.
    let text = json!({ "flow": flow }).to_string();
    let read = submission::flow(engine, &text);
    read.map_err(|problem| problem.map_errors(|error| place(document, error)))
}

/// Gives a problem its place in the text that came in.
fn place(document: &Document, problem: &mut FlowProblem) {
    let Position { line, column } = match problem.path.rsplit_once('.') {
        Some((parent, key)) if problem.code == "unknown_key" => document.locate_key(parent, key),
        _ => document.locate(&problem.path),
    };
    (problem.line, problem.column) = (line, column);
}

fn malformed(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_body", detail).with_hint(HINT.to_owned())
}
