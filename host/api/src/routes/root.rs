//! `GET /`: what this is, for whoever finds the port.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header::ACCEPT};
use serde_json::json;

use crate::{operation::Operation, route::Route};

const ABOUT: &str = "runs workflows in which every step is a WebAssembly component";

pub(super) fn routes() -> Vec<Route> {
    let operation = Operation::new("health", "showAbout", "What this is and where to go on")
        .answer(
            200,
            "Name, version and links; text for browsers",
            &[("application/json", json!({"type": "object"})), ("text/plain", json!({"type": "string"}))],
        )
        .problems(&[]);
    vec![Route::get("/", root, operation)]
}

async fn root(headers: HeaderMap) -> Response {
    if prefers_text(&headers) { text().into_response() } else { about().into_response() }
}

fn about() -> impl IntoResponse {
    Json(json!({
        "name": "stepcell",
        "version": env!("CARGO_PKG_VERSION"),
        "description": ABOUT,
        "links": {
            "openapi": "/api/v1/openapi.json",
            "catalog": "/api/v1/catalog/steps",
            "plugins": "/api/v1/plugins",
            "runs": "/api/v1/runs",
            "health": "/healthz",
            "ready": "/readyz",
            "metrics": "/metrics",
        },
    }))
}

fn text() -> String {
    format!(
        "stepcell {}: {ABOUT}\n\n\
         POST /api/v1/runs            start a run\n\
         GET  /api/v1/runs            the runs\n\
         POST /api/v1/events/NAME     send an event to runs that wait for it\n\
         GET  /api/v1/catalog/steps   the step types\n\
         GET  /api/v1/plugins         the files that provide them\n\
         GET  /api/v1/openapi.json    every call\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Whether text comes first among what the client lists; programs that list nothing get JSON.
fn prefers_text(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut types = accepted.split(',').filter_map(|part| part.split(';').next()).map(str::trim);
    types.next().is_some_and(|kind| matches!(kind, "text/plain" | "text/html" | "text/*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, text: bool) {
        let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
        assert_eq!(prefers_text(&headers), text, "{accept}");
    }

    #[test]
    fn browsers_get_text_and_programs_json() {
        check("text/html,application/xhtml+xml,*/*;q=0.8", true);
        check("text/plain", true);
        check("application/json, text/plain, */*", false);
        check("*/*", false);
        assert!(!prefers_text(&HeaderMap::new()));
    }
}
