//! An answer in the one shape that all providers share.

use stepcell::{http::Response, prelude::*, serde::de::DeserializeOwned};

use crate::provider::Provider;

/// What came back.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) content: String,
    /// The one that was asked for, where the provider names none.
    pub(crate) model: Option<String>,
    pub(crate) usage: Usage,
    pub(crate) stop_reason: Option<String>,
}

#[stepcell::data]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Of what was asked, from the provider's cache or not.
    pub(crate) input_tokens: u64,
    /// Of the answer, with the thoughts before it.
    pub(crate) output_tokens: u64,
    pub(crate) total_tokens: u64,
}

impl Usage {
    /// `total` is the provider's own sum, where it gives one.
    pub(crate) fn new(input_tokens: u64, output_tokens: u64, total: Option<u64>) -> Self {
        let total_tokens = total.unwrap_or_else(|| input_tokens.saturating_add(output_tokens));
        Self { input_tokens, output_tokens, total_tokens }
    }
}

/// Why the model stopped.
pub(crate) enum Stop {
    /// It had said all.
    End,
    /// It had no more tokens.
    Length(String),
    /// Somebody took the answer away, or will not give one.
    Filtered(String),
    /// The model will not answer.
    Refused(String),
    /// Something that this step did not ask for, such as a call of a tool.
    Other(String),
}

/// What a provider's answer says, before it is judged.
pub(crate) struct Answer {
    pub(crate) content: String,
    pub(crate) model: Option<String>,
    pub(crate) usage: Usage,
    pub(crate) stop: Stop,
}

impl Answer {
    /// The reply, or a failure where there is nothing that a flow could take for an answer.
    pub(crate) fn judged(self, provider: Provider) -> Result<Reply, Failure> {
        let Self { content, model, usage, stop } = self;
        let name = provider.name();
        let (failure, reason) = match stop {
            Stop::End => return Ok(Reply { content, model, usage, stop_reason: None }),
            Stop::Length(reason) | Stop::Other(reason) if !content.is_empty() => {
                return Ok(Reply { content, model, usage, stop_reason: Some(reason) });
            }
            Stop::Length(reason) => {
                let message =
                    format!("`{name}` had no tokens left before it said anything: raise `config.max_tokens`");
                (Failure::limit(message).code("llm_length"), reason)
            }
            Stop::Filtered(reason) => {
                let message = format!("a content filter of `{name}` keeps the answer back (`{reason}`)");
                (Failure::failed(message).code("llm_content_filter"), reason)
            }
            Stop::Refused(reason) => {
                let message = format!("the model of `{name}` refuses to answer: {}", refusal(&content));
                (Failure::failed(message).code("llm_refused"), reason)
            }
            Stop::Other(reason) => {
                let message = format!("`{name}` answered without any text (`{reason}`)");
                (Failure::failed(message).code("llm_response"), reason)
            }
        };
        Err(failure.details(json!({ "stop_reason": reason, "content": content, "usage": usage })))
    }
}

fn refusal(content: &str) -> &str {
    if content.is_empty() { "it gives no reason" } else { content }
}

/// The body in the provider's format, or a failure that names the place where it is not.
pub(crate) fn parsed<T: DeserializeOwned>(provider: Provider, response: &Response) -> Result<T, Failure> {
    response.json().map_err(|failure: Failure| {
        let message =
            format!("{}; this is no answer in the format of `{}`", failure.message, provider.name());
        let mut told = Failure::failed(message).code("llm_response");
        // What came instead, as for an error status.
        told.details = response.failure().details;
        told
    })
}
