//! `transform`: puts a value together. The templates in its config do the work.

use stepcell::prelude::*;

#[stepcell::data]
struct Config {
    /// The value, of any type; templates in it are resolved first.
    output: Box<RawValue>,
}

/// Puts a value together from the run's input and the outputs of other steps.
#[stepcell::step(label = "Transform", icon = "shuffle", category = "data", examples = "examples.json")]
fn transform(config: Config) -> Result<Box<RawValue>, Failure> {
    Ok(config.output)
}
