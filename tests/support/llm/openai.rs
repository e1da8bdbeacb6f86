//! <https://platform.openai.com/docs/api-reference/chat/create>, which many other servers speak too.

use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ANSWER, ANSWER_TOKENS, Dialect, PROMPT_TOKENS, Wrong, header, shape, within};

pub(super) struct OpenAi;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    model: String,
    messages: Vec<Message>,
    /// The older name, which compatible servers know.
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    max_completion_tokens: Option<u64>,
    #[serde(default)]
    temperature: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    #[serde(rename = "role")]
    _role: Role,
    #[serde(rename = "content")]
    _content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    System,
    Developer,
    User,
    Assistant,
}

impl Dialect for OpenAi {
    fn read(key: &str, _path: &str, headers: &HeaderMap, body: &[u8]) -> Result<String, Wrong> {
        if header(headers, "authorization").strip_prefix("Bearer ") != Some(key) {
            return Err(Wrong::unauthorized("Incorrect API key provided."));
        }
        let request: Request = shape(headers, body)?;
        within("temperature", request.temperature, 2.0)?;
        if request.messages.is_empty() {
            return Err(Wrong::request("[] is too short - 'messages'"));
        }
        if request.max_tokens.is_some() && request.max_completion_tokens.is_some() {
            return Err(Wrong::request("Setting 'max_tokens' and 'max_completion_tokens' is not supported."));
        }
        Ok(request.model)
    }

    fn answer(model: &str) -> Value {
        json!({
            "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
            "object": "chat.completion",
            "created": 1_741_569_952,
            "model": model,
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": ANSWER, "refusal": null, "annotations": [] },
                "logprobs": null,
                "finish_reason": "stop",
            }],
            "usage": {
                "prompt_tokens": PROMPT_TOKENS,
                "completion_tokens": ANSWER_TOKENS,
                "total_tokens": PROMPT_TOKENS + ANSWER_TOKENS,
            },
        })
    }

    fn error(status: StatusCode, message: &str) -> Value {
        let (kind, code) = match status.as_u16() {
            401 => ("invalid_request_error", json!("invalid_api_key")),
            429 => ("requests", json!("rate_limit_exceeded")),
            500.. => ("server_error", Value::Null),
            _ => ("invalid_request_error", Value::Null),
        };
        json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
    }
}
