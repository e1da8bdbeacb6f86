//! The step types that there are.

mod merge;

use axum::{Json, extract::State};
use serde_json::json;

use crate::{
    api::Api,
    operation::{Operation, schema},
    route::Route,
};
use merge::Entry;

pub(super) fn routes() -> Vec<Route> {
    let operation = Operation::new("catalog", "listStepTypes", "Lists the step types, sorted by name")
        .json(
            200,
            "Every step type, with the components that serve it",
            json!({"type": "array", "items": schema("StepType")}),
        )
        .problems(&[]);
    vec![Route::get("/api/v1/catalog/steps", steps, operation)]
}

async fn steps(State(api): State<Api>) -> Json<Vec<Entry>> {
    let catalog = api.runner.catalog();
    let mut entries: Vec<_> = catalog.types.values().filter_map(merge::entry).collect();
    entries.sort_by(|a, b| a.kind().cmp(b.kind()));
    Json(entries)
}
