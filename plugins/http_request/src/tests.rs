use std::{cell::RefCell, rc::Rc};

use stepcell::{
    http::{Request, Response, mock},
    testing,
};

use super::*;

/// Runs the step against `response` and gives its result and the request that it sent.
fn call(config: Value, response: Response) -> (Result<Value, Failure>, Option<Request>) {
    let sent = Rc::new(RefCell::new(None));
    let seen = Rc::clone(&sent);
    let _mock = mock(move |request| {
        seen.replace(Some(request.clone()));
        Ok(response.clone())
    });
    (testing::execute::<http_request>(config), sent.take())
}

fn sent(config: Value) -> Request {
    let (result, request) = call(config, Response::new(200));
    result.unwrap();
    request.unwrap()
}

fn answered(response: Response) -> Result<Value, Failure> {
    call(json!({ "url": "https://h/" }), response).0
}

#[test]
fn get_is_the_default_and_carries_no_key() {
    let request = sent(json!({ "url": "https://h/" }));
    assert_eq!((request.method(), request.url()), ("GET", "https://h/"));
    assert_eq!(request.header_value("idempotency-key"), None);
    assert_eq!(request.body(), b"");
}

#[test]
fn what_changes_something_carries_the_idempotency_key() {
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let request = sent(json!({ "method": method, "url": "https://h/" }));
        assert_eq!((request.method(), request.header_value("Idempotency-Key")), (method, Some("key")));
    }
    let own =
        sent(json!({ "method": "POST", "url": "https://h/", "headers": { "idempotency-key": "mine" } }));
    assert_eq!(own.header_value("Idempotency-Key"), Some("mine"));
}

#[test]
fn objects_are_sent_as_json_and_strings_as_text() {
    let object = sent(json!({ "method": "POST", "url": "https://h/", "body": { "a": [1] } }));
    assert_eq!(object.header_value("content-type"), Some("application/json"));
    assert_eq!(object.body(), br#"{"a":[1]}"#);
    let text = sent(json!({ "method": "POST", "url": "https://h/", "body": "a\n\"b\"" }));
    assert_eq!(text.header_value("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(text.body(), b"a\n\"b\"");
    assert_eq!(sent(json!({ "method": "POST", "url": "https://h/", "body": null })).body(), b"");
}

#[test]
fn a_given_content_type_wins() {
    let headers = json!({ "Content-Type": "text/csv", "X-Count": 3, "X-On": true });
    let request = sent(json!({ "method": "POST", "url": "https://h/", "body": "a,b", "headers": headers }));
    assert_eq!(request.header_value("content-type"), Some("text/csv"));
    assert_eq!(request.header_value("x-count"), Some("3"));
    assert_eq!(request.header_value("x-on"), Some("true"));
}

#[test]
fn params_keep_their_order_and_lists_repeat() {
    let params = json!({ "z": "a b", "a": [1, true], "gone": null });
    assert_eq!(sent(json!({ "url": "https://h/p", "params": params })).url(), "https://h/p?z=a+b&a=1&a=true");
}

#[test]
fn a_param_that_is_an_object_is_the_configs_fault() {
    let (result, request) = call(json!({ "url": "https://h/", "params": { "a": {} } }), Response::new(200));
    let failure = result.unwrap_err();
    assert_eq!(failure.fault, Fault::Config);
    assert!(failure.message.starts_with("`config.params.a`"), "{}", failure.message);
    assert!(request.is_none());
}

#[test]
fn a_missing_url_or_an_unknown_method_is_the_configs_fault() {
    for config in [json!({}), json!({ "url": "https://h/", "method": "BREW" })] {
        assert_eq!(call(config, Response::new(200)).0.unwrap_err().fault, Fault::Config);
    }
}

#[test]
fn json_is_parsed() {
    let output = answered(Response::new(201).with_json(&json!({ "id": 7, "big": 1.5 }))).unwrap();
    assert_eq!(output["status_code"], 201);
    assert_eq!(output["body"], json!({ "id": 7, "big": 1.5 }));
    assert_eq!(output["headers"], json!({ "content-type": "application/json" }));
    assert_eq!(output.get("encoding"), None);
}

#[test]
fn what_is_no_json_is_text() {
    let html =
        answered(Response::new(200).with_header("content-type", "text/html").with_body("<p>1")).unwrap();
    assert_eq!(html["body"], "<p>1");
    let plain =
        answered(Response::new(200).with_header("content-type", "text/plain").with_body("1")).unwrap();
    assert_eq!(plain["body"], "1");
    for broken in ["{\"a\":", "{} x", "\"\\ud800\"", ""] {
        let response = Response::new(200).with_header("content-type", "application/json").with_body(broken);
        assert_eq!(answered(response).unwrap()["body"], broken);
    }
}

#[test]
fn bytes_come_as_base64_and_say_so() {
    let output = answered(Response::new(200).with_body([0xff, 0x00])).unwrap();
    assert_eq!((&output["body"], &output["encoding"]), (&json!("/wA="), &json!("base64")));
}

#[test]
fn repeated_headers_are_joined() {
    let response = Response::new(200)
        .with_header("Vary", "a")
        .with_header("vary", "b")
        .with_header("set-cookie", "a=1, b")
        .with_header("set-cookie", "c=2");
    let headers = json!({ "vary": "a, b", "set-cookie": "a=1, b\nc=2" });
    assert_eq!(answered(response).unwrap()["headers"], headers);
}

#[test]
fn an_error_status_fails_with_its_code() {
    let failure = answered(Response::new(404).with_json(&json!({ "error": "gone" }))).unwrap_err();
    assert_eq!(failure.code.as_deref(), Some("http_404"));
    assert_eq!(failure.message, "`GET https://h/` answered 404 Not Found");
    assert_eq!(*failure.details.unwrap(), json!({ "status_code": 404, "body": { "error": "gone" } }));
    assert!(!failure.retryable);
}

#[test]
fn a_busy_server_is_asked_again_later() {
    let failure = answered(Response::new(503).with_header("retry-after", "3")).unwrap_err();
    assert!(failure.retryable);
    assert_eq!(failure.retry_after, Some(Duration::from_secs(3)));
}

#[test]
fn a_response_that_is_no_error_succeeds() {
    assert_eq!(answered(Response::new(304)).unwrap()["status_code"], 304);
}

#[test]
fn large_outputs_keep_status_and_body() {
    assert_eq!(testing::describe::<http_request>()["context_fields"], json!(["status_code", "body"]));
    assert_eq!(testing::describe::<http_request>()["context"], "none");
}
