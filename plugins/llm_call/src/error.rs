//! What a provider's error means for the flow.

use std::time::Duration;

use stepcell::{http::Response, prelude::*, serde_json};

use crate::{key::Key, provider::Provider};

/// How much of a provider's own words goes into the message: enough for its reason, too little to fill the log.
const MAX_WORDS: usize = 500;

/// Errors that a provider names by a word, under `type`, `code`, `status` or `reason`.
const QUOTA: [&str; 4] =
    ["insufficient_quota", "billing_error", "billing_hard_limit_reached", "billing_not_active"];
const TOO_LONG: [&str; 4] =
    ["context_length_exceeded", "request_too_large", "exceed_context_size_error", "string_above_max_length"];
const FILTERED: [&str; 3] = ["content_filter", "content_policy_violation", "responsibleaipolicyviolation"];
const DENIED: [&str; 4] = ["authentication_error", "permission_error", "invalid_api_key", "api_key_invalid"];

/// Errors that some have no word for, so that only their sentences tell. "You exceeded your current quota" is none of
/// them: OpenAI has a word for it, and Google says it of a limit per minute too.
const QUOTA_SENTENCES: [&str; 1] = ["credit balance is too low"];
const TOO_LONG_SENTENCES: [&str; 6] = [
    "prompt is too long",
    "exceed context limit",
    "maximum context length",
    "context window",
    "available context size",
    "exceeds the maximum number of tokens",
];

/// The failure for a status that is not 2xx.
pub(crate) fn failure(provider: Provider, response: &Response, key: &Key) -> Failure {
    let complaint = Complaint::of(response);
    let mut failure = response.failure();
    let class = class(response.status(), &complaint);
    let (fault, code, retryable) = class.meaning();
    if let Some(words) = &complaint.message {
        failure.message =
            format!("{}: {}", failure.message, words.chars().take(MAX_WORDS).collect::<String>());
    }
    if let (Class::Denied, Key::None(why)) = (class, key) {
        failure.message = format!("{}; no key was sent: {why}", failure.message);
    }
    if let Some(Value::Object(details)) = failure.details.as_deref_mut() {
        details.insert("provider".to_owned(), provider.name().into());
    }
    failure.fault = fault;
    failure.code = Some(code.to_owned());
    if !retryable {
        return failure.permanent();
    }
    failure.retry_after = failure.retry_after.or_else(|| retry_after_ms(response)).or(complaint.retry_after);
    failure.retryable()
}

#[derive(Clone, Copy)]
enum Class {
    Quota,
    TooLong,
    Filtered,
    Denied,
    RateLimited,
    Timeout,
    Overloaded,
    Moved,
    NotFound,
    Invalid,
}

impl Class {
    fn meaning(self) -> (Fault, &'static str, bool) {
        match self {
            Self::Quota => (Fault::Limit, "llm_quota", false),
            Self::TooLong => (Fault::Limit, "llm_context_too_long", false),
            Self::Filtered => (Fault::Failed, "llm_content_filter", false),
            Self::Denied => (Fault::Denied, "llm_denied", false),
            Self::RateLimited => (Fault::Unavailable, "llm_rate_limited", true),
            Self::Timeout => (Fault::Timeout, "llm_timeout", true),
            Self::Overloaded => (Fault::Unavailable, "llm_overloaded", true),
            Self::Moved => (Fault::Config, "llm_moved", false),
            Self::NotFound => (Fault::Config, "llm_not_found", false),
            Self::Invalid => (Fault::Config, "llm_invalid_request", false),
        }
    }
}

/// The words go before the status: a used-up quota is a 429 with one provider and a 400 with another.
fn class(status: u16, complaint: &Complaint) -> Class {
    match status {
        400..500 if complaint.has(&QUOTA, &QUOTA_SENTENCES) => Class::Quota,
        400 | 413 | 422 if complaint.has(&TOO_LONG, &TOO_LONG_SENTENCES) => Class::TooLong,
        400..500 if complaint.has(&FILTERED, &[]) => Class::Filtered,
        400..500 if complaint.has(&DENIED, &[]) => Class::Denied,
        401 | 403 | 407 => Class::Denied,
        402 => Class::Quota,
        404 => Class::NotFound,
        408 | 504 => Class::Timeout,
        413 => Class::TooLong,
        425 | 429 => Class::RateLimited,
        500.. => Class::Overloaded,
        400.. => Class::Invalid,
        _ => Class::Moved,
    }
}

/// What the body of an error says, in whichever of the published formats it is.
#[derive(Default)]
struct Complaint {
    /// In lower case.
    words: Vec<String>,
    message: Option<String>,
    retry_after: Option<Duration>,
}

impl Complaint {
    fn of(response: &Response) -> Self {
        let Ok(body) = serde_json::from_slice::<Value>(response.body()) else { return Self::default() };
        // Some servers put the error's keys at the top, or give a sentence for the whole error.
        let error = body.get("error").unwrap_or(&body);
        let details = error.get("details").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let named = [error].into_iter().chain(details).flat_map(|value| {
            ["type", "code", "status", "reason"].into_iter().filter_map(|key| value.get(key)?.as_str())
        });
        Self {
            words: named.map(str::to_lowercase).collect(),
            message: error.get("message").unwrap_or(error).as_str().map(str::to_owned),
            retry_after: details.iter().find_map(|detail| seconds(detail.get("retryDelay")?.as_str()?)),
        }
    }

    fn has(&self, words: &[&str], sentences: &[&str]) -> bool {
        let message = self.message.as_deref().unwrap_or_default().to_lowercase();
        self.words.iter().any(|word| words.contains(&word.as_str()))
            || sentences.iter().any(|sentence| message.contains(sentence))
    }
}

/// OpenAI's finer word beside `retry-after`.
fn retry_after_ms(response: &Response) -> Option<Duration> {
    let millis = response.header("retry-after-ms")?.trim().parse::<f64>().ok()?;
    Duration::try_from_secs_f64(millis / 1_000.0).ok()
}

/// Google's `34s` and `0.5s`.
fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.strip_suffix('s')?.parse().ok()?).ok()
}
