//! The key, which the step never sees: what it holds is the host's placeholder, unless a flow wrote the key itself.

use stepcell::{prelude::*, secrets};

use crate::{config::invalid, provider::Provider};

/// What stands in messages for the key.
const HIDDEN: &str = "***";

pub(crate) enum Key {
    /// Goes into a header.
    Text(String),
    /// There is none, and why; a server of one's own often needs none.
    None(String),
}

impl Key {
    /// The key that the config gives, else the secret named after the provider.
    pub(crate) fn of(provider: Provider, given: Option<String>) -> Result<Self, Failure> {
        match given {
            Some(key) if key.trim().is_empty() => Err(invalid("`config.api_key` is empty")),
            Some(key) => Ok(Self::Text(key)),
            None => Self::named(provider),
        }
    }

    fn named(provider: Provider) -> Result<Self, Failure> {
        match secrets::placeholder(provider.name()) {
            Ok(placeholder) => Ok(Self::Text(placeholder)),
            Err(failure) if failure.fault == Fault::Denied && !provider.needs_key() => {
                Ok(Self::None(failure.message))
            }
            Err(failure) => Err(failure),
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(key) => Some(key),
            Self::None(_) => None,
        }
    }

    /// A key that a flow wrote itself is no secret of the host, which can not mask it; some providers echo it.
    pub(crate) fn keep_out_of(&self, mut failure: Failure) -> Failure {
        if let Self::Text(key) = self {
            failure.message = failure.message.replace(key, HIDDEN);
            if let Some(details) = &mut failure.details {
                hide(details, key);
            }
        }
        failure
    }
}

fn hide(value: &mut Value, key: &str) {
    match value {
        Value::String(text) if text.contains(key) => *text = text.replace(key, HIDDEN),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, key)),
        Value::Object(entries) => entries.values_mut().for_each(|entry| hide(entry, key)),
        _ => {}
    }
}
