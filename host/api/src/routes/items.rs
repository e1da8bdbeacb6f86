//! The items of a fan-out, in pages.

use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::json;
use stepcell_engine::ItemsPage;

use crate::{
    api::Api,
    limits::{ITEMS_PAGE, ITEMS_PAGE_MAX},
    operation::{Operation, schema},
    problem::Result,
    query::{self, Query, Run, Segments, Whole},
    route::Route,
};

pub(super) fn routes() -> Vec<Route> {
    let operation = Operation::new("runs", "listItems", "Lists the items of a fan-out, in order")
        .query(
            "limit",
            json!({"type": "integer", "minimum": 1, "maximum": ITEMS_PAGE_MAX}),
            "Items on a page",
        )
        .query("cursor", json!({"type": "integer", "minimum": 0}), "`next` of the page before")
        .json(200, "One page; `next` is null on the last one", schema("ItemPage"))
        .problems(&[400, 404]);
    vec![Route::get("/api/v1/runs/{run_id}/steps/{step}/items", items, operation)]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    limit: Option<Whole>,
    cursor: Option<Whole>,
}

#[derive(Deserialize)]
struct Of {
    step: String,
}

async fn items(
    State(api): State<Api>,
    Run(run): Run,
    Segments(Of { step }): Segments<Of>,
    Query(Range { limit, cursor }): Query<Range>,
) -> Result<Json<ItemsPage>> {
    let size = query::page(limit, ITEMS_PAGE, ITEMS_PAGE_MAX)?;
    let after = cursor.map(|Whole(after)| after);
    Ok(Json(api.engine.items(run, &step, after, size).await?))
}
