//! The host's secrets.

use crate::{
    Failure,
    capability::{self, Why},
};

mod bindings {
    #![allow(unsafe_code, clippy::allow_attributes_without_reason, reason = "wit-bindgen writes it")]
    wit_bindgen::generate!({ path: "wit/secrets", world: "imports", generate_unused_types: true });
}

use bindings::stepcell::secrets::secrets as host;

pub(super) fn placeholder(name: &str) -> Result<String, Failure> {
    host::placeholder(name).map_err(failure)
}

pub(super) fn basic(user: &str, name: &str) -> Result<String, Failure> {
    host::basic(user, name).map_err(failure)
}

pub(super) fn hmac_sha256(name: &str, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    host::hmac_sha256(name, bytes).map_err(failure)
}

fn failure(failure: host::Failure) -> Failure {
    let (why, message) = match failure {
        host::Failure::Denied(message) => (Why::Denied, message),
        host::Failure::Invalid(message) => (Why::Invalid, message),
    };
    capability::failure("secrets", why, message)
}
