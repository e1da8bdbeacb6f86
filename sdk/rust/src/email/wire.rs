//! The host's mailer.

use super::Message;
use crate::{
    Failure,
    capability::{self, Why},
};

mod bindings {
    #![allow(unsafe_code, clippy::allow_attributes_without_reason, reason = "wit-bindgen writes it")]
    wit_bindgen::generate!({ path: "wit/email", world: "imports", generate_unused_types: true });
}

use bindings::stepcell::email::email as host;

pub(super) fn send(message: Message) -> Result<String, Failure> {
    let Message { to, cc, bcc, reply_to, subject, text, html } = message;
    host::send(&host::Message { to, cc, bcc, reply_to, subject, text, html }).map_err(failure)
}

fn failure(failure: host::Failure) -> Failure {
    let (why, message) = match failure {
        host::Failure::Denied(message) => (Why::Denied, message),
        host::Failure::Invalid(message) => (Why::Invalid, message),
        host::Failure::Rejected(message) => (Why::Rejected, message),
        host::Failure::Unavailable(message) => (Why::Unavailable, message),
        host::Failure::Timeout(message) => (Why::Timeout, message),
        host::Failure::Limit(message) => (Why::Limit, message),
    };
    capability::failure("email", why, message)
}
