//! A run's events: a page of JSON, or a live stream.

use axum::{
    Json,
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event as Frame, KeepAlive, Sse},
    },
};
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode, header::ACCEPT};
use serde::{Deserialize, Serialize};
use serde_json::json;
use stepcell_core::{Event, EventKind, RunId};

use crate::{
    api::Api,
    limits::{EVENTS_PAGE, EVENTS_PAGE_MAX, STREAM_KEEP_ALIVE, STREAMS_MAX},
    operation::{Operation, schema},
    problem::{Problem, Result},
    query::{self, Query, Run, Whole},
    route::Route,
};

pub(super) fn routes() -> Vec<Route> {
    let number = json!({"type": "integer", "minimum": 0});
    let operation =
        Operation::new("runs", "listEvents", "What happened to a run, as a page or as a live stream")
            .query("after", number.clone(), "Only events past this `seq`")
            .query(
                "limit",
                json!({"type": "integer", "minimum": 1, "maximum": EVENTS_PAGE_MAX}),
                "Events on a page",
            )
            .header("Last-Event-ID", number, "Of a stream: goes on after this `seq`; wins over `after`")
            .answer(
                200,
                "A page, `next` being the `after` of the next call, null once nothing can follow; or, for \
             `Accept: text/event-stream`, a stream that ends after the run's last event",
                &[("application/json", schema("EventPage")), ("text/event-stream", schema("Event"))],
            )
            .answer(204, "Of a stream: the run has ended and its last event is known", &[])
            .problems(&[400, 404, 503]);
    vec![Route::get("/api/v1/runs/{run_id}/events", events, operation)]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    after: Option<Whole>,
    limit: Option<Whole>,
}

async fn events(
    State(api): State<Api>,
    Run(run): Run,
    Query(range): Query<Range>,
    headers: HeaderMap,
) -> Result<Response> {
    let after = range.after.map_or(0, |Whole(after)| after);
    if wants_stream(&headers) {
        let after = last_event_id(&headers)?.unwrap_or(after);
        stream(&api, run, after).await
    } else {
        let limit = query::page(range.limit, EVENTS_PAGE, EVENTS_PAGE_MAX)?;
        page(&api, run, after, limit).await
    }
}

/// An event as clients see it: the store knows the run from the key, a client from the event.
#[derive(Serialize)]
struct Shown<'a> {
    run_id: RunId,
    #[serde(flatten)]
    event: &'a Event,
}

#[derive(Serialize)]
struct Page<'a> {
    events: Vec<Shown<'a>>,
    next: Option<u64>,
}

async fn page(api: &Api, run: RunId, after: u64, limit: usize) -> Result<Response> {
    let events = api.engine.events(run, after, limit).await?;
    let next = match events.last() {
        Some(last) if ends_run(last) => None,
        Some(last) => Some(last.seq),
        None if api.engine.show(run).await?.is_final() => None,
        None => Some(after),
    };
    let events = events.iter().map(|event| Shown { run_id: run, event }).collect();
    Ok(Json(Page { events, next }).into_response())
}

async fn stream(api: &Api, run: RunId, after: u64) -> Result<Response> {
    let known = api.engine.events(run, after, 1).await?;
    if known.is_empty() && api.engine.show(run).await?.is_final() {
        // Browsers take up a stream that has ended again and again, unless they get this status.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let Ok(place) = api.streams.clone().try_acquire_owned() else {
        let detail = format!("{STREAMS_MAX} event streams are open, as many as this host serves at once");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", detail)
            .with_hint("close some of them, or read the events in pages with `?after=`".to_owned()));
    };
    let closing = api.closing.clone().cancelled_owned();
    let events = api.engine.follow(run, after).take_until(closing);
    let frames = events.map(move |event| {
        // The place is given back with the stream.
        let _ = &place;
        event.map_err(|error| stream_broke(run, &error)).and_then(|event| frame(run, &event))
    });
    Ok(Sse::new(frames).keep_alive(KeepAlive::new().interval(STREAM_KEEP_ALIVE)).into_response())
}

/// A stream that can not go on is cut off without its end, so that the client takes it up again.
fn stream_broke(run: RunId, error: &stepcell_engine::Error) -> axum::Error {
    tracing::error!(run_id = %run, error = %error, "event stream broke");
    axum::Error::new(std::io::Error::other("the event stream broke"))
}

fn frame(run: RunId, event: &Event) -> std::result::Result<Frame, axum::Error> {
    let data = one_line(serde_json::to_string(&Shown { run_id: run, event }).map_err(axum::Error::new)?);
    Ok(Frame::default().id(event.seq.to_string()).event(event.kind.name()).data(data))
}

/// JSON text without line breaks. A step's output is kept as the step wrote it; within JSON a line break can only
/// stand between tokens, so that a space says the same, and simple clients read one `data` line for each event.
fn one_line(json: String) -> String {
    if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ") } else { json }
}

fn ends_run(event: &Event) -> bool {
    use EventKind::{RunCancelled, RunFailed, RunSucceeded};
    matches!(event.kind, RunSucceeded(_) | RunFailed(_) | RunCancelled(_))
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(',')).filter_map(|part| part.split(';').next());
    types.any(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Where a client that lost its stream left off.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>> {
    let Some(text) = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?")) else {
        return Ok(None);
    };
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        let detail = format!("`Last-Event-ID` is not the `id` of an event: `{shown}`");
        Problem::new(StatusCode::BAD_REQUEST, "invalid_last_event_id", detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use stepcell_core::{
        Json as Text, StepId,
        event::{Payload, Receipt, StepSucceeded},
    };

    fn succeeded(output: &str) -> Event {
        Event {
            seq: 7,
            at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            step: Some(StepId::new("a").unwrap()),
            kind: EventKind::StepSucceeded(StepSucceeded {
                output: Payload::Value(Text::parse(output.to_owned()).unwrap()),
                receipt: Receipt::default(),
                kept: None,
            }),
        }
    }

    #[tokio::test]
    async fn frames_have_an_id_a_type_and_one_line_of_data() {
        let frame = frame(RunId::from_bytes([1; 16]), &succeeded("{\n  \"x\": \"a\\nb\"\r\n}"));
        let body = Sse::new(futures_util::stream::iter([frame])).into_response().into_body();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        insta::assert_snapshot!(str::from_utf8(&bytes).unwrap());
    }

    #[test]
    fn events_name_their_run() {
        let shown = Shown { run_id: RunId::from_bytes([1; 16]), event: &succeeded("1.0") };
        insta::assert_snapshot!(serde_json::to_string(&shown).unwrap());
    }

    #[track_caller]
    fn check(accept: &str, stream: bool) {
        let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
        assert_eq!(wants_stream(&headers), stream, "{accept}");
    }

    #[test]
    fn a_stream_is_asked_for_by_name() {
        check("text/event-stream", true);
        check("application/json, Text/Event-Stream;q=0.9", true);
        check("*/*", false);
        check("application/json", false);
    }

    #[test]
    fn streams_go_on_after_the_last_event_seen() {
        let seen = |text: &str| {
            last_event_id(&HeaderMap::from_iter([("last-event-id".parse().unwrap(), text.parse().unwrap())]))
        };
        assert_eq!(seen("12").ok(), Some(Some(12)));
        assert_eq!(seen("").ok(), Some(None));
        assert!(seen("x").is_err() && seen("-1").is_err());
        assert_eq!(last_event_id(&HeaderMap::new()).ok(), Some(None));
    }
}
