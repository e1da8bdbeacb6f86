//! OpenAI's Chat Completions API, which many other servers speak too.

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

const BASE_URL: &str = "https://api.openai.com/v1";

pub(super) fn request(ask: &Ask, base_url: Option<&str>, key: Option<&str>, max_tokens_key: &str) -> Request {
    let system = ask.system.iter().map(|text| json!({ "role": "system", "content": text }));
    let messages: Vec<Value> = system.chain(ask.messages.iter().map(|message| json!(message))).collect();
    let body = object([
        ("model", Some(json!(ask.model))),
        ("messages", Some(messages.into())),
        (max_tokens_key, ask.max_tokens.map(|max_tokens| json!(max_tokens))),
        ("temperature", ask.temperature.as_ref().map(|temperature| json!(temperature))),
    ]);
    let mut request =
        http::post(endpoint::join(base_url.unwrap_or(BASE_URL), "/v1", "/chat/completions", true));
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    request.json(&body)
}

#[stepcell::data(open)]
struct Completion {
    #[serde(default)]
    model: Option<String>,
    choices: Vec<Choice>,
    usage: Tokens,
}

#[stepcell::data(open)]
struct Choice {
    message: Message,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[stepcell::data(open)]
struct Message {
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    refusal: Option<String>,
}

#[stepcell::data]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[stepcell::data(open)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

#[stepcell::data(open)]
struct Tokens {
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    #[serde(default)]
    total_tokens: Option<u64>,
}

pub(super) fn answer(provider: Provider, response: &Response) -> Result<Answer, Failure> {
    let Completion { model, choices, usage } = parsed(provider, response)?;
    let usage = Usage::new(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens);
    let Some(Choice { message, finish_reason }) = choices.into_iter().next() else {
        let message = format!("`{}` answered with an empty list of `choices`", provider.name());
        return Err(Failure::failed(message).code("llm_response").details(json!({ "usage": usage })));
    };
    let text = match message.content {
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => parts.into_iter().filter_map(|part| part.text).collect(),
        None => String::new(),
    };
    let (content, stop) = match message.refusal {
        Some(refusal) => (refusal, Stop::Refused("refusal".to_owned())),
        None => (text, stop(finish_reason)),
    };
    Ok(Answer { content, model, usage, stop })
}

fn stop(reason: Option<String>) -> Stop {
    let Some(reason) = reason else { return Stop::End };
    match reason.as_str() {
        "stop" => Stop::End,
        "length" => Stop::Length(reason),
        "content_filter" => Stop::Filtered(reason),
        _ => Stop::Other(reason),
    }
}
