//! `send_email`: hands one mail to the operator's server. Addresses, sizes and who may be written to are the host's to
//! check.

use stepcell::{
    email::{self, Message},
    prelude::*,
};

#[stepcell::data]
struct Config {
    /// An address such as `ada@example.com` or `Ada <ada@example.com>`, or a list of them.
    to: Addresses,
    /// One line.
    subject: String,
    /// Plain text.
    body: String,
    /// The same as HTML, for readers that show it.
    #[serde(default)]
    html: Option<String>,
    /// Others who see it.
    #[serde(default)]
    cc: Addresses,
    /// Others whom nobody sees.
    #[serde(default)]
    bcc: Addresses,
    /// Where an answer goes; the sender where absent.
    #[serde(default)]
    reply_to: Option<String>,
}

#[stepcell::data]
#[serde(untagged)]
enum Addresses {
    One(String),
    Many(Vec<String>),
}

impl Default for Addresses {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Addresses {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(address) => vec![address],
            Self::Many(addresses) => addresses,
        }
    }
}

#[stepcell::data]
struct Output {
    /// Always true: the server has taken it. A mail that was not sent fails the step.
    sent: bool,
    /// The mail's `Message-ID`, the same on every attempt.
    message_id: String,
}

/// Sends one mail. A recipient or a mail that the server refuses for good fails with the code `email_rejected`.
#[stepcell::step(
    label = "Send Email",
    icon = "mail",
    category = "integrations",
    context_fields = ["sent", "message_id"],
    examples = "examples.json"
)]
fn send_email(config: Config) -> Result<Output, Failure> {
    let to = config.to.list();
    if to.is_empty() {
        return Err(
            Failure::config("`config.to` is an empty list: a mail needs a recipient").code("config_invalid")
        );
    }
    let message_id = email::send(Message {
        to,
        cc: config.cc.list(),
        bcc: config.bcc.list(),
        reply_to: config.reply_to,
        subject: config.subject,
        text: config.body,
        html: config.html,
    })?;
    Ok(Output { sent: true, message_id })
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use stepcell::{email::mock, testing};

    use super::*;

    /// Runs the step against `answer` and gives its result and the mail that it sent.
    fn call(config: Value, answer: Result<String, Failure>) -> (Result<Value, Failure>, Option<Message>) {
        let sent = Rc::new(RefCell::new(None));
        let seen = Rc::clone(&sent);
        let _mock = mock(move |message| {
            assert_eq!(seen.replace(Some(message.clone())), None, "a step sends one mail");
            answer.clone()
        });
        (testing::execute::<send_email>(config), sent.take())
    }

    #[track_caller]
    fn check(config: Value, expected: Message) {
        let (result, message) = call(config, Ok("<id@h>".to_owned()));
        assert_eq!(result.unwrap(), json!({ "sent": true, "message_id": "<id@h>" }));
        assert_eq!(message.unwrap(), expected);
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn one_address_and_plain_text_are_enough() {
        check(
            json!({ "to": "ada@h", "subject": "S", "body": "B\n" }),
            Message {
                to: strings(&["ada@h"]),
                subject: "S".to_owned(),
                text: "B\n".to_owned(),
                ..Message::default()
            },
        );
    }

    #[test]
    fn every_key_goes_out() {
        check(
            json!({
                "to": ["Ada <ada@h>", "bob@h"],
                "cc": "c@h",
                "bcc": ["d@h", "e@h"],
                "reply_to": "r@h",
                "subject": "S",
                "body": "B",
                "html": "<p>B</p>",
            }),
            Message {
                to: strings(&["Ada <ada@h>", "bob@h"]),
                cc: strings(&["c@h"]),
                bcc: strings(&["d@h", "e@h"]),
                reply_to: Some("r@h".to_owned()),
                subject: "S".to_owned(),
                text: "B".to_owned(),
                html: Some("<p>B</p>".to_owned()),
            },
        );
    }

    #[test]
    fn a_wrong_config_sends_nothing() {
        for config in [
            json!({}),
            json!({ "to": [], "subject": "S", "body": "B" }),
            json!({ "to": { "ada": "h" }, "subject": "S", "body": "B" }),
            json!({ "to": "a@h", "subject": "S" }),
            json!({ "to": "a@h", "subject": "S", "body": "B", "from": "x@h" }),
        ] {
            let (result, message) = call(config.clone(), Ok(String::new()));
            assert_eq!(result.unwrap_err().fault, Fault::Config, "{config}");
            assert_eq!(message, None, "{config}");
        }
    }

    #[test]
    fn the_servers_no_comes_through_unchanged() {
        let rejected = Failure::failed("550 no such user").code("email_rejected");
        let (result, _) = call(json!({ "to": "a@h", "subject": "S", "body": "B" }), Err(rejected.clone()));
        assert_eq!(result.unwrap_err(), rejected);
    }

    #[test]
    fn the_catalog_shows_it_as_an_integration() {
        let entry = testing::describe::<send_email>();
        assert_eq!((&entry["label"], &entry["icon"]), (&json!("Send Email"), &json!("mail")));
        assert_eq!((&entry["category"], &entry["context"]), (&json!("integrations"), &json!("none")));
        assert_eq!(entry["config_schema"]["required"], json!(["to", "subject", "body"]));
    }

    #[test]
    fn the_examples_hold() {
        let _mock = mock(|_| Ok("<1f0c@example.com>".to_owned()));
        testing::check_examples::<send_email>();
    }
}
