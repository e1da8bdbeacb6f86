//! Gives as much as it is asked for.

use stepcell::prelude::*;

#[stepcell::data]
struct Config {
    /// The length of the text that comes out.
    bytes: usize,
}

/// Gives a text of a length.
#[stepcell::step(
    label = "Big output",
    icon = "maximize",
    category = "custom",
    max_output_bytes = 1000,
    context_fields = ["bytes"]
)]
fn big_output(config: Config) -> Result<Value, Failure> {
    Ok(json!({ "bytes": config.bytes, "text": "x".repeat(config.bytes) }))
}
