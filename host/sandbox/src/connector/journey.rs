//! One request from its first check to its last byte, over all its hops.

use http::{HeaderValue, Method, header};
use tokio::time::{Instant, timeout_at};

use super::{
    Bound, Error, Phase, Request, Response, Shared, Whole,
    admit::{self, Admitted},
    connection::{Broken, Connection, Key, Reading, Received},
    dial::{Call, Count},
    error::reason,
    mask::Mask,
    redirect,
    replace::TooLong,
    secrets::{self, Dressed},
    within,
};
use crate::access::Access;

/// Headers of one request. Protects the peer, and the host's memory.
const MAX_HEADERS: usize = 128;
/// Bytes of one request's headers, secrets included.
const MAX_HEADER_BYTES: usize = 64 << 10;

pub(super) struct Journey<'a> {
    shared: &'a Shared,
    access: &'a Access,
    mask: Mask<'a>,
    phase: Phase,
    /// Whom we are talking to, for the message when the time is over.
    peer: String,
}

impl<'a> Journey<'a> {
    /// `mask` is for the request's own secrets.
    pub(super) fn new(shared: &'a Shared, access: &'a Access, mask: Mask<'a>) -> Self {
        Self { shared, access, mask, phase: Phase::Queueing, peer: String::new() }
    }

    pub(super) async fn travel(mut self, request: Request) -> Result<Response, Error> {
        let (started, deadline) = (Instant::now(), request.deadline);
        let max = self.bytes_max(request.response_bytes_max);
        let result = match timeout_at(deadline, self.hops(request)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout {
                peer: self.peer.clone(),
                phase: self.phase,
                after: deadline.saturating_duration_since(started),
            }),
        };
        let Self { mask, peer, .. } = &self;
        let masked =
            |response| mask.response(response, max).map_err(|TooLong| Error::response_too_large(peer, max));
        result.and_then(masked).map_err(|error| mask.error(error))
    }

    async fn hops(&mut self, mut request: Request) -> Result<Response, Error> {
        let mut followed = 0;
        let mut from: Option<String> = None;
        loop {
            let response = match (self.hop(&request).await, &from) {
                (Err(Error::Denied(denied)), Some(from)) => return Err(denied.redirected_from(from).into()),
                (result, _) => result?,
            };
            let next = redirect::location(&request.target, response.status, &response.headers, &self.mask);
            let Some(next) = next.filter(|_| request.redirects > 0) else { return Ok(response) };
            followed += 1;
            if followed > request.redirects.min(redirect::MAX_REDIRECTS) {
                let message = format!("`{}` redirects more than {} times", self.peer, followed - 1);
                return Err(Error::Limit { bound: Bound::Redirects, message });
            }
            let origin = request.target.origin();
            let next = next.map_err(|denied| denied.redirected_from(&origin))?;
            redirect::rewrite(&mut request, self.access, response.status, next);
            from = Some(origin);
        }
    }

    async fn hop(&mut self, request: &Request) -> Result<Response, Error> {
        self.peer = request.target.peer();
        secrets::check_places(request)?;
        let admitted = admit::target(self.access, &request.target, &request.method)?;
        let dressed = secrets::dress(request, self.access, self.bytes_max(request.request_bytes_max))?;
        self.check_size(request, &dressed)?;
        let sent = dressed.body.len() as u64;
        let outgoing = outgoing(request, dressed)?;
        self.phase = Phase::Queueing;
        let _turn = self.shared.turns.acquire().await.map_err(|error| self.unavailable(reason(&error)))?;
        let peer = self.peer.clone();
        let mut counted = false;
        let mut count = || {
            // One that has to be sent again is still the same request.
            if counted {
                return Ok(());
            }
            counted = true;
            request.ledger.count_request(sent).map_err(|spent| Error::spent(&peer, spent))
        };
        self.reach(request, &admitted, outgoing, &mut count).await
    }

    /// Over an idle connection, or else a new one. `count` comes before both, and after all that can refuse.
    async fn reach(
        &mut self,
        request: &Request,
        admitted: &Admitted<'_>,
        outgoing: http::Request<Whole>,
        count: &mut Count<'_>,
    ) -> Result<Response, Error> {
        let key = Key::of(&request.target);
        while let Some(mut idle) = self.shared.pool.take(&key, |address| admitted.opens(address)) {
            if !idle.ready().await {
                continue;
            }
            count()?;
            match self.exchange(idle, request, outgoing.clone()).await {
                // The peer closed it at the same moment. What changes nothing can be asked again.
                Err(Broken::BeforeSending) => {}
                Err(Broken::BeforeResponse(_)) if request.method.is_safe() => {}
                done => return done.map_err(|broken| self.broken(request, broken)),
            }
        }
        self.phase = Phase::Connecting;
        let fresh = self.shared.dialer.dial(Call {
            target: &request.target,
            admitted,
            timeout: request.timeouts.connect,
            count,
            phase: &mut self.phase,
        });
        let fresh = fresh.await?;
        self.exchange(fresh, request, outgoing).await.map_err(|broken| self.broken(request, broken))
    }

    async fn exchange(
        &mut self,
        mut connection: Connection,
        request: &Request,
        outgoing: http::Request<Whole>,
    ) -> Result<Response, Broken> {
        self.phase = Phase::Responding;
        let response = within(request.timeouts.first_byte, connection.send(outgoing));
        let response = response.await.map_err(Broken::TooSlow)??;
        self.phase = Phase::Reading;
        let reading = Reading {
            max: self.bytes_max(request.response_bytes_max),
            pause: request.timeouts.between_bytes,
            count: &|bytes| request.ledger.count_received(bytes),
            room: &self.shared.incoming,
            shares: request.ledger.shares(),
        };
        let Received { head, body, trailers, held } = connection.read(response, &reading).await?;
        if connection.ready().await {
            self.shared.pool.put(connection);
        }
        let url = request.target.url().as_str().to_owned();
        Ok(Response { status: head.status, headers: head.headers, body, trailers, url, held })
    }

    fn check_size(&self, request: &Request, dressed: &Dressed<'_>) -> Result<(), Error> {
        let max = self.bytes_max(request.request_bytes_max);
        let (peer, given) = (&self.peer, &dressed.headers);
        if dressed.body.len() > max {
            return Err(Error::request_too_large(peer, max));
        }
        let count = given.len() + request.trailers.len();
        let bytes: usize = given
            .iter()
            .chain(&request.trailers)
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum();
        let message = if count > MAX_HEADERS {
            format!("the request to `{peer}` has more than {MAX_HEADERS} headers")
        } else if bytes > MAX_HEADER_BYTES {
            format!("the headers to `{peer}` are larger than {MAX_HEADER_BYTES} bytes")
        } else {
            return Ok(());
        };
        Err(Error::Limit { bound: Bound::RequestHead, message })
    }

    /// The execution's limit on a body, as far as the host goes with it.
    fn bytes_max(&self, limit: u64) -> usize {
        usize::try_from(limit).unwrap_or(usize::MAX).min(self.shared.body_bytes_max)
    }

    fn unavailable(&self, reason: String) -> Error {
        Error::Unavailable { peer: self.peer.clone(), phase: self.phase, reason }
    }

    fn broken(&self, request: &Request, broken: Broken) -> Error {
        let peer = self.peer.clone();
        match broken {
            Broken::BodyTooLarge => {
                Error::response_too_large(&peer, self.bytes_max(request.response_bytes_max))
            }
            Broken::HeadTooLarge => {
                let message = format!("the response head of `{peer}` is larger than the host takes");
                Error::Limit { bound: Bound::ResponseHead, message }
            }
            Broken::Spent(spent) => Error::spent(&peer, spent),
            Broken::NoRoom(full) => self.unavailable(full.to_string()),
            Broken::TooSlow(after) => Error::Timeout { peer, phase: self.phase, after },
            Broken::BeforeSending => {
                self.unavailable("the connection was closed before the request was sent".to_owned())
            }
            Broken::BeforeResponse(error) => self.unavailable(format!("no response: {}", reason(&error))),
            Broken::InResponse(error) => {
                self.unavailable(format!("the response broke off: {}", reason(&error)))
            }
        }
    }
}

/// With what belongs to the host; nothing is compressed, so that a small answer can not become a large one.
fn outgoing(request: &Request, dressed: Dressed<'_>) -> Result<http::Request<Whole>, Error> {
    let invalid =
        |error: http::Error| Error::Invalid { target: request.target.shown(), reason: error.to_string() };
    let host = HeaderValue::from_str(&request.target.authority()).map_err(|error| invalid(error.into()))?;
    let Dressed { path_and_query, headers: given, body } = dressed;
    let empty = body.is_empty() && request.trailers.is_empty();
    let mut outgoing = http::Request::builder()
        .method(request.method.clone())
        .uri(&*path_and_query)
        .body(Whole::new(body, request.trailers.clone()))
        .map_err(invalid)?;
    let headers = outgoing.headers_mut();
    // First, as the RFC wants it.
    headers.insert(header::HOST, host);
    headers.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
    headers.entry(header::ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
    let expects_body = matches!(request.method, Method::POST | Method::PUT | Method::PATCH);
    if expects_body && empty {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    // Those that are announced are sent.
    for name in request.trailers.keys() {
        headers.append(header::TRAILER, name.clone().into());
    }
    Ok(outgoing)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::connector::{
        Target,
        tests::support::{nothing, request},
    };

    proptest! {
        #[test]
        fn every_target_makes_a_request_line(path in "\\PC{0,20}", query in "\\PC{0,20}") {
            if let Ok(target) = Target::parse(&format!("http://a.example/{path}?{query}")) {
                let request = request(Method::GET, target.clone());
                let dressed = secrets::dress(&request, &nothing(), 0).unwrap();
                let outgoing = outgoing(&request, dressed).unwrap();
                prop_assert_eq!(outgoing.uri().to_string(), target.path_and_query());
            }
        }
    }
}
