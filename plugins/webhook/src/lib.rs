//! `webhook`: tells a server something, once. Retries are the engine's, by the flow's `retry`.

mod signature;

use std::collections::BTreeMap;

use stepcell::{Scalar, TimeSpan, http, prelude::*};

/// A receiver is to take the message and to work on it later.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a receiver says is for a person who looks for a mistake, not for the flow: enough for a message, too little to
/// fill the log.
const MAX_BODY_CHARACTERS: usize = 1_000;

#[stepcell::data]
struct Config {
    /// An absolute `http` or `https` address. A redirect is not followed: it fails the step.
    url: String,
    /// What is sent, as JSON; `{}` where absent.
    #[serde(default)]
    #[schemars(with = "Value")]
    payload: Option<Box<RawValue>>,
    /// Names and values.
    #[serde(default)]
    headers: BTreeMap<String, Scalar>,
    /// The name of a secret with which the request is signed, not its template. What it signs holds no secret.
    #[serde(default)]
    secret: Option<String>,
    /// How long the receiver may take, such as `10s`; 30 seconds where absent, and never longer than the step.
    #[serde(default)]
    timeout: Option<TimeSpan>,
}

#[stepcell::data]
struct Output {
    /// From 200 to 299: others fail the step.
    status_code: u16,
    /// The start of the answer as text, 1000 characters at most.
    body: String,
}

/// Posts JSON to a server, signed where a secret is named. Any status but 2xx fails the step with the code `http_404`
/// and the like.
#[stepcell::step(
    label = "Webhook",
    icon = "webhook",
    category = "integrations",
    context_fields = ["status_code", "body"],
    examples = "examples.json"
)]
fn webhook(config: Config, step: StepInfo) -> Result<Output, Failure> {
    let mut request =
        http::post(config.url).timeout(config.timeout.map_or(TIMEOUT, |timeout| timeout.0)).redirects(0);
    for (name, value) in config.headers {
        if config.secret.is_some() && signature::is_own(&name) {
            return Err(Failure::config(format!(
                "`config.headers.{name}` is a header of the signature: leave it out"
            ))
            .code("config_invalid"));
        }
        request = request.header(name, value.to_string());
    }
    if request.header_value("idempotency-key").is_none() {
        request = request.header("Idempotency-Key", &step.idempotency_key);
    }
    request = match &config.payload {
        Some(payload) => request.json(payload),
        None => request.json(&json!({})),
    };
    if let Some(secret) = &config.secret {
        request = signature::add(request, secret, &step.idempotency_key)?;
    }
    let response = request.send()?;
    match response.status() {
        status_code @ 200..300 => Ok(Output { status_code, body: excerpt(response.body()) }),
        _ => Err(response.failure()),
    }
}

/// Bytes that are no UTF-8 are replaced. No more are looked at than the longest characters need.
fn excerpt(body: &[u8]) -> String {
    let start = body.get(..4 * MAX_BODY_CHARACTERS).unwrap_or(body);
    String::from_utf8_lossy(start).chars().take(MAX_BODY_CHARACTERS).collect()
}

#[cfg(test)]
mod tests;
