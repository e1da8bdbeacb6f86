//! The host's connector.

use std::time::Duration;

use super::{Request, Response};
use crate::{
    Failure,
    capability::{self, Why},
};

mod bindings {
    #![allow(unsafe_code, clippy::allow_attributes_without_reason, reason = "wit-bindgen writes it")]
    wit_bindgen::generate!({ path: "wit/http", world: "imports", generate_unused_types: true });
}

use bindings::stepcell::http::http as host;

pub(super) fn send(request: Request) -> Result<Response, Failure> {
    let header = |(name, value)| host::Header { name, value };
    let request = host::Request {
        method: request.method,
        url: request.url,
        headers: request.headers.into_iter().map(header).collect(),
        body: request.body?,
        timeout_ms: request.timeout.map(milliseconds),
        redirects: request.redirects,
    };
    let response = host::send(&request).map_err(failure)?;
    let mut received = Response::new(response.status).with_body(response.body).with_url(response.url);
    for host::Header { name, value } in response.headers {
        received = received.with_header(&name, value);
    }
    Ok(received)
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn failure(failure: host::Failure) -> Failure {
    let (why, message) = match failure {
        host::Failure::Denied(message) => (Why::Denied, message),
        host::Failure::Invalid(message) => (Why::Invalid, message),
        host::Failure::Unavailable(message) => (Why::Unavailable, message),
        host::Failure::Timeout(message) => (Why::Timeout, message),
        host::Failure::Limit(message) => (Why::Limit, message),
    };
    capability::failure("http", why, message)
}
