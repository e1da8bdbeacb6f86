//! What each provider's errors mean for a flow.

use super::*;

#[track_caller]
fn failed(provider: &str, response: Response) -> Failure {
    let more = json!({ "prompt": "Hi", "base_url": "http://h/v1" });
    call(config(provider, more), response).0.unwrap_err()
}

#[track_caller]
fn check(provider: &str, status: u16, body: &Value, fault: Fault, code: &str, retryable: bool) {
    let failure = failed(provider, Response::new(status).with_json(body));
    assert_eq!(
        (failure.fault, failure.code.as_deref(), failure.retryable),
        (fault, Some(code), retryable),
        "{body}"
    );
    assert_eq!(failure.details.unwrap()["provider"], provider);
}

fn anthropic(kind: &str, message: &str) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_1" })
}

fn openai(kind: &str, code: Option<&str>, message: &str) -> Value {
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}

fn google(code: u16, status: &str, message: &str, details: Value) -> Value {
    json!({ "error": { "code": code, "message": message, "status": status, "details": details } })
}

#[test]
fn errors_of_anthropic() {
    let check = |status, kind, message, fault, code, retryable| {
        check("anthropic", status, &anthropic(kind, message), fault, code, retryable);
    };
    check(400, "invalid_request_error", "messages: bad", Fault::Config, "llm_invalid_request", false);
    check(401, "authentication_error", "invalid x-api-key", Fault::Denied, "llm_denied", false);
    check(403, "permission_error", "no", Fault::Denied, "llm_denied", false);
    check(404, "not_found_error", "model: m", Fault::Config, "llm_not_found", false);
    check(413, "request_too_large", "too large", Fault::Limit, "llm_context_too_long", false);
    check(429, "rate_limit_error", "slow down", Fault::Unavailable, "llm_rate_limited", true);
    check(500, "api_error", "oops", Fault::Unavailable, "llm_overloaded", true);
    check(529, "overloaded_error", "Overloaded", Fault::Unavailable, "llm_overloaded", true);
    let long = "prompt is too long: 210000 tokens > 200000 maximum";
    check(400, "invalid_request_error", long, Fault::Limit, "llm_context_too_long", false);
    let poor = "Your credit balance is too low to access the Anthropic API.";
    check(400, "invalid_request_error", poor, Fault::Limit, "llm_quota", false);
    check(402, "billing_error", "pay", Fault::Limit, "llm_quota", false);
}

#[test]
fn errors_of_openai() {
    let check = |status, kind, code, message, fault, ours, retryable| {
        check("openai", status, &openai(kind, code, message), fault, ours, retryable);
    };
    let request = "invalid_request_error";
    check(400, request, None, "bad", Fault::Config, "llm_invalid_request", false);
    check(401, request, Some("invalid_api_key"), "Incorrect key", Fault::Denied, "llm_denied", false);
    check(403, request, Some("unsupported_country"), "no", Fault::Denied, "llm_denied", false);
    check(404, request, Some("model_not_found"), "no `m`", Fault::Config, "llm_not_found", false);
    check(429, "tokens", Some("rate_limit_exceeded"), "slow", Fault::Unavailable, "llm_rate_limited", true);
    check(500, "server_error", None, "oops", Fault::Unavailable, "llm_overloaded", true);
    check(503, "server_error", None, "overloaded", Fault::Unavailable, "llm_overloaded", true);
    check(504, "server_error", None, "late", Fault::Timeout, "llm_timeout", true);
    let quota = Some("insufficient_quota");
    check(429, "insufficient_quota", quota, "You exceeded it", Fault::Limit, "llm_quota", false);
    let long = Some("context_length_exceeded");
    check(400, request, long, "maximum", Fault::Limit, "llm_context_too_long", false);
    let filtered = Some("content_filter");
    check(400, request, filtered, "filtered", Fault::Failed, "llm_content_filter", false);
}

#[test]
fn errors_of_google() {
    let check = |code, status, message, details, fault, ours, retryable| {
        check("google", code, &google(code, status, message, details), fault, ours, retryable);
    };
    let invalid = "INVALID_ARGUMENT";
    check(400, invalid, "bad", json!([]), Fault::Config, "llm_invalid_request", false);
    let reason =
        json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID" }]);
    check(400, invalid, "API key not valid.", reason, Fault::Denied, "llm_denied", false);
    check(403, "PERMISSION_DENIED", "no", json!([]), Fault::Denied, "llm_denied", false);
    check(404, "NOT_FOUND", "no `m`", json!([]), Fault::Config, "llm_not_found", false);
    let quota = "You exceeded your current quota, please check your plan and billing details.";
    check(429, "RESOURCE_EXHAUSTED", quota, json!([]), Fault::Unavailable, "llm_rate_limited", true);
    check(500, "INTERNAL", "oops", json!([]), Fault::Unavailable, "llm_overloaded", true);
    check(503, "UNAVAILABLE", "overloaded", json!([]), Fault::Unavailable, "llm_overloaded", true);
    check(504, "DEADLINE_EXCEEDED", "late", json!([]), Fault::Timeout, "llm_timeout", true);
    let long = "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).";
    check(400, invalid, long, json!([]), Fault::Limit, "llm_context_too_long", false);
}

#[test]
fn errors_of_compatible_servers() {
    let check = |status, body, fault, code, retryable| {
        check("openai_compatible", status, &body, fault, code, retryable);
    };
    check(404, json!({ "error": "model `m` not found" }), Fault::Config, "llm_not_found", false);
    let size = json!({ "error": { "code": 400, "message": "too big", "type": "exceed_context_size_error" } });
    check(400, size, Fault::Limit, "llm_context_too_long", false);
    let length = "This model's maximum context length is 4096 tokens.";
    check(400, json!({ "object": "error", "message": length }), Fault::Limit, "llm_context_too_long", false);
    check(502, json!("no object"), Fault::Unavailable, "llm_overloaded", true);
    check(307, json!({}), Fault::Config, "llm_moved", false);
}

#[test]
fn an_error_without_json_is_told_by_its_status() {
    let failure = failed("openai", Response::new(503).with_body("<h1>busy"));
    assert_eq!(failure.code.as_deref(), Some("llm_overloaded"));
    assert_eq!(failure.message, "`POST http://h/v1/chat/completions` answered 503 Service Unavailable");
}

#[test]
fn the_message_holds_the_providers_words_and_not_too_many() {
    let body = openai("server_error", None, &"x".repeat(10_000));
    let message = failed("openai", Response::new(500).with_json(&body)).message;
    assert!(
        message.starts_with("`POST http://h/v1/chat/completions` answered 500 Internal Server Error: xxx")
    );
    assert!(message.len() < 700, "{}", message.len());
}

#[track_caller]
fn check_wait(provider: &str, response: Response, millis: Option<u64>) {
    assert_eq!(failed(provider, response).retry_after, millis.map(Duration::from_millis));
}

#[test]
fn a_named_wait_is_carried_on() {
    check_wait("anthropic", Response::new(429).with_header("retry-after", "7"), Some(7_000));
    check_wait("anthropic", Response::new(529), None);
    check_wait("openai", Response::new(429).with_header("retry-after-ms", "1500"), Some(1_500));
    let info = json!([{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s" }]);
    let body = google(429, "RESOURCE_EXHAUSTED", "slow", info);
    check_wait("google", Response::new(429).with_json(&body), Some(34_500));
}

#[test]
fn a_wait_that_makes_no_sense_is_none() {
    for wait in ["-1", "NaN", "1e400", "soon"] {
        check_wait("openai", Response::new(429).with_header("retry-after-ms", wait), None);
    }
}

#[test]
fn a_used_up_quota_is_not_waited_for() {
    let body = openai("insufficient_quota", Some("insufficient_quota"), "none left");
    let response = Response::new(429).with_json(&body).with_header("retry-after", "7");
    check_wait("openai", response, None);
}

#[test]
fn the_key_is_in_no_message() {
    let body = openai("invalid_request_error", Some("invalid_api_key"), "Incorrect API key: sk-of-a-flow.");
    let more = json!({ "prompt": "Hi", "api_key": "sk-of-a-flow" });
    let failure = call(config("openai", more), Response::new(401).with_json(&body)).0.unwrap_err();
    assert!(failure.message.ends_with("Incorrect API key: ***."), "{}", failure.message);
    assert!(!failure.details.unwrap().to_string().contains("sk-of-a-flow"));
}

#[test]
fn who_asked_without_a_key_is_told_so() {
    let _http = http::mock(|_| Ok(Response::new(401)));
    let _secrets = secrets::mock(|_| Err(Failure::denied("there is no secret `openai_compatible`")));
    let asked = config("openai_compatible", json!({ "prompt": "Hi", "base_url": "http://h" }));
    let failure = testing::execute::<llm_call>(asked).unwrap_err();
    let told = "; no key was sent: there is no secret `openai_compatible`";
    assert!(failure.message.ends_with(told), "{}", failure.message);
}

#[test]
fn what_the_connector_refuses_comes_through_unchanged() {
    let denied = Failure::denied("no grant of `llm_call` admits `http://10.0.0.1/`").code("http_denied");
    let refusal = denied.clone();
    let _http = http::mock(move |_| Err(refusal.clone()));
    let _secrets = secrets::mock(|_| Ok(TOKEN.into()));
    let asked = config("openai", json!({ "prompt": "Hi", "base_url": "http://10.0.0.1" }));
    assert_eq!(testing::execute::<llm_call>(asked).unwrap_err(), denied);
}
