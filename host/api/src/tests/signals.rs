use super::{
    answers::{NO_RUN, check},
    *,
};
use crate::limits::{EVENT_NAME_BYTES_MAX, SIGNAL_BODY_BYTES_MAX};

const JSON: &str = "content-type: application/json";

#[tokio::test]
async fn an_event_that_nobody_waits_for_is_kept() {
    let api = api().await;
    let sent = send(&api, "POST /api/v1/events/order.paid", "").await;
    assert_eq!(sent.status, 200, "{:?}", sent.body);
    let said = sent.json();
    assert_eq!((&said["event"], &said["woken"]), (&"order.paid".into(), &0.into()));
    assert!(said["id"].is_string() && said["kept_until"].is_string(), "{said}");
}

#[tokio::test]
async fn the_same_id_is_the_same_event() {
    let api = api().await;
    let head = format!("POST /api/v1/events/order:paid-2\n{JSON}");
    let first = send(&api, &head, r#"{"payload": {"id": 17}, "id": "a", "by": "shop", "keep": "2h"}"#).await;
    let again = send(&api, &head, r#"{"payload": {"id": 17}, "id": "a", "by": "shop", "keep": "2h"}"#).await;
    assert_eq!((first.status, first.json()), (again.status, again.json()));
    assert_eq!(first.json()["id"], "a");
}

#[tokio::test]
async fn events_that_are_none_are_refused() {
    let long = "x".repeat(EVENT_NAME_BYTES_MAX + 1);
    for name in ["a%20b", "a%2Fb", "%C3%A4", &long] {
        check(&call(&format!("POST /api/v1/events/{name}"), "").await, 400, "invalid_event_name");
    }
    check(&call("POST /api/v1/events/approval", "").await, 400, "reserved_event");
    check(&call("POST /api/v1/events/a", "{}").await, 415, "unsupported_media_type");
    check(&call(&format!("POST /api/v1/events/a\n{JSON}"), "{").await, 400, "malformed_body");
    let deep = "[".repeat(100_000);
    check(&call(&format!("POST /api/v1/events/a\n{JSON}"), deep).await, 400, "malformed_body");
    let large = format!("\"{}\"", "x".repeat(SIGNAL_BODY_BYTES_MAX));
    check(&call(&format!("POST /api/v1/events/a\n{JSON}"), large).await, 413, "body_too_large");
    let id = format!(r#"{{"payload": 1, "id": "{}"}}"#, "x".repeat(10_000));
    check(&call(&format!("POST /api/v1/events/a\n{JSON}"), id).await, 413, "event_too_large");
}

#[tokio::test]
async fn a_run_that_is_not_there_has_nothing_to_answer_or_to_try_again() {
    for (verb, path) in [("POST", "resume"), ("POST", "retry"), ("GET", "steps/a/items")] {
        check(&call(&format!("{verb} /api/v1/runs/{NO_RUN}/{path}"), "").await, 404, "no_such_run");
        check(&call(&format!("{verb} /api/v1/runs/nope/{path}"), "").await, 404, "no_such_run");
    }
}

#[tokio::test]
async fn answers_that_can_not_be_read_are_refused() {
    let head = format!("POST /api/v1/runs/{NO_RUN}/resume\n{JSON}");
    for body in ["{", "[]", r#"{"pyload": 1}"#, r#"{"approved": "yes"}"#] {
        check(&call(&head, body).await, 400, "malformed_body");
    }
    let head = format!("POST /api/v1/runs/{NO_RUN}/retry\n{JSON}");
    for body in ["[]", r#"{"from": 7}"#, r#"{"form": "a"}"#, "{"] {
        check(&call(&head, body).await, 400, "malformed_body");
    }
    check(&call(&format!("POST /api/v1/runs/{NO_RUN}/retry"), "{}").await, 415, "unsupported_media_type");
}

#[tokio::test]
async fn a_changed_flow_is_checked_at_its_place() {
    let head = format!("POST /api/v1/runs/{NO_RUN}/retry\ncontent-type: application/yaml");
    let body = "from: a\nflow:\n  name: x\n  steps:\n    - id: a\n      type: nope\n";
    let answer = call(&head, body).await;
    check(&answer, 422, "invalid_flow");
    let error = &answer.json()["errors"][0];
    assert_eq!((&error["path"], &error["line"]), (&"flow.steps[0].type".into(), &6.into()), "{error}");
}

#[tokio::test]
async fn pages_of_items_have_bounds() {
    for query in ["limit=0", "limit=1001", "cursor=x", "after=3"] {
        let head = format!("GET /api/v1/runs/{NO_RUN}/steps/a/items?{query}");
        check(&call(&head, "").await, 400, "invalid_query");
    }
}
