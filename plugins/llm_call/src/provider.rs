//! Who runs the model: three formats, and the servers that speak the second of them.

mod anthropic;
mod google;
mod openai;

use stepcell::{
    http::{Request, Response},
    prelude::*,
};

use crate::{ask::Ask, reply::Reply};

#[stepcell::data]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Provider {
    Anthropic,
    Openai,
    Google,
    OpenaiCompatible,
}

impl Provider {
    /// As a flow writes it; also the name of the secret that holds its key.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Openai => "openai",
            Self::Google => "google",
            Self::OpenaiCompatible => "openai_compatible",
        }
    }

    /// A server of one's own may well ask for none.
    pub(crate) fn needs_key(self) -> bool {
        self != Self::OpenaiCompatible
    }

    /// The question in the provider's format.
    pub(crate) fn request(self, ask: &Ask, base_url: Option<&str>, key: Option<&str>) -> Request {
        match self {
            Self::Anthropic => anthropic::request(ask, base_url, key),
            Self::Openai => openai::request(ask, base_url, key, "max_completion_tokens"),
            Self::Google => google::request(ask, base_url, key),
            // OpenAI's newer models refuse the older word, other servers do not know the newer one.
            Self::OpenaiCompatible => openai::request(ask, base_url, key, "max_tokens"),
        }
    }

    /// The answer out of the provider's format.
    pub(crate) fn reply(self, response: &Response) -> Result<Reply, Failure> {
        let answer = match self {
            Self::Anthropic => anthropic::answer(self, response)?,
            Self::Openai | Self::OpenaiCompatible => openai::answer(self, response)?,
            Self::Google => google::answer(self, response)?,
        };
        answer.judged(self)
    }
}

/// An object without the keys that have no value: no provider is told `null`.
fn object<const N: usize>(entries: [(&str, Option<Value>); N]) -> Map<String, Value> {
    entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use stepcell::serde_json::to_value;

    use super::*;

    #[test]
    fn a_name_is_what_a_flow_writes() {
        use Provider::{Anthropic, Google, Openai, OpenaiCompatible};
        for provider in [Anthropic, Openai, Google, OpenaiCompatible] {
            assert_eq!(to_value(provider).unwrap(), provider.name());
        }
    }
}
