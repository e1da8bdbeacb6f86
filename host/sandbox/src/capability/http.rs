//! Outbound HTTP: what a cell gets for `stepcell:http/http`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use stepcell_core::grant::METHODS;
use tokio::time::timeout_at;

use super::{Full, Held, Session};
use crate::{
    bindings::stepcell::http::http::{Failure, Header, Host, Request, Response},
    connector::{self, Error, Phase, Target},
};

/// Headers that may be given at all. The connector takes fewer; this keeps the list from being copied.
const MAX_HEADERS: usize = 1_000;

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("stepcell/", env!("CARGO_PKG_VERSION")));

/// They frame the message or belong to one connection. With them a step could smuggle a second request.
const HOST_OWNED: [HeaderName; 10] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
];
const HOST_OWNED_OLD: [&str; 3] = ["keep-alive", "proxy-connection", "http2-settings"];

impl Session {
    async fn exchange(&mut self, request: Request) -> Result<connector::Response, Error> {
        let mut request = self.prepare(request)?;
        request.held = self.room_for(&request).await?;
        self.services.connector.send(request, Arc::clone(&self.access)).await
    }

    fn prepare(&mut self, request: Request) -> Result<connector::Request, Error> {
        let target = Target::parse(&request.url)?;
        let invalid = |reason: String| Error::Invalid { target: target.shown(), reason };
        let method = method(&request.method).map_err(invalid)?;
        let headers = headers(&request.headers).map_err(invalid)?;
        let deadline = match request.timeout_ms {
            Some(ms) => self.deadline.min(Instant::now() + Duration::from_millis(ms.into())),
            None => self.deadline,
        };
        Ok(connector::Request {
            headers,
            body: Bytes::from(request.body.unwrap_or_default()),
            deadline: deadline.into(),
            redirects: request.redirects,
            ..self.request(method, target)
        })
    }

    /// A bare request within this execution's limits, with the secrets that may be swapped in it.
    pub(super) fn request(&mut self, method: Method, target: Target) -> connector::Request {
        connector::Request {
            method,
            target,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            trailers: HeaderMap::new(),
            deadline: self.deadline.into(),
            timeouts: connector::Timeouts::default(),
            redirects: 0,
            swaps: self.swaps().clone(),
            request_bytes_max: self.limits.request.value,
            response_bytes_max: self.limits.response.value,
            ledger: Arc::clone(&self.ledger),
            held: Held::default(),
        }
    }

    /// Waits for room as long as the request may take.
    async fn room_for(&self, request: &connector::Request) -> Result<Held, Error> {
        let mut held = Held::default();
        let room = self.services.outgoing.send(&mut held, request.body.len(), self.ledger.shares());
        let found = timeout_at(request.deadline, room).await.unwrap_or(Err(Full));
        let unavailable = |full: Full| Error::Unavailable {
            peer: request.target.peer(),
            phase: Phase::Queueing,
            reason: full.to_string(),
        };
        found.map(|()| held).map_err(unavailable)
    }

    /// Keeps refusals for the run's log, with the lines that would allow it; the cell hears only why.
    fn fail(&mut self, error: Error) -> Failure {
        let message = error.to_string();
        match error {
            Error::Denied(denied) => {
                self.deny(denied.event());
                Failure::Denied(message)
            }
            Error::Invalid { .. } => Failure::Invalid(message),
            Error::Unavailable { .. } => Failure::Unavailable(message),
            Error::Timeout { .. } => Failure::Timeout(message),
            Error::Limit { .. } => Failure::Limit(message),
        }
    }
}

impl Host for Session {
    async fn send(&mut self, request: Request) -> Result<Response, Failure> {
        self.exchange(request).await.map(response).map_err(|error| self.fail(error))
    }
}

/// Drops what belongs to the host, and names the host where the step names nobody.
pub(super) fn finish_headers(mut headers: HeaderMap) -> HeaderMap {
    for name in HOST_OWNED {
        headers.remove(name);
    }
    for name in HOST_OWNED_OLD {
        headers.remove(name);
    }
    headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    headers
}

fn method(text: &str) -> Result<Method, String> {
    METHODS
        .iter()
        .find(|method| method.as_str().eq_ignore_ascii_case(text))
        .cloned()
        .ok_or_else(|| format!("`{}` is no method that a step can send", text.escape_debug()))
}

fn headers(given: &[Header]) -> Result<HeaderMap, String> {
    if given.len() > MAX_HEADERS {
        return Err(format!("it has more than {MAX_HEADERS} headers"));
    }
    let mut headers = HeaderMap::with_capacity(given.len() + 4);
    for Header { name, value } in given {
        let shown = name.escape_debug();
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("`{shown}` is no name of a header"))?;
        if HOST_OWNED.contains(&name) || HOST_OWNED_OLD.contains(&name.as_str()) {
            return Err(format!("the header `{name}` is set by the host"));
        }
        // The value may be a secret: it is not repeated.
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
            format!("the value of the header `{name}` holds a line break or control character")
        })?;
        headers.append(name, value);
    }
    headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    Ok(headers)
}

fn response(response: connector::Response) -> Response {
    let headers = response
        .headers
        .iter()
        .map(|(name, value)| Header { name: name.as_str().to_owned(), value: text(value.as_bytes()) })
        .collect();
    Response { status: response.status.as_u16(), headers, body: response.body, url: response.url }
}

/// UTF-8, or else Latin-1: what a header's bytes once meant.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

#[cfg(test)]
mod tests;
