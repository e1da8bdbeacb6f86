//! Why the server did not take a mail.

use std::{error::Error as _, time::Duration};

use lettre::transport::smtp;

use super::config::MailConfig;
use crate::connector::reason;

/// The most of the server's words that a message repeats. Protects the log: a failure is an event.
const WORDS_CHARS_MAX: usize = 500;

/// Names the server, never the password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// For good.
    #[error("the mail server `{server}` refuses {what}: {words}")]
    Rejected { server: String, what: &'static str, words: String },
    /// No connection, it broke, or the server asks to come back later.
    #[error("the mail server `{server}` is not available: {reason}")]
    Unavailable { server: String, reason: String },
    #[error("the mail server `{server}` took too long: {}", late(doing, *after))]
    Timeout { server: String, doing: &'static str, after: Option<Duration> },
}

impl Error {
    /// What the library says of a mail, or of a connection before its login.
    pub(super) fn of(config: &MailConfig, error: &smtp::Error) -> Self {
        Self::about(config, error, "the mail")
    }

    /// The server's words on a login are not repeated: they are the operator's business, and the code says it.
    pub(super) fn login(config: &MailConfig, error: &smtp::Error) -> Self {
        let server = config.server();
        match error.status() {
            Some(code) if error.is_permanent() => {
                let words = format!("code {code}; see `email.url` in stepcell.yaml");
                Self::Rejected { server, what: "the login", words }
            }
            Some(code) => {
                Self::Unavailable { server, reason: format!("it answers the login with code {code}") }
            }
            None => Self::about(config, error, "the login"),
        }
    }

    /// A connection that did not come about.
    pub(super) fn broken(config: &MailConfig, error: &std::io::Error) -> Self {
        Self::Unavailable { server: config.server(), reason: spoken(config, &reason(error)) }
    }

    pub(super) fn no_starttls(config: &MailConfig) -> Self {
        let reason =
            "it does not offer STARTTLS, which `email.url` asks for; with `?tls=none` mail goes in the open";
        Self::Unavailable { server: config.server(), reason: reason.to_owned() }
    }

    pub(super) fn late(config: &MailConfig, doing: &'static str, after: Option<Duration>) -> Self {
        Self::Timeout { server: config.server(), doing, after }
    }

    fn about(config: &MailConfig, error: &smtp::Error, what: &'static str) -> Self {
        let server = config.server();
        let words = error.source().map(ToString::to_string).unwrap_or_default();
        match error.status() {
            Some(code) if error.is_permanent() => {
                Self::Rejected { server, what, words: spoken(config, &format!("{code} {words}")) }
            }
            Some(code) => {
                Self::Unavailable { server, reason: spoken(config, &format!("it answers {code} {words}")) }
            }
            // What the library itself refuses to send to this server, such as an address that it can not read.
            None if error.is_client() => Self::Rejected { server, what, words: spoken(config, &words) },
            None => Self::Unavailable { server, reason: spoken(config, &reason(error)) },
        }
    }
}

/// One line of bounded length that does not hold the password, whatever the server said.
fn spoken(config: &MailConfig, words: &str) -> String {
    let hidden = config.login.iter().flat_map(|login| &login.hidden);
    if hidden.into_iter().any(|hidden| words.contains(hidden.as_str())) {
        return "its answer holds the password and is not repeated".to_owned();
    }
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let line: String = words.trim().chars().map(plain).take(WORDS_CHARS_MAX).collect();
    line.trim_end().to_owned()
}

fn late(doing: &str, after: Option<Duration>) -> String {
    match after {
        Some(after) => format!("no end of {doing} after {} ms", after.as_millis()),
        None => format!("no end of {doing} within the step's time"),
    }
}
