//! The README's first step.

use stepcell::prelude::*;

#[stepcell::data]
struct Config {
    name: String,
}

/// Greets somebody.
#[stepcell::step(label = "Hello", icon = "hand", category = "custom")]
fn hello(config: Config) -> Result<Value, Failure> {
    Ok(json!({ "greeting": format!("Hello, {}!", config.name) }))
}
