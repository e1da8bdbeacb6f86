//! What a flow may ask for.

use std::num::NonZeroU32;

use stepcell::{prelude::*, serde_json::Number};

use crate::provider::Provider;

#[stepcell::data]
pub(crate) struct Config {
    /// Who runs the model. `openai_compatible` is any server that speaks the format of OpenAI; it needs `base_url`.
    pub(crate) provider: Provider,
    /// The model's name, as the provider writes it.
    pub(crate) model: String,
    /// One question: a conversation of one message. Either this or `messages`.
    #[serde(default)]
    pub(crate) prompt: Option<String>,
    /// A conversation. Messages of role `system` come first.
    #[serde(default)]
    pub(crate) messages: Option<Vec<Message>>,
    /// What the model is to keep to. It comes before messages of role `system`.
    #[serde(default)]
    pub(crate) system_prompt: Option<String>,
    /// The most tokens of the answer. Where absent, 4096 for `anthropic`, and what the provider sets for others.
    #[serde(default)]
    pub(crate) max_tokens: Option<NonZeroU32>,
    /// 0 for the likeliest words; higher is more varied.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2))]
    pub(crate) temperature: Option<Number>,
    /// Another server of the same format, such as `http://127.0.0.1:11434/v1`.
    #[serde(default)]
    pub(crate) base_url: Option<String>,
    /// The key, such as `{{ secret.my_key }}`; the secret named after the provider where absent.
    #[serde(default)]
    pub(crate) api_key: Option<String>,
}

#[stepcell::data]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) role: Role,
    pub(crate) content: String,
}

#[stepcell::data]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    System,
    User,
    Assistant,
}

/// The config does not say what to ask.
pub(crate) fn invalid(message: impl Into<String>) -> Failure {
    Failure::config(message).code("config_invalid")
}
