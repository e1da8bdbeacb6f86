//! From what a step says to a mail that can leave.

use lettre::{
    Message as Composed,
    message::{Mailbox, MultiPart, SinglePart},
};

use crate::{bindings::stepcell::email::email::Message, mail::Mail};

/// Recipients of one mail. Servers take about a hundred.
const RECIPIENTS_MAX: usize = 100;
/// The longest subject, and the longest address with its name.
const LINE_BYTES_MAX: usize = 998;

/// A mail whose addresses were read. The error of everything here is a sentence for the step.
pub(super) struct Draft {
    to: Vec<Mailbox>,
    cc: Vec<Mailbox>,
    bcc: Vec<Mailbox>,
    reply_to: Option<Mailbox>,
    subject: String,
    text: String,
    html: Option<String>,
}

impl Draft {
    pub(super) fn of(message: Message) -> Result<Self, String> {
        let Message { to, cc, bcc, reply_to, subject, text, html } = message;
        if to.is_empty() {
            return Err("the mail has no recipient in `to`".to_owned());
        }
        if to.len() + cc.len() + bcc.len() > RECIPIENTS_MAX {
            return Err(format!("the mail has more than {RECIPIENTS_MAX} recipients"));
        }
        if subject.len() > LINE_BYTES_MAX || subject.contains(char::is_control) {
            return Err(format!(
                "the subject holds a line break or control character, or is longer than {LINE_BYTES_MAX} bytes"
            ));
        }
        Ok(Self {
            to: mailboxes("to", &to)?,
            cc: mailboxes("cc", &cc)?,
            bcc: mailboxes("bcc", &bcc)?,
            reply_to: reply_to.map(|address| mailbox("reply-to", &address)).transpose()?,
            subject,
            text: lines(text),
            html: html.map(lines),
        })
    }

    /// Everybody who gets it, without their names.
    pub(super) fn recipients(&self) -> impl Iterator<Item = &str> {
        let all = self.to.iter().chain(&self.cc).chain(&self.bcc);
        all.map(|mailbox| AsRef::<str>::as_ref(&mailbox.email))
    }

    /// Before it is encoded.
    pub(super) fn bytes(&self) -> u64 {
        let bodies = self.text.len() + self.html.as_ref().map_or(0, String::len);
        (bodies + self.subject.len()) as u64
    }

    pub(super) fn finish(self, from: Mailbox, id: &str) -> Result<Mail, String> {
        let mut builder =
            Composed::builder().from(from).subject(self.subject).message_id(Some(id.to_owned()));
        for mailbox in self.to {
            builder = builder.to(mailbox);
        }
        for mailbox in self.cc {
            builder = builder.cc(mailbox);
        }
        // They are in the envelope; the header is left out.
        for mailbox in self.bcc {
            builder = builder.bcc(mailbox);
        }
        if let Some(mailbox) = self.reply_to {
            builder = builder.reply_to(mailbox);
        }
        let composed = match self.html {
            Some(html) => builder.multipart(MultiPart::alternative_plain_html(self.text, html)),
            None => builder.singlepart(SinglePart::plain(self.text)),
        };
        let composed = composed.map_err(|error| format!("the mail can not be written: {error}"))?;
        let mut bytes = composed.formatted();
        if bytes.ends_with(b"\r\n") {
            bytes.truncate(bytes.len() - 2);
        }
        Ok(Mail { envelope: composed.envelope().clone(), bytes })
    }
}

/// With every kind of line end as one. A lone carriage return would stay as it is, and servers that take it for a
/// line's end would see the mail's end within it.
fn lines(text: String) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text }
}

fn mailboxes(field: &str, addresses: &[String]) -> Result<Vec<Mailbox>, String> {
    addresses.iter().map(|address| mailbox(field, address)).collect()
}

fn mailbox(field: &str, address: &str) -> Result<Mailbox, String> {
    let shown: String = address.chars().take(80).flat_map(char::escape_debug).collect();
    if address.len() > LINE_BYTES_MAX || address.contains(char::is_control) {
        return Err(format!("`{shown}` in `{field}` is too long, or holds a control character"));
    }
    let mailbox = address.parse::<Mailbox>();
    mailbox.map_err(|_| format!("`{shown}` in `{field}` is no address of mail"))
}
