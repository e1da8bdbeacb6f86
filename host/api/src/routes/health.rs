//! Whether the host lives, whether it is ready, and its figures.

use std::fmt::Write as _;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::CONTENT_TYPE};
use serde_json::json;
use stepcell_engine::PluginState;

use crate::{
    api::Api,
    operation::Operation,
    problem::{Problem, Result},
    route::Route,
};

pub(super) fn routes() -> Vec<Route> {
    let text = json!({"type": "string"});
    let alive = Operation::new("health", "isAlive", "Whether the host answers at all")
        .answer(200, "It does", &[("text/plain", text.clone())])
        .problems(&[]);
    let ready =
        Operation::new("health", "isReady", "Whether every plugin is loaded and every open run taken up")
            .answer(200, "It is", &[("text/plain", text.clone())])
            .problems(&[503]);
    let figures = Operation::new("health", "showMetrics", "Figures in the Prometheus text format")
        .answer(200, "The figures", &[("text/plain", text)])
        .problems(&[]);
    vec![
        Route::get("/healthz", healthz, alive),
        Route::get("/readyz", readyz, ready),
        Route::get("/metrics", metrics, figures),
    ]
}

/// Never looks at the store or the plugins, so that it answers while those are busy.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(api): State<Api>) -> Result<&'static str> {
    let not_ready = |detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail);
    if !api.plugins.ready() {
        let loading: Vec<_> =
            api.plugins.list().into_iter().filter(|file| file.state == PluginState::Loading).collect();
        let first = loading.first().map_or(String::new(), |info| format!(", `{}` first", info.file));
        return Err(not_ready(format!("{} plugins are still being loaded{first}", loading.len())).with_hint(
            "the first start compiles every plugin; later ones take them from the cache".to_owned(),
        ));
    }
    if !api.engine.ready() {
        return Err(not_ready(
            "the host is stopping, or still takes up the runs that were open when it stopped".to_owned(),
        ));
    }
    Ok("ready\n")
}

async fn metrics(State(api): State<Api>) -> Response {
    let counts = api.engine.counts();
    let plugins = api.plugins.list();
    let with =
        |wanted: fn(&PluginState) -> bool| plugins.iter().filter(|info| wanted(&info.state)).count() as u64;
    let mut page = Page::default();
    let figures = [
        (
            "stepcell_runs_submitted_total",
            "counter",
            "Runs submitted since the start.",
            counts.runs_submitted,
        ),
        ("stepcell_runs_ended_total", "counter", "Runs that ended since the start.", counts.runs_ended),
        (
            "stepcell_runs_active",
            "gauge",
            "Runs that are driven now, parked ones not counted.",
            counts.runs_active,
        ),
        ("stepcell_runs_queued", "gauge", "Runs that wait for their turn.", counts.runs_queued),
        (
            "stepcell_runs_expired_total",
            "counter",
            "Finished runs that were removed since the start, as their time was over.",
            counts.runs_expired,
        ),
        (
            "stepcell_runs_woken_total",
            "counter",
            "Runs woken by events as they came, since the start.",
            counts.runs_woken,
        ),
        ("stepcell_events_taken_total", "counter", "Events taken since the start.", counts.events_taken),
        (
            "stepcell_attempts_ended_total",
            "counter",
            "Attempts at steps that ended since the start.",
            counts.attempts_ended,
        ),
        (
            "stepcell_store_syncs_total",
            "counter",
            "Times that the store waited for the disk since the start.",
            counts.syncs,
        ),
    ];
    for (name, kind, help, value) in figures {
        page.figure(name, kind, help, &[("", value)]);
    }
    page.figure(
        "stepcell_plugins",
        "gauge",
        "Files in the plugin folders.",
        &[
            (r#"{state="loading"}"#, with(|state| matches!(state, PluginState::Loading))),
            (r#"{state="ready"}"#, with(|state| matches!(state, PluginState::Ready { .. }))),
            (r#"{state="refused"}"#, with(|state| matches!(state, PluginState::Refused { .. }))),
        ],
    );
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page.0).into_response()
}

/// A page in the Prometheus text format.
#[derive(Default)]
struct Page(String);

impl Page {
    fn figure(&mut self, name: &str, kind: &str, help: &str, values: &[(&str, u64)]) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }
}
