//! `llm_call`: asks a language model once. Retries are the engine's, by the flow's `retry`; tokens are counted by the
//! engine, from the output.

mod ask;
mod config;
mod endpoint;
mod error;
mod key;
mod provider;
mod reply;

use stepcell::prelude::*;

use ask::Ask;
use config::Config;
use key::Key;
use provider::Provider;
use reply::{Reply, Usage};

#[stepcell::data]
struct Output {
    /// What the model answered.
    content: String,
    /// The model that answered: often more exact than the one that was asked for.
    model: String,
    usage: Usage,
    provider: Provider,
    /// Absent where the model came to its end. Else the provider's own word for why it stopped, such as `length` or
    /// `max_tokens`: the content is cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stop_reason: Option<String>,
}

/// Asks a language model. The key is the secret named after the provider unless `api_key` is given. A provider that
/// is busy fails the step with a code such as `llm_rate_limited`, and may be asked again.
#[stepcell::step(
    label = "LLM Call",
    icon = "brain",
    category = "ai",
    context_fields = ["content", "model", "usage"],
    tokens = "$.usage.total_tokens",
    examples = "examples.json"
)]
fn llm_call(config: Config) -> Result<Output, Failure> {
    let provider = config.provider;
    let base_url = config.base_url.clone();
    let given_key = config.api_key.clone();
    let ask = Ask::of(config)?;
    let key = Key::of(provider, given_key)?;
    let called = call(provider, &ask, base_url.as_deref(), &key);
    let Reply { content, model, usage, stop_reason } = called.map_err(|failure| key.keep_out_of(failure))?;
    Ok(Output { content, model: model.unwrap_or(ask.model), usage, provider, stop_reason })
}

fn call(provider: Provider, ask: &Ask, base_url: Option<&str>, key: &Key) -> Result<Reply, Failure> {
    // Not one redirect: a moved API is for the flow to know, and a key belongs to one server.
    let response = provider.request(ask, base_url, key.text()).redirects(0).send()?;
    match response.status() {
        200..300 => provider.reply(&response),
        _ => Err(error::failure(provider, &response, key)),
    }
}

#[cfg(test)]
mod tests;
