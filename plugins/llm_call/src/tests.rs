mod answers;
mod errors;
mod requests;

use std::{cell::RefCell, rc::Rc};

use stepcell::{
    http::{self, Request, Response},
    secrets::{self, Call},
    testing,
};

use super::*;

/// What the host puts into a cell in the place of a secret.
const TOKEN: &str = "placeholder-of-the-key";

/// Runs the step against `response`, with a secret named after every provider.
fn call(config: Value, response: Response) -> (Result<Value, Failure>, Option<Request>) {
    let sent = Rc::new(RefCell::new(None));
    let seen = Rc::clone(&sent);
    let _http = http::mock(move |request| {
        assert!(seen.replace(Some(request.clone())).is_none(), "a step asks once");
        Ok(response.clone())
    });
    let _secrets = secrets::mock(|call| match call {
        Call::Placeholder { name } => Ok(format!("{TOKEN}:{name}").into_bytes()),
        other => panic!("it asked for {other:?}"),
    });
    (testing::execute::<llm_call>(config), sent.take())
}

/// A config with this provider, and the keys of `more`.
fn config(provider: &str, more: Value) -> Value {
    let mut config = json!({ "provider": provider, "model": "m" });
    let Value::Object(more) = more else { panic!("no object: {more}") };
    for (key, value) in more {
        config[key] = value;
    }
    config
}

/// An answer in the provider's format with this text.
fn said(provider: &str, text: &str) -> Response {
    Response::new(200).with_json(&match provider {
        "anthropic" => json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m-1",
            "content": [{ "type": "text", "text": text }],
            "stop_reason": "end_turn", "stop_sequence": null,
            "usage": { "input_tokens": 3, "output_tokens": 2 },
        }),
        "google" => json!({
            "candidates": [{ "content": { "role": "model", "parts": [{ "text": text }] }, "finishReason": "STOP" }],
            "usageMetadata": { "promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5 },
            "modelVersion": "m-1",
        }),
        _ => json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-1",
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": text, "refusal": null },
                "finish_reason": "stop",
            }],
            "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 },
        }),
    })
}

fn sent(config: Value) -> Request {
    let provider = config["provider"].as_str().unwrap().to_owned();
    let (result, request) = call(config, said(&provider, "ok"));
    result.unwrap();
    request.unwrap()
}

#[test]
fn the_catalog_shows_it_as_ai_and_counts_its_tokens() {
    let entry = testing::describe::<llm_call>();
    assert_eq!((&entry["label"], &entry["icon"]), (&json!("LLM Call"), &json!("brain")));
    assert_eq!((&entry["category"], &entry["context"]), (&json!("ai"), &json!("none")));
    assert_eq!(entry["context_fields"], json!(["content", "model", "usage"]));
    assert_eq!(entry["tokens"], "$.usage.total_tokens");
    assert_eq!(entry["config_schema"]["required"], json!(["provider", "model"]));
}

#[test]
fn the_examples_hold() {
    let _secrets = secrets::mock(|_| Ok(TOKEN.into()));
    let _http = http::mock(|_| {
        Ok(Response::new(200).with_json(&json!({
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [{ "message": { "content": "Blue." }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13 },
        })))
    });
    testing::check_examples::<llm_call>();
}
