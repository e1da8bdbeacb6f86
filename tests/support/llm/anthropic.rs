//! <https://docs.anthropic.com/en/api/messages>

use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ANSWER, ANSWER_TOKENS, Dialect, PROMPT_TOKENS, Wrong, header, shape, within};

/// The only version there is.
const VERSION: &str = "2023-06-01";

pub(super) struct Anthropic;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    model: String,
    max_tokens: u64,
    messages: Vec<Message>,
    #[serde(default, rename = "system")]
    _system: Option<String>,
    temperature: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    role: Role,
    content: String,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
}

impl Dialect for Anthropic {
    fn read(key: &str, _path: &str, headers: &HeaderMap, body: &[u8]) -> Result<String, Wrong> {
        if header(headers, "x-api-key") != key {
            return Err(Wrong::unauthorized("invalid x-api-key"));
        }
        if header(headers, "anthropic-version") != VERSION {
            return Err(Wrong::request("anthropic-version: header is required"));
        }
        let request: Request = shape(headers, body)?;
        within("temperature", request.temperature, 1.0)?;
        if request.max_tokens == 0 {
            return Err(Wrong::request("max_tokens: must be greater than or equal to 1"));
        }
        if request.messages.first().is_none_or(|message| message.role != Role::User) {
            return Err(Wrong::request("messages: first message must use the \"user\" role"));
        }
        if request.messages.iter().any(|message| message.content.is_empty()) {
            return Err(Wrong::request("messages: text content blocks must be non-empty"));
        }
        Ok(request.model)
    }

    fn answer(model: &str) -> Value {
        json!({
            "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{ "type": "text", "text": ANSWER }],
            "stop_reason": "end_turn",
            "stop_sequence": null,
            "usage": {
                "input_tokens": PROMPT_TOKENS,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": ANSWER_TOKENS,
            },
        })
    }

    fn error(status: StatusCode, message: &str) -> Value {
        let kind = match status.as_u16() {
            400 => "invalid_request_error",
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            529 => "overloaded_error",
            _ => "api_error",
        };
        json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy" })
    }
}
