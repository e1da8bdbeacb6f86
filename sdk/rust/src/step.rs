//! A step's edge: JSON text in, JSON text out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::Failure;

/// What `#[stepcell::step]` makes of a function. Use the attribute.
pub trait Step {
    /// The catalog entry.
    fn describe() -> Value;

    /// Runs the function once.
    fn execute(config: &str, context: &str) -> Result<String, Failure>;
}

// The config of a function without arguments: an object without keys. No doc comment: it would be the schema's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// The typed config, or a failure that names the key at fault.
pub fn config<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    deserialize(text, "config")
}

/// The output's JSON text.
pub fn output<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|error| Failure::failed(format!("the output is no JSON: {error}")).code("output_invalid"))
}

/// Parses `text`, named `root` in messages. The path is looked for only after a failure: following it costs
/// more than parsing a small config.
pub(crate) fn deserialize<T: DeserializeOwned>(text: &str, root: &str) -> Result<T, Failure> {
    serde_json::from_str(text).or_else(|_| deserialize_with_path(text, root))
}

fn deserialize_with_path<T: DeserializeOwned>(text: &str, root: &str) -> Result<T, Failure> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = match error.path().to_string().as_str() {
            "." => root.to_owned(),
            path if path.starts_with('[') => format!("{root}{path}"),
            path => format!("{root}.{path}"),
        };
        Failure::config(format!("`{path}`: {}", without_position(error.inner())))
            .code(format!("{root}_invalid"))
            .details(serde_json::json!({ "path": path }))
    })
}

/// Line and column are those of the JSON text that the host made, not of the flow: they would mislead.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        #[expect(dead_code, reason = "only its type matters")]
        pages: Vec<u32>,
    }

    #[track_caller]
    fn check(text: &str, message: &str) {
        assert_eq!(config::<Config>(text).unwrap_err().message, message);
    }

    #[test]
    fn a_wrong_config_names_the_place() {
        check(r#"{"pages": [1, "x"]}"#, r#"`config.pages[1]`: invalid type: string "x", expected u32"#);
        check(r#"{"pagse": []}"#, "`config.pagse`: unknown field `pagse`, expected `pages`");
        check("{}", "`config`: missing field `pages`");
    }
}
