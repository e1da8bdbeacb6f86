//! `wasi:http/outgoing-handler`: what existing HTTP libraries and `fetch` call. It is the same way out as
//! `stepcell:http`, with the same grants, limits and secrets.
//!
//! The types are `wasmtime-wasi-http`'s. Its own way to send is not compiled in; [`WasiHttpHooks::send_request`]
//! is all that leaves, and it hands every request to the connector. A request is under way while the cell goes on,
//! and a response is there as a whole before the cell sees its head, so that its limits and masks hold for all of it.

mod unread;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt as _;
use stepcell_core::grant::METHODS;
use tokio::{sync::Semaphore, time::timeout_at};
use wasmtime::component::Linker;
use wasmtime_wasi_http::{
    Error as Code, RequestOptions, WasiBody, WasiHttp, WasiHttpCtxView, WasiHttpHooks,
    p2::bindings::{LinkOptions, http as bindings},
};

use self::unread::{Unread, UnreadBytes};
use super::{Held, Ledger, Room, Session, Shares, http::finish_headers};
use crate::{
    access::Access,
    cell::CellState,
    connector::{self, Bound, Connector, Error, Phase, Target, Timeouts},
};

/// Requests of one cell at a time; more wait for their turn. Bounds the bodies that the host holds for one cell.
const CONCURRENCY_MAX: usize = 8;
/// Bytes of responses that one cell has asked for and not read yet. Bounds the host's memory.
const UNREAD_BYTES_MAX: usize = 64 << 20;
/// Bytes of one write to a request's body. Bounds what is on its way to the host beside the body itself.
const WRITE_BYTES_MAX: usize = 64 << 10;
/// Bytes of one set of headers, as the host holds them. Protects the host's memory: a cell can have many.
pub(crate) const FIELDS_BYTES_MAX: usize = 64 << 10;

type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Code>> + Send>), Code>;

/// What the requests of one cell share.
#[derive(Debug)]
pub(crate) struct Outgoing {
    turns: Arc<Semaphore>,
    unread: UnreadBytes,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(CONCURRENCY_MAX)), unread: UnreadBytes::new(UNREAD_BYTES_MAX) }
    }
}

/// Types and outgoing requests; nothing comes in.
pub(crate) fn add_to_linker(linker: &mut Linker<CellState>) -> wasmtime::Result<()> {
    bindings::outgoing_handler::add_to_linker::<CellState, WasiHttp>(linker, view)?;
    let options = LinkOptions::default();
    bindings::types::add_to_linker::<CellState, WasiHttp>(linker, &(&options).into(), view)
}

fn view(state: &mut CellState) -> WasiHttpCtxView<'_> {
    let CellState { session, table, wasi_http, .. } = state;
    WasiHttpCtxView { hooks: session, table, ctx: wasi_http }
}

impl WasiHttpHooks for Session {
    /// Whatever it is, the connector says what it thinks of it, and the run's log keeps it.
    fn is_supported_scheme(&mut self, _scheme: &http::uri::Scheme) -> bool {
        true
    }

    /// The connector sets it.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        WRITE_BYTES_MAX
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _read: Box<dyn Future<Output = Result<(), Code>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        // Also where it is refused at once: its answer is something that the cell can wait for.
        self.outgoing.get_or_insert_default();
        let target = Target::parse(&request.uri().to_string()).map_err(Error::from);
        let exchange = target.map(|target| self.exchange_of(request.method().clone(), target, options));
        let exchange = exchange.map_err(|error| code(error, &self.ledger));
        Box::new(async move { exchange?.run(request).await })
    }
}

impl Session {
    /// Whether a request went out that may be under way still.
    pub(crate) fn has_sent(&self) -> bool {
        self.outgoing.is_some()
    }

    fn exchange_of(&mut self, method: Method, target: Target, options: Option<RequestOptions>) -> Exchange {
        let outgoing = Arc::clone(self.outgoing.get_or_insert_default());
        let options = options.unwrap_or_default();
        let timeouts = Timeouts {
            connect: options.connect_timeout,
            first_byte: options.first_byte_timeout,
            between_bytes: options.between_bytes_timeout,
        };
        Exchange {
            request: connector::Request { timeouts, ..self.request(method, target) },
            connector: self.services.connector.clone(),
            room: self.services.outgoing.clone(),
            access: Arc::clone(&self.access),
            outgoing,
        }
    }
}

/// One request of a cell, which goes on without it.
struct Exchange {
    request: connector::Request,
    connector: Connector,
    room: Room,
    access: Arc<Access>,
    outgoing: Arc<Outgoing>,
}

impl Exchange {
    async fn run(mut self, request: Request<WasiBody>) -> Sent {
        let ledger = Arc::clone(&self.request.ledger);
        let (head, body) = request.into_parts();
        let _turn = Arc::clone(&self.outgoing.turns).acquire_owned().await;
        let checked = self.check(head.headers).map_err(|error| code(error, &ledger));
        // Read in any case: a stream that is closed under the cell would hide the reason from it.
        let received = self.receive(body).await;
        checked.and(received)?;
        let Self { request, connector, access, outgoing, .. } = self;
        let response = connector.send(request, access).await.map_err(|error| code(error, &ledger))?;
        outgoing.hand_over(response)
    }

    fn check(&mut self, headers: HeaderMap) -> Result<(), Error> {
        let connector::Request { method, target, .. } = &self.request;
        if !METHODS.contains(method) {
            let reason = format!("`{method}` is no method that a step can send");
            return Err(Error::Invalid { target: target.shown(), reason });
        }
        connector::check(target, method, &self.access)?;
        self.request.headers = finish_headers(headers);
        Ok(())
    }

    /// Takes the body from the cell; what is past the limit is not kept.
    async fn receive(&mut self, body: WasiBody) -> Result<(), Code> {
        let (deadline, max) = (self.request.deadline, self.request.request_bytes_max);
        let received =
            timeout_at(deadline, collect(body, max, &self.room, self.request.ledger.shares())).await;
        let (data, trailers, held) = received.map_err(|_| Code::ConnectionWriteTimeout).flatten()?;
        self.request.body = data;
        self.request.trailers = trailers;
        self.request.held = held;
        Ok(())
    }
}

impl Outgoing {
    fn hand_over(&self, response: connector::Response) -> Sent {
        let connector::Response { status, headers, body, trailers, held, .. } = response;
        let Some(body) = Unread::new(&self.unread, Bytes::from(body), trailers, held) else {
            let reason =
                format!("the step has more than {UNREAD_BYTES_MAX} bytes of responses that it has not read");
            return Err(Code::InternalError(Some(reason)));
        };
        let body = body.map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok((response, Box::new(async { Ok(()) })))
    }
}

async fn collect(
    mut body: WasiBody,
    max: u64,
    room: &Room,
    shares: &Shares,
) -> Result<(Bytes, HeaderMap, Held), Code> {
    let mut data = BytesMut::new();
    let (mut trailers, mut held) = (HeaderMap::new(), Held::default());
    let mut length = 0_u64;
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(part) => {
                length += part.len() as u64;
                if length <= max {
                    let room = room.send(&mut held, data.len() + part.len(), shares).await;
                    room.map_err(|full| Code::InternalError(Some(full.to_string())))?;
                    data.extend_from_slice(&part);
                }
            }
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    match length > max {
        true => Err(Code::HttpRequestBodySize(Some(length))),
        false => Ok((data.freeze(), trailers, held)),
    }
}

/// In the words of `wasi:http`. A refusal is kept for the run's log, with the lines that would allow it.
fn code(error: Error, ledger: &Ledger) -> Code {
    let message = error.to_string();
    match error {
        Error::Denied(denied) => {
            ledger.deny(denied.event());
            Code::HttpRequestDenied
        }
        Error::Invalid { .. } => Code::InternalError(Some(message)),
        Error::Unavailable { phase, .. } => match phase {
            Phase::Queueing => Code::InternalError(Some(message)),
            Phase::Resolving => Code::DnsError { rcode: Some(message), info_code: None },
            Phase::Connecting => Code::ConnectionRefused,
            Phase::Securing => Code::TlsProtocolError,
            Phase::Responding => Code::ConnectionTerminated,
            Phase::Reading => Code::HttpResponseIncomplete,
        },
        Error::Timeout { phase, .. } => match phase {
            Phase::Resolving => Code::DnsTimeout,
            Phase::Queueing | Phase::Connecting | Phase::Securing => Code::ConnectionTimeout,
            Phase::Responding => Code::HttpResponseTimeout,
            Phase::Reading => Code::ConnectionReadTimeout,
        },
        Error::Limit { bound, .. } => match bound {
            Bound::RequestHead => Code::HttpRequestHeaderSectionSize(None),
            Bound::RequestBody => Code::HttpRequestBodySize(None),
            Bound::ResponseHead => Code::HttpResponseHeaderSectionSize(None),
            Bound::ResponseBody => Code::HttpResponseBodySize(None),
            Bound::Redirects => Code::LoopDetected,
            Bound::Requests | Bound::Bytes => Code::InternalError(Some(message)),
        },
    }
}

#[cfg(test)]
mod tests;
