//! Google's Gemini API.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use stepcell::{
    http::{self, Request, Response},
    prelude::*,
};

use super::{Provider, object};
use crate::{
    ask::Ask,
    config::Role,
    endpoint,
    reply::{Answer, Stop, Usage, parsed},
};

const BASE_URL: &str = "https://generativelanguage.googleapis.com";

/// Everything else in a model's name is encoded: it is one segment of the path, whatever a flow puts into it.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) fn request(ask: &Ask, base_url: Option<&str>, key: Option<&str>) -> Request {
    let contents: Vec<Value> =
        ask.messages.iter().map(|message| content(message.role, &message.content)).collect();
    let settings = object([
        ("maxOutputTokens", ask.max_tokens.map(|max_tokens| json!(max_tokens))),
        ("temperature", ask.temperature.as_ref().map(|temperature| json!(temperature))),
    ]);
    let body = object([
        ("systemInstruction", ask.system.as_ref().map(|text| json!({ "parts": [{ "text": text }] }))),
        ("contents", Some(contents.into())),
        ("generationConfig", (!settings.is_empty()).then(|| settings.into())),
    ]);
    let model = ask.model.strip_prefix("models/").unwrap_or(&ask.model);
    let path = format!("/models/{}:generateContent", utf8_percent_encode(model, ENCODED));
    let mut request = http::post(endpoint::join(base_url.unwrap_or(BASE_URL), "/v1beta", &path, false));
    if let Some(key) = key {
        request = request.header("x-goog-api-key", key);
    }
    request.json(&body)
}

fn content(role: Role, text: &str) -> Value {
    let role = if role == Role::Assistant { "model" } else { "user" };
    json!({ "role": role, "parts": [{ "text": text }] })
}

#[stepcell::data(open)]
#[serde(rename_all = "camelCase")]
struct Generated {
    #[serde(default)]
    candidates: Vec<Candidate>,
    #[serde(default)]
    prompt_feedback: Option<Feedback>,
    usage_metadata: Tokens,
    #[serde(default)]
    model_version: Option<String>,
}

#[stepcell::data(open)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[stepcell::data(open)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

#[stepcell::data(open)]
struct Part {
    #[serde(default)]
    text: Option<String>,
    /// It belongs to what the model thought before its answer.
    #[serde(default)]
    thought: bool,
}

#[stepcell::data(open)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    #[serde(default)]
    block_reason: Option<String>,
}

/// A count that is zero may be missing.
#[stepcell::data(open)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    #[serde(default)]
    prompt_token_count: u64,
    #[serde(default)]
    tool_use_prompt_token_count: u64,
    #[serde(default)]
    candidates_token_count: u64,
    #[serde(default)]
    thoughts_token_count: u64,
    #[serde(default)]
    total_token_count: Option<u64>,
}

pub(super) fn answer(provider: Provider, response: &Response) -> Result<Answer, Failure> {
    let Generated { candidates, prompt_feedback, usage_metadata, model_version } =
        parsed(provider, response)?;
    let usage = usage(&usage_metadata);
    let (content, stop) = match candidates.into_iter().next() {
        Some(Candidate { content, finish_reason }) => {
            (content.map(text).unwrap_or_default(), stop(finish_reason))
        }
        None => match prompt_feedback.and_then(|feedback| feedback.block_reason) {
            Some(reason) => (String::new(), Stop::Filtered(reason)),
            None => (String::new(), Stop::Other("no candidates".to_owned())),
        },
    };
    Ok(Answer { content, model: model_version, usage, stop })
}

fn usage(tokens: &Tokens) -> Usage {
    let input = tokens.prompt_token_count.saturating_add(tokens.tool_use_prompt_token_count);
    let output = tokens.candidates_token_count.saturating_add(tokens.thoughts_token_count);
    Usage::new(input, output, tokens.total_token_count)
}

fn text(content: Content) -> String {
    content.parts.into_iter().filter(|part| !part.thought).filter_map(|part| part.text).collect()
}

fn stop(reason: Option<String>) -> Stop {
    let Some(reason) = reason else { return Stop::End };
    match reason.as_str() {
        "STOP" | "FINISH_REASON_UNSPECIFIED" => Stop::End,
        "MAX_TOKENS" => Stop::Length(reason),
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII"
        | "IMAGE_SAFETY" => Stop::Filtered(reason),
        _ => Stop::Other(reason),
    }
}
