//! Anthropic's Messages API.

use stepcell::{
    http::{self, Request, Response},
    prelude::*,
};

use super::{Provider, object};
use crate::{
    ask::Ask,
    endpoint,
    reply::{Answer, Stop, Usage, parsed},
};

const BASE_URL: &str = "https://api.anthropic.com";

/// The version of the format that is written and read here.
const VERSION: &str = "2023-06-01";

/// The API wants a number. This one suits every model of it, and a longer answer is rarely what a flow works with.
const MAX_TOKENS: u32 = 4096;

pub(super) fn request(ask: &Ask, base_url: Option<&str>, key: Option<&str>) -> Request {
    let body = object([
        ("model", Some(json!(ask.model))),
        ("max_tokens", Some(json!(ask.max_tokens.map_or(MAX_TOKENS, Into::into)))),
        ("system", ask.system.as_ref().map(|system| json!(system))),
        ("messages", Some(json!(ask.messages))),
        ("temperature", ask.temperature.as_ref().map(|temperature| json!(temperature))),
    ]);
    let mut request = http::post(endpoint::join(base_url.unwrap_or(BASE_URL), "/v1", "/messages", false));
    if let Some(key) = key {
        request = request.header("x-api-key", key);
    }
    request.header("anthropic-version", VERSION).json(&body)
}

#[stepcell::data(open)]
struct Message {
    #[serde(default)]
    model: Option<String>,
    content: Vec<Block>,
    #[serde(default)]
    stop_reason: Option<String>,
    usage: Tokens,
}

/// Thoughts and calls of tools have no `text`.
#[stepcell::data(open)]
struct Block {
    #[serde(default)]
    text: Option<String>,
}

#[stepcell::data(open)]
struct Tokens {
    input_tokens: u64,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    output_tokens: u64,
}

pub(super) fn answer(provider: Provider, response: &Response) -> Result<Answer, Failure> {
    let Message { model, content, stop_reason, usage } = parsed(provider, response)?;
    // What a cache spared is not in the first of them.
    let cached = [usage.cache_creation_input_tokens, usage.cache_read_input_tokens];
    let input = cached.into_iter().flatten().fold(usage.input_tokens, u64::saturating_add);
    Ok(Answer {
        content: content.into_iter().filter_map(|block| block.text).collect(),
        model,
        usage: Usage::new(input, usage.output_tokens, None),
        stop: match stop_reason {
            None => Stop::End,
            Some(reason) => match reason.as_str() {
                "end_turn" | "stop_sequence" => Stop::End,
                "max_tokens" | "model_context_window_exceeded" => Stop::Length(reason),
                "refusal" => Stop::Refused(reason),
                _ => Stop::Other(reason),
            },
        },
    })
}
