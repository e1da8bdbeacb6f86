//! Sends mails, each exactly as it is told.

use stepcell::{
    email::{self, Message},
    prelude::*,
};

#[stepcell::data]
struct Config {
    mails: Vec<Mail>,
}

#[stepcell::data]
struct Mail {
    to: Vec<String>,
    #[serde(default)]
    cc: Vec<String>,
    #[serde(default)]
    bcc: Vec<String>,
    #[serde(default)]
    reply_to: Option<String>,
    subject: String,
    text: String,
    #[serde(default)]
    html: Option<String>,
}

/// Gives the message ids.
#[stepcell::step(label = "Sends email", icon = "mail", category = "custom")]
fn sends_email(config: Config) -> Result<Vec<String>, Failure> {
    let send = |mail| {
        let Mail { to, cc, bcc, reply_to, subject, text, html } = mail;
        email::send(Message { to, cc, bcc, reply_to, subject, text, html })
    };
    config.mails.into_iter().map(send).collect()
}
