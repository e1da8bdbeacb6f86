//! Says no, in the way it is asked to.

use stepcell::prelude::*;

#[stepcell::data]
struct Config {
    code: String,
    #[serde(default)]
    retryable: bool,
}

/// Fails with a code.
#[stepcell::step(label = "Fails", icon = "x", category = "custom")]
fn fails(config: Config) -> Result<Value, Failure> {
    let failure = Failure::failed(format!("it was asked to fail with `{}`", config.code)).code(config.code);
    Err(if config.retryable { failure.retryable() } else { failure })
}
