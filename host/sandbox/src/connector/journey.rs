//! One request from its first check to its last byte, over all its hops.

use http::{HeaderValue, Method, header};
use http_body_util::Full;
use tokio::time::{Instant, timeout_at};

use super::{
    Error, Phase, Request, Response, Shared, Usage, admit,
    connection::{Broken, Connection, Key},
    dial::Call,
    error::reason,
    redirect,
};
use crate::{Grant, HttpRule};

/// Headers of one request. Protects the peer, and the host's memory.
const MAX_HEADERS: usize = 128;
/// Bytes of one request's headers.
const MAX_HEADER_BYTES: usize = 64 << 10;

pub(super) struct Journey<'a> {
    shared: &'a Shared,
    grant: &'a Grant,
    kind: &'a str,
    usage: Usage,
    phase: Phase,
    /// Whom we are talking to, for the message when the time is over.
    peer: String,
}

impl<'a> Journey<'a> {
    pub(super) fn new(shared: &'a Shared, grant: &'a Grant, kind: &'a str) -> Self {
        let (usage, phase, peer) = (Usage::default(), Phase::Queueing, String::new());
        Self { shared, grant, kind, usage, phase, peer }
    }

    pub(super) async fn travel(mut self, request: Request) -> (Result<Response, Error>, Usage) {
        let (started, deadline) = (Instant::now(), request.deadline);
        let result = match timeout_at(deadline, self.hops(request)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout {
                peer: self.peer,
                phase: self.phase,
                after: deadline.saturating_duration_since(started),
            }),
        };
        (result, self.usage)
    }

    async fn hops(&mut self, mut request: Request) -> Result<Response, Error> {
        let mut followed = 0;
        let mut from: Option<String> = None;
        loop {
            let response = match (self.hop(&request).await, &from) {
                (Err(Error::Denied(denied)), Some(from)) => return Err(denied.redirected_from(from).into()),
                (result, _) => result?,
            };
            let Some(next) = redirect::location(&request.target, response.status, &response.headers) else {
                return Ok(response);
            };
            if request.redirects == 0 {
                return Ok(response);
            }
            followed += 1;
            if followed > request.redirects.min(redirect::MAX_REDIRECTS) {
                let message = format!("`{}` redirects more than {} times", self.peer, followed - 1);
                return Err(Error::Limit { message });
            }
            let origin = request.target.origin();
            let next = next.map_err(|denied| denied.redirected_from(&origin))?;
            redirect::rewrite(&mut request, response.status, next);
            from = Some(origin);
        }
    }

    async fn hop(&mut self, request: &Request) -> Result<Response, Error> {
        self.peer = request.target.peer();
        let rules = admit::target(self.grant, self.kind, &request.target, &request.method)?;
        self.check_size(request)?;
        if self.usage.requests >= request.requests_max {
            let message = format!("`{}` would be one request too many for this execution", self.peer);
            return Err(Error::Limit { message });
        }
        self.usage.requests += 1;
        let outgoing = outgoing(request)?;
        self.phase = Phase::Queueing;
        let _turn = self
            .shared
            .turns
            .acquire()
            .await
            .map_err(|error| Error::Unavailable { peer: self.peer.clone(), reason: reason(&error) })?;
        let key = Key::of(&request.target);
        while let Some(mut idle) = self.shared.pool.take(&key, |address| admit::opens(&rules, address)) {
            if !idle.ready().await {
                continue;
            }
            match self.exchange(idle, request, outgoing.clone()).await {
                // The peer closed it at the same moment. What changes nothing can be asked again.
                Err(Broken::BeforeSending) => {}
                Err(Broken::BeforeResponse(_)) if request.method.is_safe() => {}
                done => return done.map_err(|broken| self.broken(broken)),
            }
        }
        let fresh = self.dial(request, &rules).await?;
        self.exchange(fresh, request, outgoing).await.map_err(|broken| self.broken(broken))
    }

    async fn dial(&mut self, request: &Request, rules: &[&HttpRule]) -> Result<Connection, Error> {
        self.phase = Phase::Connecting;
        let call = Call {
            target: &request.target,
            grant: self.grant,
            rules,
            kind: self.kind,
            phase: &mut self.phase,
        };
        self.shared.dialer.dial(call).await
    }

    async fn exchange(
        &mut self,
        mut connection: Connection,
        request: &Request,
        outgoing: http::Request<Full<bytes::Bytes>>,
    ) -> Result<Response, Broken> {
        self.phase = Phase::Responding;
        self.usage.sent_bytes += request.body.len() as u64;
        let response = connection.send(outgoing).await?;
        self.phase = Phase::Reading;
        let max = self.shared.response_bytes_max;
        let (head, body) = connection.read(response, max, &mut self.usage.received_bytes).await?;
        if connection.ready().await {
            self.shared.pool.put(connection);
        }
        let url = request.target.url().clone();
        Ok(Response { status: head.status, headers: head.headers, body, url })
    }

    fn check_size(&self, request: &Request) -> Result<(), Error> {
        let max = self.shared.request_bytes_max;
        let headers: usize =
            request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let message = if request.body.len() > max {
            format!("the request body to `{}` is larger than {max} bytes", self.peer)
        } else if request.headers.len() > MAX_HEADERS {
            format!("the request to `{}` has more than {MAX_HEADERS} headers", self.peer)
        } else if headers > MAX_HEADER_BYTES {
            format!("the headers to `{}` are larger than {MAX_HEADER_BYTES} bytes", self.peer)
        } else {
            return Ok(());
        };
        Err(Error::Limit { message })
    }

    fn broken(&self, broken: Broken) -> Error {
        let peer = self.peer.clone();
        let reason = match broken {
            Broken::TooLarge(part) => {
                let max = self.shared.response_bytes_max;
                let message = match part {
                    "body" => format!("the response body of `{peer}` is larger than {max} bytes"),
                    part => format!("the response {part} of `{peer}` is larger than the host takes"),
                };
                return Error::Limit { message };
            }
            Broken::BeforeSending => "the connection was closed before the request was sent".to_owned(),
            Broken::BeforeResponse(error) => format!("no response: {}", reason(&error)),
            Broken::InResponse(error) => format!("the response broke off: {}", reason(&error)),
        };
        Error::Unavailable { peer, reason }
    }
}

/// With what belongs to the host; nothing is compressed, so that a small answer can not become a large one.
fn outgoing(request: &Request) -> Result<http::Request<Full<bytes::Bytes>>, Error> {
    let invalid =
        |error: http::Error| Error::Invalid { target: request.target.shown(), reason: error.to_string() };
    let host = HeaderValue::from_str(&request.target.authority()).map_err(|error| invalid(error.into()))?;
    let mut outgoing = http::Request::builder()
        .method(request.method.clone())
        .uri(request.target.path_and_query())
        .body(Full::new(request.body.clone()))
        .map_err(invalid)?;
    let headers = outgoing.headers_mut();
    // First, as the RFC wants it.
    headers.insert(header::HOST, host);
    headers.extend(request.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    headers.entry(header::ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
    let expects_body = matches!(request.method, Method::POST | Method::PUT | Method::PATCH);
    if expects_body && request.body.is_empty() {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Ok(outgoing)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::connector::{Target, tests::support::request};

    proptest! {
        #[test]
        fn every_target_makes_a_request_line(path in "\\PC{0,20}", query in "\\PC{0,20}") {
            if let Ok(target) = Target::parse(&format!("http://a.example/{path}?{query}")) {
                let outgoing = outgoing(&request(Method::GET, target.clone())).unwrap();
                prop_assert_eq!(outgoing.uri().to_string(), target.path_and_query());
            }
        }
    }
}
