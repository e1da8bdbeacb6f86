//! What runs wait for, from outside: an answer to an approval, an event.

use std::time::Duration;

use axum::{Json, body::Body, extract::State};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use stepcell_core::{Json as Payload, parse::units};
use stepcell_engine::{Delivered, Incoming, Resume, RunView};

use crate::{
    api::Api,
    body,
    limits::{EVENT_NAME_BYTES_MAX, SIGNAL_BODY_BYTES_MAX},
    operation::{Operation, schema},
    problem::{Problem, Result},
    query::{Run, Segments},
    route::Route,
};

const RESUME_HINT: &str =
    r#"send `{"step": "id", "payload": …, "approved": true, "by": "name"}`, each key where it is needed"#;
const ENVELOPE_HINT: &str =
    r#"send the payload itself, or `{"payload": …, "id": "text", "by": "name", "keep": "1h"}`"#;
/// What an object may have beside `payload` and still be an envelope.
const ENVELOPE_KEYS: [&str; 4] = ["payload", "id", "by", "keep"];

pub(super) fn routes() -> Vec<Route> {
    let resume_run = Operation::new("runs", "resumeRun", "Answers an approval that a run waits for")
        .body(false, &[("application/json", schema("Resume"))])
        .json(200, "The run, which goes on", schema("Run"))
        .problems(&[400, 404, 408, 409, 413, 415, 422, 503, 507]);
    let send_event =
        Operation::new("events", "sendEvent", "Sends an event to every run that waits for it and matches")
            .body(false, &[("application/json", schema("SentEvent"))])
            .json(200, "How many runs it woke, and how long it is kept for others", schema("Delivered"))
            .problems(&[400, 408, 413, 415, 422, 429, 503, 507]);
    vec![
        Route::post("/api/v1/runs/{run_id}/resume", resume, resume_run),
        Route::post("/api/v1/events/{name}", event, send_event),
    ]
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Answer<'a> {
    step: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    approved: Option<bool>,
    by: Option<String>,
}

async fn resume(
    State(api): State<Api>,
    Run(run): Run,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RunView>> {
    let body = read(&headers, body).await?;
    let Answer { step, payload, approved, by } =
        if body.is_empty() { Answer::default() } else { parsed(&body, RESUME_HINT)? };
    let resume = Resume { step, payload: checked(payload)?, approved, by };
    tracing::info!(run_id = %run, step = resume.step, by = resume.by, "resume asked for");
    Ok(Json(api.engine.resume(run, resume).await?))
}

async fn event(
    State(api): State<Api>,
    Segments(name): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Delivered>> {
    check_name(&name)?;
    let incoming = incoming(&read(&headers, body).await?)?;
    let delivered = api.engine.send_event(&name, incoming).await?;
    tracing::info!(event = name, id = delivered.id, woken = delivered.woken, "event sent");
    Ok(Json(delivered))
}

/// Reads a body in JSON, which may be left out, content type and all.
async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes> {
    let body = body::read(body, headers, SIGNAL_BODY_BYTES_MAX).await?;
    if !body.is_empty() {
        body::expect_json(headers)?;
    }
    Ok(body)
}

/// A payload, or one in an envelope with what else is known of the event.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    id: Option<String>,
    by: Option<String>,
    keep: Option<String>,
}

fn incoming(body: &[u8]) -> Result<Incoming> {
    if body.is_empty() {
        return Ok(Incoming { payload: Payload::null(), id: None, by: None, keep: None });
    }
    if !is_envelope(body) {
        let payload = checked(Some(parsed(body, ENVELOPE_HINT)?))?;
        return Ok(Incoming { payload, id: None, by: None, keep: None });
    }
    let Envelope { payload, id, by, keep } = parsed(body, ENVELOPE_HINT)?;
    Ok(Incoming { payload: checked(payload)?, id, by, keep: keep.map(|text| kept(&text)).transpose()? })
}

/// Whether a body is an object that has `payload` and nothing that no envelope has.
fn is_envelope(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Keys<'a>(#[serde(borrow)] std::collections::BTreeMap<std::borrow::Cow<'a, str>, &'a RawValue>);
    serde_json::from_slice(body).is_ok_and(|Keys(keys)| {
        keys.contains_key("payload") && keys.keys().all(|key| ENVELOPE_KEYS.contains(&key.as_ref()))
    })
}

fn parsed<'a, T: Deserialize<'a>>(body: &'a [u8], hint: &str) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        malformed(format!("the body is not what this call takes: {error}")).with_hint(hint.to_owned())
    })
}

/// `null` where there is no payload. Its text is kept as it was sent.
fn checked(payload: Option<&RawValue>) -> Result<Payload> {
    let Some(payload) = payload else { return Ok(Payload::null()) };
    Payload::parse(payload.get().to_owned())
        .map_err(|error| malformed(format!("the payload can not be read: {error}")))
}

fn kept(text: &str) -> Result<Duration> {
    units::duration(text).map_err(|hint| malformed("`keep` is no time").with_hint(hint))
}

fn check_name(name: &str) -> Result<()> {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    if (1..=EVENT_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(of_name) {
        return Ok(());
    }
    let shown: String = name.chars().take(EVENT_NAME_BYTES_MAX).collect();
    let hint =
        format!("use 1 to {EVENT_NAME_BYTES_MAX} letters, digits, dots, colons, hyphens and underscores");
    let detail = format!("`{shown}` is no name of an event");
    Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_event_name", detail).with_hint(hint))
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_body", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, payload: &str, id: Option<&str>) {
        let incoming = incoming(body.as_bytes()).ok().unwrap();
        assert_eq!((incoming.payload.text(), incoming.id.as_deref()), (payload, id), "{body}");
    }

    #[test]
    fn an_envelope_has_a_payload_and_nothing_unknown() {
        check("", "null", None);
        check("17", "17", None);
        check(r#"{"a": 1.0}"#, r#"{"a": 1.0}"#, None);
        check(r#"{"payload": {"a": 1}}"#, r#"{"a": 1}"#, None);
        check(r#"{"payload": null, "id": "x"}"#, "null", Some("x"));
        check(r#"{"payload": 1, "id": "x", "other": 2}"#, r#"{"payload": 1, "id": "x", "other": 2}"#, None);
        check(r#"{"id": "x", "by": "y"}"#, r#"{"id": "x", "by": "y"}"#, None);
        check(r#"["payload"]"#, r#"["payload"]"#, None);
    }

    #[test]
    fn an_envelope_says_how_long_the_event_is_kept() {
        let keep = |text: &str| {
            let body = format!(r#"{{"payload": 1, "keep": "{text}", "by": "shop"}}"#);
            incoming(body.as_bytes()).ok().map(|incoming| (incoming.keep, incoming.by))
        };
        assert_eq!(keep("90s"), Some((Some(Duration::from_secs(90)), Some("shop".to_owned()))));
        assert_eq!(keep("90"), None);
    }

    #[track_caller]
    fn refused(body: &str) {
        let problem = incoming(body.as_bytes()).err().unwrap_or_else(|| panic!("accepted: {body:.60}"));
        assert_eq!(problem.to_json()["code"], "malformed_body", "{body:.60}");
    }

    #[test]
    fn a_wrong_envelope_is_no_payload() {
        refused(r#"{"payload": 1, "keep": 5}"#);
        refused(r#"{"payload": 1, "id": 7}"#);
        refused(r#"{"payload": 1, "payload": 2}"#);
        refused("{");
        refused(&"[".repeat(100_000));
        refused(&format!(r#"{{"payload": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000)));
    }

    #[test]
    fn names_of_events_are_short_and_plain() {
        for name in ["a", "order.paid", "shop:order_paid-2", &"x".repeat(EVENT_NAME_BYTES_MAX)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "a b", "a/b", "ä", "a\0", &"x".repeat(EVENT_NAME_BYTES_MAX + 1)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
