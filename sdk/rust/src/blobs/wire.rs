//! The host's store.

use crate::{
    Failure,
    capability::{self, Why},
};

mod bindings {
    #![allow(unsafe_code, clippy::allow_attributes_without_reason, reason = "wit-bindgen writes it")]
    wit_bindgen::generate!({ path: "wit/blobs", world: "imports", generate_unused_types: true });
}

use bindings::stepcell::blobs::blobs as host;

pub(super) fn put(bytes: &[u8]) -> Result<String, Failure> {
    host::put(bytes).map_err(failure)
}

pub(super) fn get(id: &str) -> Result<Vec<u8>, Failure> {
    host::get(id).map_err(failure)
}

fn failure(failure: host::Failure) -> Failure {
    let (why, message) = match failure {
        host::Failure::Denied(message) => (Why::Denied, message),
        host::Failure::Invalid(message) => (Why::Invalid, message),
        host::Failure::Missing(message) => (Why::Missing, message),
        host::Failure::Limit(message) => (Why::Limit, message),
        host::Failure::Unavailable(message) => (Why::Unavailable, message),
    };
    capability::failure("blobs", why, message)
}
