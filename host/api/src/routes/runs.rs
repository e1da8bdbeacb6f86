//! Runs that there are: show, list, log, cancel, delete.

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::json;
use stepcell_core::{RunId, run::RunStatus};
use stepcell_engine::RunView;
use stepcell_store::{Query as StoreQuery, RunSummary};

use crate::{
    api::Api,
    body,
    limits::{REASON_BYTES_MAX, RUNS_PAGE, RUNS_PAGE_MAX, SMALL_BODY_BYTES_MAX},
    operation::{Operation, schema},
    problem::{Problem, Result},
    query::{self, Query, Run, Segments, Whole},
    route::Route,
};

pub(super) fn routes() -> Vec<Route> {
    let text = json!({"type": "string"});
    let list_runs = Operation::new("runs", "listRuns", "Lists runs, newest first")
        .query("status", schema("RunStatus"), "Only runs with this status")
        .query("flow", text.clone(), "Only runs of the flow with this name")
        .query("limit", json!({"type": "integer", "minimum": 1, "maximum": RUNS_PAGE_MAX}), "Runs on a page")
        .query("cursor", text.clone(), "`next` of the page before")
        .json(200, "One page; `next` is null on the last one", schema("RunPage"))
        .problems(&[400]);
    let show_run = Operation::new("runs", "showRun", "Shows a run with all its steps")
        .json(200, "The run", schema("Run"))
        .problems(&[404]);
    let cancel_run = Operation::new("runs", "cancelRun", "Stops a run and everything that it has under way")
        .body(false, &[("application/json", schema("Cancel"))])
        .json(200, "The run, which has ended", schema("Run"))
        .problems(&[400, 404, 409, 413, 415, 503]);
    let delete_run =
        Operation::new("runs", "deleteRun", "Removes a run that has ended, with its events and blobs")
            .answer(204, "The run is gone; a blob goes with the last run that refers to it", &[])
            .problems(&[404, 409, 503]);
    let step_log = Operation::new("runs", "showStepLog", "What a step printed, all attempts in order")
        .answer(200, "The text", &[("text/plain", text)])
        .problems(&[404]);
    vec![
        Route::get("/api/v1/runs", list, list_runs),
        Route::get("/api/v1/runs/{run_id}", show, show_run),
        Route::delete("/api/v1/runs/{run_id}", delete, delete_run),
        Route::post("/api/v1/runs/{run_id}/cancel", cancel, cancel_run),
        Route::get("/api/v1/runs/{run_id}/steps/{step}/log", log, step_log),
    ]
}

async fn show(State(api): State<Api>, Run(run): Run) -> Result<Json<RunView>> {
    Ok(Json(api.engine.show(run).await?))
}

async fn delete(State(api): State<Api>, Run(run): Run) -> Result<StatusCode> {
    api.engine.remove(run).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    status: Option<RunStatus>,
    flow: Option<String>,
    limit: Option<Whole>,
    cursor: Option<Cursor>,
}

/// Where a page begins. Clients are told that it is opaque, so that it may become something else.
struct Cursor(RunId);

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| D::Error::custom("not the `next` of a page"))
    }
}

#[derive(Serialize)]
struct Page {
    runs: Vec<Entry>,
    next: Option<RunId>,
}

#[derive(Serialize)]
struct Entry {
    run_id: RunId,
    #[serde(flatten)]
    summary: RunSummary,
}

async fn list(State(api): State<Api>, Query(filter): Query<Filter>) -> Result<Json<Page>> {
    let size = query::page(filter.limit, RUNS_PAGE, RUNS_PAGE_MAX)?;
    let query = StoreQuery {
        status: filter.status,
        flow: filter.flow,
        before: filter.cursor.map(|Cursor(run)| run),
        // One more than the page holds tells whether there is another page.
        limit: size + 1,
    };
    let mut found = api.engine.list(query).await?;
    let more = found.len() > size;
    found.truncate(size);
    let next = found.last().map(|(run_id, _)| *run_id).filter(|_| more);
    let runs = found.into_iter().map(|(run_id, summary)| Entry { run_id, summary }).collect();
    Ok(Json(Page { runs, next }))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Cancel {
    reason: Option<String>,
}

async fn cancel(
    State(api): State<Api>,
    Run(run): Run,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RunView>> {
    let reason = reason(&headers, body).await?;
    tracing::info!(run_id = %run, "cancel asked for");
    Ok(Json(api.engine.cancel(run, reason).await?))
}

/// Reads `{"reason"}` from a body that may be left out, content type and all.
async fn reason(headers: &HeaderMap, body: Body) -> Result<Option<String>> {
    let body = body::read(body, headers, SMALL_BODY_BYTES_MAX).await?;
    if body.is_empty() {
        return Ok(None);
    }
    body::expect_json(headers)?;
    let malformed = |detail| Problem::new(StatusCode::BAD_REQUEST, "malformed_body", detail);
    let Cancel { reason } = serde_json::from_slice(&body).map_err(|error| {
        malformed(format!("the body is not what this call takes: {error}"))
            .with_hint(r#"send `{"reason": "text"}`, or no body"#.to_owned())
    })?;
    match reason {
        Some(reason) if reason.len() > REASON_BYTES_MAX => Err(malformed(format!(
            "`reason` has {} bytes, over the limit of {REASON_BYTES_MAX}",
            reason.len()
        ))),
        reason => Ok(reason),
    }
}

#[derive(Deserialize)]
struct Logged {
    step: String,
}

async fn log(
    State(api): State<Api>,
    Run(run): Run,
    Segments(Logged { step }): Segments<Logged>,
) -> Result<Response> {
    let text = api.engine.log(run, &step).await?;
    // What a step prints may look like anything; a browser is not to guess.
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((headers, text).into_response())
}
