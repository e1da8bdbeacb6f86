//! `POST /runs`: the hot path.

mod many;

use axum::{
    extract::{Request, State},
    response::Response,
};
use serde_json::json;
use stepcell_engine::Submit;

use crate::{
    api::Api,
    body::{self, Written},
    limits::RUN_BODY_BYTES_MAX,
    operation::{Operation, schema},
    problem::Result,
    query::{Query, Wait},
    route::Route,
    started::{self, Started},
    submission::{self, Asked},
};

pub(super) fn routes() -> Vec<Route> {
    let yaml = json!({"description": "The same object as in JSON, or a bare flow", "type": "object"});
    let lines = json!({
        "description": "A submission on each line; one without `flow` goes with the flow of the line before",
        "type": "string",
    });
    let operation = Operation::new(
        "runs",
        "submitRun",
        "Starts a run of a flow, or one for each of many inputs",
    )
    .wait()
    .header("Idempotency-Key", json!({"type": "string"}), "The same as `idempotency_key` in the body")
    .body(
        true,
        &[
            ("application/json", schema("Submission")),
            ("application/yaml", yaml),
            ("application/jsonl", lines.clone()),
            ("application/x-ndjson", lines.clone()),
            ("application/x-jsonlines", lines),
        ],
    )
    .json(
        202,
        "The run is on the disk and goes on, `Location` is its address; of `inputs` and lines, all runs are",
        json!({"anyOf": [schema("Accepted"), schema("AcceptedRuns")]}),
    )
    .json(200, "With `wait`: the run has ended", schema("Run"))
    .problems(&[400, 408, 409, 413, 415, 422, 429, 503, 507]);
    vec![Route::post("/api/v1/runs", submit, operation)]
}

async fn submit(State(api): State<Api>, Query(wait): Query<Wait>, request: Request) -> Result<Response> {
    let (head, body) = request.into_parts();
    let Written::Whole(format) = body::written(&head.headers)? else {
        return many::lines(&api, &wait, &head.headers, body).await;
    };
    let key = submission::key_of(&head.headers)?;
    let body = body::read(body, &head.headers, RUN_BODY_BYTES_MAX).await?;
    let engine = api.engine.clone();
    match submission::parsed(body, move |text| submission::whole(&engine, text, format, key)).await? {
        Asked::One(submit) => one(&api, &wait, submit).await,
        Asked::Many { plan, inputs, idempotency_key } => {
            many::inputs(&api, &wait, plan, inputs, idempotency_key).await
        }
    }
}

async fn one(api: &Api, wait: &Wait, submit: Submit) -> Result<Response> {
    let Some(at_most) = wait.asked() else {
        let keyed = submit.idempotency_key.is_some();
        let run = api.engine.submit(submit).await?;
        return Ok(started::accepted(Started::new(&api.engine, run, keyed).await));
    };
    let ended = started::waited(api, at_most, |at_most| api.engine.submit_and_wait(submit, at_most));
    Ok(started::ended(&ended.await?))
}
