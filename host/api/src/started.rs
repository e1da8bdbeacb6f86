//! Answers to calls that start a run.

use std::{pin::pin, time::Duration};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header::LOCATION};
use serde::Serialize;
use stepcell_core::{RunId, run::RunStatus};
use stepcell_engine::{Engine, Error, RunView};

use crate::{
    api::Api,
    limits::{LAST_WORD_TIME, WAIT_MAX},
    problem::{Problem, Result},
};

/// A run that is on the disk.
#[derive(Serialize)]
pub(crate) struct Started {
    run_id: RunId,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<RunStatus>,
}

impl Started {
    pub(crate) fn of(view: &RunView) -> Self {
        Self { run_id: view.run_id, status: Some(view.status) }
    }

    /// What a submission has come to. Under a key it may have found a run that is further on; any other run has just
    /// been written as queued.
    pub(crate) async fn new(engine: &Engine, run_id: RunId, keyed: bool) -> Self {
        if !keyed {
            return Self { run_id, status: Some(RunStatus::Queued) };
        }
        let status = engine.status(run_id).await.unwrap_or_else(|error| {
            // The run is there all the same, and its id is what counts.
            tracing::warn!(%run_id, %error, "the status of a run could not be read");
            None
        });
        Self { run_id, status }
    }
}

/// The answer to who does not wait for the end.
pub(crate) fn accepted(started: Started) -> Response {
    (StatusCode::ACCEPTED, location(started.run_id), Json(started)).into_response()
}

/// The answer to who has waited: the run where it has ended.
pub(crate) fn ended(view: &RunView) -> Response {
    if view.is_final() {
        (StatusCode::OK, location(view.run_id), Json(view)).into_response()
    } else {
        accepted(Started::of(view))
    }
}

/// Waits for a run, unless the host stops. `wait` makes the future of it, with the time that is left to it.
pub(crate) async fn waited<F>(api: &Api, asked: Duration, wait: impl FnOnce(Duration) -> F) -> Result<RunView>
where
    F: Future<Output = std::result::Result<RunView, Error>>,
{
    let mut view = pin!(wait(asked.min(WAIT_MAX)));
    tokio::select! {
        biased;
        view = &mut view => return Ok(view?),
        () = api.closing.cancelled() => {}
    }
    // An engine that has stopped lets its waits go, with what they have come to.
    match tokio::time::timeout(LAST_WORD_TIME, view).await {
        Ok(view) => Ok(view?),
        Err(_) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "the host is stopping; the run goes on when it starts again, if it was stored",
        )
        .with_hint("`GET /api/v1/runs` lists the runs".to_owned())),
    }
}

fn location(run: RunId) -> Option<[(HeaderName, HeaderValue); 1]> {
    let address = HeaderValue::try_from(format!("/api/v1/runs/{run}")).ok()?;
    Some([(LOCATION, address)])
}
