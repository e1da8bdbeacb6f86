//! What a flow may ask for.

use std::collections::BTreeMap;

use stepcell::{Scalar, prelude::*};

#[stepcell::data]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) method: Method,
    /// An absolute `http` or `https` address.
    pub(crate) url: String,
    /// Names and values.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Scalar>,
    /// Query parameters, encoded here and added to the address. A list repeats its name, `null` leaves it out.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Parameter>")]
    pub(crate) params: Map<String, Value>,
    /// Text is sent as it is, any other value as JSON.
    #[serde(default)]
    #[schemars(with = "Value")]
    pub(crate) body: Option<Box<RawValue>>,
}

#[stepcell::data]
#[derive(Clone, Copy, Default)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    #[default]
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// It changes nothing on the other side (RFC 9110, 9.2.1).
    pub(crate) fn is_safe(self) -> bool {
        matches!(self, Self::Get)
    }
}

#[stepcell::data]
#[serde(untagged)]
enum Parameter {
    One(Option<Scalar>),
    Many(Vec<Scalar>),
}

/// The query parameters one by one, in the order of the flow's text: some servers sign it.
pub(crate) fn parameters(params: Map<String, Value>) -> Result<Vec<(String, Scalar)>, Failure> {
    let mut pairs = Vec::new();
    for (name, value) in params {
        let parameter = stepcell::serde_json::from_value(value).map_err(|_| {
            Failure::config(format!(
                "`config.params.{name}` is no text, number, truth value or list of these"
            ))
            .code("config_invalid")
        })?;
        match parameter {
            Parameter::One(value) => pairs.extend(value.map(|value| (name, value))),
            Parameter::Many(values) => pairs.extend(values.into_iter().map(|value| (name.clone(), value))),
        }
    }
    Ok(pairs)
}
