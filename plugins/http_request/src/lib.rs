//! `http_request`: asks a server for something, once. Retries are the engine's, by the flow's `retry`.

mod body;
mod config;
mod output;

use stepcell::{http, prelude::*};

use config::Config;
use output::Output;

/// Longer answers are a job to be polled for, or a wait for an event.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends an HTTP request. A status of 400 and up fails the step with the code `http_404` and the like.
#[stepcell::step(
    label = "HTTP Request",
    icon = "globe",
    category = "integrations",
    context_fields = ["status_code", "body"]
)]
fn http_request(config: Config, step: StepInfo) -> Result<Output, Failure> {
    let mut request = http::request(config.method.name(), config.url).timeout(TIMEOUT);
    for (name, value) in config.headers {
        request = request.header(name, value.to_string());
    }
    for (name, value) in config::parameters(config.params)? {
        request = request.query(&name, value);
    }
    if !config.method.is_safe() && request.header_value("idempotency-key").is_none() {
        request = request.header("Idempotency-Key", step.idempotency_key);
    }
    if let Some(value) = config.body {
        request = body::add(request, &value)?;
    }
    output::of(request.send()?.success()?)
}

#[cfg(test)]
mod tests;
