//! Text, or what can stand for it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Number;

/// What a template may well give where text is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    Text(String),
    Number(Number),
    Bool(bool),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Bool(value) => value.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_it_was_given() {
        for (json, text) in [("\"a b\"", "a b"), ("1.50", "1.5"), ("7", "7"), ("true", "true")] {
            assert_eq!(serde_json::from_str::<Scalar>(json).unwrap().to_string(), text);
        }
        assert!(serde_json::from_str::<Scalar>("[]").is_err());
    }
}
