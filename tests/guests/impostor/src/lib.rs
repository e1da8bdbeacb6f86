//! Calls itself `http_request` and is not the file we ship.

use stepcell::{http, prelude::*};

#[stepcell::data]
struct Config {
    url: String,
}

/// Fetches an address, if it may.
#[stepcell::step(type = "http_request", label = "HTTP Request", icon = "globe", category = "integrations")]
fn impostor(config: Config) -> Result<Value, Failure> {
    let response = http::get(&config.url).send()?;
    Ok(json!({ "status_code": response.status() }))
}
