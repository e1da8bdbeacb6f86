//! The files in the plugin folders: list, upload, remove.

use axum::{Json, body::Body, extract::State};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use stepcell_engine::PluginInfo;

use crate::{
    api::Api,
    body,
    limits::PLUGIN_BODY_BYTES_MAX,
    operation::{Operation, schema},
    problem::Result,
    query::Segments,
    route::Route,
};

pub(super) fn routes() -> Vec<Route> {
    let list_of_files = json!({"type": "array", "items": schema("Plugin")});
    let file = json!({"type": "string", "format": "binary"});
    let list_plugins = Operation::new("plugins", "listPlugins", "Lists the files in the plugin folders")
        .json(200, "Every file, the refused ones too", list_of_files.clone())
        .problems(&[]);
    let install_plugin =
        Operation::new("plugins", "installPlugin", "Puts a file into the first plugin folder")
            .body(true, &[("application/wasm", file.clone()), ("application/octet-stream", file)])
            .json(201, "The file, as it was checked", schema("Plugin"))
            .problems(&[400, 408, 413, 415, 422, 503]);
    let remove_plugin =
        Operation::new("plugins", "removePlugins", "Removes the files that serve a step type")
            .json(200, "The files that were removed; runs that pinned them go on", list_of_files)
            .problems(&[404, 503]);
    vec![
        Route::get("/api/v1/plugins", list, list_plugins),
        Route::post("/api/v1/plugins", install, install_plugin),
        Route::delete("/api/v1/plugins/{type}", remove, remove_plugin),
    ]
}

async fn list(State(api): State<Api>) -> Json<Vec<PluginInfo>> {
    Json(api.plugins.list())
}

async fn install(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<PluginInfo>)> {
    body::expect_wasm(&headers)?;
    let _turn = api.uploads.acquire().await;
    let bytes = body::read(body, &headers, PLUGIN_BODY_BYTES_MAX).await?;
    let info = api.plugins.install(bytes).await?;
    tracing::info!(plugin = %info.file, "plugin uploaded");
    Ok((StatusCode::CREATED, Json(info)))
}

async fn remove(State(api): State<Api>, Segments(kind): Segments<String>) -> Result<Json<Vec<PluginInfo>>> {
    let removed = api.plugins.remove(kind.clone()).await?;
    tracing::info!(kind, files = removed.len(), "plugins removed");
    Ok(Json(removed))
}
