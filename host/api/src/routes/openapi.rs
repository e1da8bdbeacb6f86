//! `GET /api/v1/openapi.json`: OpenAPI 3.1 of the very routes that are served.

mod schemas;

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use crate::{operation::Operation, route::Route};

pub(super) fn routes() -> Vec<Route> {
    let operation = Operation::new("catalog", "showOpenApi", "This document")
        .json(200, "OpenAPI 3.1", json!({"type": "object"}))
        .problems(&[]);
    vec![Route::get("/api/v1/openapi.json", show, operation)]
}

async fn show() -> Response {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());
    ([(CONTENT_TYPE, "application/json")], TEXT.clone()).into_response()
}

/// The document, made of the table of routes.
fn document() -> Value {
    let mut paths = Map::new();
    for route in super::all() {
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert(route.method.to_owned(), route.operation());
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Stepcell",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Runs workflows in which every step is a WebAssembly component.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": schemas::all()},
    })
}

#[cfg(test)]
mod tests;
