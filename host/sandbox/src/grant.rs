//! What the operator allows a step type, read before anything is reached.

mod host;
mod path;
mod rule;

pub(crate) use rule::METHODS;
pub use rule::{HttpRule, RuleError};
use stepcell_core::flow::LimitsPatch;

/// What one step type may reach and use. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// One of them has to admit a request.
    pub http: Vec<HttpRule>,
    /// Instead of the limits that hold for all step types.
    pub limits: LimitsPatch,
}

impl Grant {
    /// Any public address on the default ports: what the shipped `http_request` gets without a line of config.
    pub fn public_http() -> Self {
        Self { http: vec![HttpRule::any_http(), HttpRule::any_https()], ..Self::default() }
    }
}
