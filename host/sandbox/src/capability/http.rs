//! Outbound HTTP: what a cell gets for `stepcell:http/http`.

use crate::bindings::stepcell::http::http::{Failure, Host, Request, Response};

/// What one cell may reach, and what it has used of it.
#[derive(Debug, Default)]
pub(crate) struct HttpAccess {}

impl HttpAccess {
    /// Sends one request, as far as the grants admit it.
    pub(crate) async fn send(&mut self, request: Request) -> Result<Response, Failure> {
        Err(Failure::Denied(format!("no grant admits `{}`", request.url)))
    }
}

impl Host for HttpAccess {
    async fn send(&mut self, request: Request) -> Result<Response, Failure> {
        HttpAccess::send(self, request).await
    }
}
