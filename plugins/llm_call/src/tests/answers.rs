//! What comes back, normalised.

use super::*;

fn answered(provider: &str, body: &Value) -> Result<Value, Failure> {
    let more = json!({ "prompt": "Hi", "base_url": "http://h" });
    call(config(provider, more), Response::new(200).with_json(body)).0
}

fn usage(input_tokens: u64, output_tokens: u64, total_tokens: u64) -> Value {
    json!({ "input_tokens": input_tokens, "output_tokens": output_tokens, "total_tokens": total_tokens })
}

fn openai(message: Value, finish_reason: &str) -> Value {
    json!({
        "choices": [{ "message": message, "finish_reason": finish_reason }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3 },
    })
}

fn anthropic(content: Value, stop_reason: &str) -> Value {
    json!({
        "content": content,
        "stop_reason": stop_reason,
        "usage": { "input_tokens": 1, "output_tokens": 2 },
    })
}

fn google(candidates: Value) -> Value {
    json!({ "candidates": candidates, "usageMetadata": { "promptTokenCount": 1, "totalTokenCount": 1 } })
}

#[test]
fn every_format_gives_the_same_output() {
    for provider in ["anthropic", "openai", "google", "openai_compatible"] {
        let more = json!({ "prompt": "Hi", "base_url": "http://h" });
        let output = call(config(provider, more), said(provider, "Yes.")).0.unwrap();
        let expected =
            json!({ "content": "Yes.", "model": "m-1", "usage": usage(3, 2, 5), "provider": provider });
        assert_eq!(output, expected);
    }
}

#[test]
fn only_text_is_content() {
    let blocks = json!([
        { "type": "thinking", "thinking": "Hm", "signature": "s" },
        { "type": "text", "text": "A" },
        { "type": "text", "text": "B" },
    ]);
    assert_eq!(answered("anthropic", &anthropic(blocks, "end_turn")).unwrap()["content"], "AB");
    let parts = json!([{ "text": "Hm", "thought": true }, { "text": "A" }, { "text": "B" }]);
    let candidates = json!([{ "content": { "parts": parts }, "finishReason": "STOP" }]);
    assert_eq!(answered("google", &google(candidates)).unwrap()["content"], "AB");
    let message = json!({ "content": [{ "type": "text", "text": "A" }, { "type": "text", "text": "B" }] });
    assert_eq!(answered("openai", &openai(message, "stop")).unwrap()["content"], "AB");
}

#[test]
fn a_model_that_is_not_named_is_the_one_that_was_asked() {
    let output = answered("openai_compatible", &openai(json!({ "content": "A" }), "stop")).unwrap();
    assert_eq!(output["model"], "m");
}

#[test]
fn every_token_is_counted() {
    let cached = json!({
        "content": [],
        "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 1, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 300, "output_tokens": 4,
        },
    });
    assert_eq!(answered("anthropic", &cached).unwrap()["usage"], usage(321, 4, 325));
    let thoughts = json!({
        "candidates": [{ "content": { "parts": [{ "text": "A" }] }, "finishReason": "STOP" }],
        "usageMetadata": {
            "promptTokenCount": 1, "candidatesTokenCount": 20, "thoughtsTokenCount": 300, "totalTokenCount": 321,
        },
    });
    assert_eq!(answered("google", &thoughts).unwrap()["usage"], usage(1, 320, 321));
    let no_sum = json!({
        "choices": [{ "message": { "content": "A" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 7, "completion_tokens": 1 },
    });
    assert_eq!(answered("openai_compatible", &no_sum).unwrap()["usage"], usage(7, 1, 8));
}

#[test]
fn a_cut_answer_says_so() {
    let block = json!([{ "type": "text", "text": "A" }]);
    let output = answered("anthropic", &anthropic(block, "max_tokens")).unwrap();
    assert_eq!((&output["content"], &output["stop_reason"]), (&json!("A"), &json!("max_tokens")));
    let output = answered("openai", &openai(json!({ "content": "A" }), "length")).unwrap();
    assert_eq!(output["stop_reason"], "length");
    let candidates = json!([{ "content": { "parts": [{ "text": "A" }] }, "finishReason": "MAX_TOKENS" }]);
    assert_eq!(answered("google", &google(candidates)).unwrap()["stop_reason"], "MAX_TOKENS");
}

#[track_caller]
fn check_refused(provider: &str, body: &Value, fault: Fault, code: &str, reason: &str) {
    let failure = answered(provider, body).unwrap_err();
    assert_eq!((failure.fault, failure.code.as_deref(), failure.retryable), (fault, Some(code), false));
    let details = failure.details.unwrap();
    assert_eq!(details["stop_reason"], reason);
    assert_ne!(details["usage"]["total_tokens"], 0, "the tokens were used all the same");
}

#[test]
fn a_refusal_is_no_answer() {
    check_refused("anthropic", &anthropic(json!([]), "refusal"), Fault::Failed, "llm_refused", "refusal");
    let refusal = openai(json!({ "content": null, "refusal": "I can not." }), "stop");
    check_refused("openai", &refusal, Fault::Failed, "llm_refused", "refusal");
    let message = answered("openai", &refusal).unwrap_err().message;
    assert_eq!(message, "the model of `openai` refuses to answer: I can not.");
}

#[test]
fn what_a_filter_keeps_back_is_no_answer() {
    let code = "llm_content_filter";
    let filtered = openai(json!({ "content": "A" }), "content_filter");
    check_refused("openai", &filtered, Fault::Failed, code, "content_filter");
    let unsafe_answer = google(json!([{ "finishReason": "SAFETY" }]));
    check_refused("google", &unsafe_answer, Fault::Failed, code, "SAFETY");
    let blocked = json!({
        "promptFeedback": { "blockReason": "PROHIBITED_CONTENT" },
        "usageMetadata": { "promptTokenCount": 4, "totalTokenCount": 4 },
    });
    check_refused("google", &blocked, Fault::Failed, code, "PROHIBITED_CONTENT");
}

#[test]
fn an_answer_without_a_word_is_a_failure() {
    let thought = openai(json!({ "content": null }), "length");
    check_refused("openai", &thought, Fault::Limit, "llm_length", "length");
    let tool = anthropic(json!([{ "type": "tool_use", "id": "1", "name": "n", "input": {} }]), "tool_use");
    check_refused("anthropic", &tool, Fault::Failed, "llm_response", "tool_use");
    check_refused("google", &google(json!([])), Fault::Failed, "llm_response", "no candidates");
}

#[track_caller]
fn check_other_shape(provider: &str, response: Response, place: &str) {
    let more = json!({ "prompt": "Hi", "base_url": "http://h" });
    let failure = call(config(provider, more), response).0.unwrap_err();
    assert_eq!((failure.fault, failure.code.as_deref()), (Fault::Failed, Some("llm_response")));
    assert!(!failure.retryable);
    assert!(failure.message.contains(place), "{}", failure.message);
}

#[test]
fn an_answer_of_another_shape_names_the_place() {
    let html = Response::new(200).with_header("content-type", "text/html").with_body("<p>1");
    check_other_shape("openai", html, "no answer in the format of `openai`");
    check_other_shape("openai", Response::new(200).with_json(&json!({})), "missing field `choices`");
    check_other_shape("anthropic", Response::new(200).with_json(&json!({})), "missing field `content`");
    check_other_shape("anthropic", said("openai", "A"), "`body.usage`: missing field `input_tokens`");
    check_other_shape("google", said("anthropic", "A"), "missing field `usageMetadata`");
    let body = json!({ "choices": [], "usage": { "prompt_tokens": 1 } });
    check_other_shape("openai", Response::new(200).with_json(&body), "empty list of `choices`");
    let mut negative = openai(json!({ "content": "A" }), "stop");
    negative["usage"]["prompt_tokens"] = json!(-1);
    check_other_shape("openai", Response::new(200).with_json(&negative), "`body.usage.prompt_tokens`");
    check_other_shape("openai", Response::new(200).with_body([0xff]), "no UTF-8");
}

#[test]
fn tokens_that_are_not_counted_are_another_shape() {
    let body = json!({ "choices": [{ "message": { "content": "A" }, "finish_reason": "stop" }] });
    check_other_shape("openai_compatible", Response::new(200).with_json(&body), "missing field `usage`");
}
