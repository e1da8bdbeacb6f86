use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, UNIX_EPOCH},
};

use stepcell::{
    clock,
    http::{Request, Response, mock},
    secrets::{self, Call},
    testing,
};

use super::*;

/// Runs the step against `response` and gives its result and the request that it sent.
fn call(config: Value, response: Result<Response, Failure>) -> (Result<Value, Failure>, Option<Request>) {
    let sent = Rc::new(RefCell::new(None));
    let seen = Rc::clone(&sent);
    let _mock = mock(move |request| {
        assert!(seen.replace(Some(request.clone())).is_none(), "a step sends one request");
        response.clone()
    });
    (testing::execute::<webhook>(config), sent.take())
}

fn sent(config: Value) -> Request {
    let (result, request) = call(config, Ok(Response::new(204)));
    result.unwrap();
    request.unwrap()
}

fn answered(response: Response) -> Result<Value, Failure> {
    call(json!({ "url": "https://h/" }), Ok(response)).0
}

fn headers(request: &Request) -> Vec<(&str, &str)> {
    request.headers().iter().map(|(name, value)| (&**name, &**value)).collect()
}

/// Lets it be 1700000000, and signs everything with `[0xff; 32]`.
fn signing(expected_name: &'static str, expected: &'static [u8]) -> (clock::Mock, secrets::Mock) {
    let time = clock::mock(UNIX_EPOCH + Duration::from_millis(1_700_000_000_900));
    let key = secrets::mock(move |call| {
        let (name, bytes) = (expected_name.to_owned(), expected.to_vec());
        assert_eq!(*call, Call::HmacSha256 { name, bytes });
        Ok(vec![0xff; 32])
    });
    (time, key)
}

#[test]
fn json_is_posted_with_the_idempotency_key() {
    let request = sent(json!({ "url": "https://h/in", "payload": { "b": 1, "a": [true] } }));
    assert_eq!((request.method(), request.url()), ("POST", "https://h/in"));
    assert_eq!(request.body(), br#"{"b":1,"a":[true]}"#);
    assert_eq!(headers(&request), [("Idempotency-Key", "key"), ("content-type", "application/json")]);
}

#[test]
fn without_a_payload_an_empty_object_is_sent() {
    assert_eq!(sent(json!({ "url": "https://h/" })).body(), b"{}");
    assert_eq!(sent(json!({ "url": "https://h/", "payload": "text" })).body(), b"\"text\"");
}

#[test]
fn own_headers_win() {
    let own =
        json!({ "X-Count": 3, "Content-Type": "application/cloudevents+json", "idempotency-key": "mine" });
    let request = sent(json!({ "url": "https://h/", "headers": own }));
    let expected =
        [("Content-Type", "application/cloudevents+json"), ("X-Count", "3"), ("idempotency-key", "mine")];
    assert_eq!(headers(&request), expected);
}

#[test]
fn it_waits_for_30_seconds_unless_told_otherwise_and_follows_nothing() {
    let request = sent(json!({ "url": "https://h/" }));
    assert_eq!((request.timeout_value(), request.redirects_value()), (Some(Duration::from_secs(30)), 0));
    let request = sent(json!({ "url": "https://h/", "timeout": "1m30s" }));
    assert_eq!(request.timeout_value(), Some(Duration::from_secs(90)));
}

#[test]
fn a_named_secret_signs_id_time_and_body() {
    let _mocks = signing("hook", br#"key.1700000000.{"a":1}"#);
    let request = sent(json!({ "url": "https://h/", "payload": { "a": 1 }, "secret": "hook" }));
    assert_eq!(request.header_value("webhook-id"), Some("key"));
    assert_eq!(request.header_value("webhook-timestamp"), Some("1700000000"));
    let signature = "v1,//////////////////////////////////////////8=";
    assert_eq!(request.header_value("webhook-signature"), Some(signature));
    assert_eq!(request.body(), br#"{"a":1}"#);
}

#[test]
fn without_a_secret_nothing_is_signed() {
    let request = sent(json!({ "url": "https://h/" }));
    assert!(request.headers().iter().all(|(name, _)| !signature::is_own(name)));
}

#[test]
fn a_header_of_the_signature_can_not_be_given_beside_it() {
    let config = json!({ "url": "https://h/", "secret": "hook", "headers": { "Webhook-Id": "1" } });
    let (result, request) = call(config, Ok(Response::new(200)));
    assert_eq!(result.unwrap_err().fault, Fault::Config);
    assert!(request.is_none());
    let unsigned = sent(json!({ "url": "https://h/", "headers": { "Webhook-Id": "1" } }));
    assert_eq!(unsigned.header_value("webhook-id"), Some("1"));
}

#[test]
fn a_refused_secret_sends_nothing() {
    let denied = Failure::denied("no grant of `webhook` admits the secret `hook`").code("secrets_denied");
    let refusal = denied.clone();
    let _mock = secrets::mock(move |_| Err(refusal.clone()));
    let (result, request) = call(json!({ "url": "https://h/", "secret": "hook" }), Ok(Response::new(200)));
    assert_eq!(result.unwrap_err(), denied);
    assert!(request.is_none());
}

#[test]
fn a_wrong_config_sends_nothing() {
    for config in [
        json!({}),
        json!({ "url": "https://h/", "method": "PUT" }),
        json!({ "url": "https://h/", "timeout": 30 }),
        json!({ "url": "https://h/", "timeout": "30" }),
        json!({ "url": "https://h/", "headers": { "a": [] } }),
    ] {
        let (result, request) = call(config.clone(), Ok(Response::new(200)));
        assert_eq!(result.unwrap_err().fault, Fault::Config, "{config}");
        assert!(request.is_none(), "{config}");
    }
}

#[test]
fn the_answer_is_text_and_cut() {
    let output = answered(Response::new(201).with_json(&json!({ "ok": true }))).unwrap();
    assert_eq!(output, json!({ "status_code": 201, "body": "{\"ok\":true}" }));
    let long = answered(Response::new(200).with_body("ü".repeat(5_000))).unwrap();
    assert_eq!(long["body"], "ü".repeat(1_000));
    let exact = answered(Response::new(200).with_body("😀".repeat(1_001))).unwrap();
    assert_eq!(exact["body"], "😀".repeat(1_000));
    let broken = answered(Response::new(200).with_body([b'a', 0xff])).unwrap();
    assert_eq!(broken["body"], "a\u{fffd}");
}

#[track_caller]
fn check_refusal(response: Response, code: &str, retryable: bool) -> Failure {
    let failure = answered(response).unwrap_err();
    assert_eq!((failure.code.as_deref(), failure.retryable), (Some(code), retryable));
    failure
}

#[test]
fn only_2xx_is_success() {
    for status in [301, 304, 400, 401, 404, 410, 422] {
        check_refusal(Response::new(status), &format!("http_{status}"), false);
    }
    for status in [408, 425, 429, 500, 501, 503] {
        check_refusal(Response::new(status), &format!("http_{status}"), true);
    }
}

#[test]
fn a_named_wait_is_carried_on() {
    let failure = check_refusal(Response::new(429).with_header("retry-after", "7"), "http_429", true);
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(failure.message, "`POST https://h/` answered 429 Too Many Requests");
}

#[test]
fn a_server_that_can_not_be_reached_fails_the_step_as_it_is() {
    let gone = Failure::unavailable("`h` can not be reached").code("http_unavailable");
    assert_eq!(call(json!({ "url": "https://h/" }), Err(gone.clone())).0.unwrap_err(), gone);
}

#[test]
fn the_catalog_shows_it_as_an_integration() {
    let entry = testing::describe::<webhook>();
    assert_eq!((&entry["label"], &entry["icon"]), (&json!("Webhook"), &json!("webhook")));
    assert_eq!((&entry["category"], &entry["context"]), (&json!("integrations"), &json!("none")));
}

#[test]
fn the_examples_hold() {
    let _mocks = signing("orders_hook", b"key.1700000000.{}");
    let _mock = mock(|_| Ok(Response::new(200).with_body("ok")));
    testing::check_examples::<webhook>();
}
