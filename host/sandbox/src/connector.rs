//! The one way out. Whatever leaves the host for a step goes through here: the target is checked against the
//! grants, resolved once, every address is checked, and exactly the checked one is connected to. A redirect
//! goes through all of it again. Proxy variables are not read.

mod admit;
mod body;
mod connection;
mod dial;
mod dns;
mod encode;
mod error;
mod journey;
mod mask;
mod pool;
mod redirect;
mod replace;
mod resolve;
mod secrets;
mod selfwake;
mod tls;

#[cfg(test)]
pub(crate) mod refused;
#[cfg(test)]
pub(crate) mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    time::{Instant, timeout},
};

pub(crate) use self::{
    body::Whole,
    error::{Bound, Denied, Error, Phase, reason},
};
use self::{dial::Dialer, journey::Journey, mask::Mask, pool::Pool};
pub use self::{
    dns::NameServers,
    resolve::{Resolve, SystemResolver},
    tls::{RootsError, certificates_from_pem},
};
pub(crate) use stepcell_core::grant::Target;

use crate::{
    access::Access,
    capability::{Held, Ledger, Room},
    vault::Swap,
};

/// How far the connector goes, for the whole host: `network:` of the config. Each execution has its own limits
/// beside it.
#[derive(Clone)]
pub struct Options {
    /// Bytes of one request's or response's body, however high `limits.request` and `limits.response` are set.
    /// Protects the host's memory.
    pub body_bytes_max: usize,
    /// For name, TCP and TLS together, all addresses tried. Leaves time for another attempt.
    pub connect_timeout: Duration,
    /// Requests at a time; more wait within their timeout. Each holds a connection and a body: protects file
    /// descriptors and the host's memory. Idle connections come on top.
    pub concurrency_max: usize,
    /// Beside the platform's roots; see [`certificates_from_pem`].
    pub extra_roots: Vec<rustls::pki_types::CertificateDer<'static>>,
    /// [`SystemResolver`], or [`NameServers`] where the config names some.
    pub resolver: Arc<dyn Resolve>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 30,
            connect_timeout: Duration::from_secs(10),
            concurrency_max: 512,
            extra_roots: Vec::new(),
            resolver: Arc::new(SystemResolver::default()),
        }
    }
}

/// One request, redirects included.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Sent behind the body where there are some.
    pub(crate) trailers: HeaderMap,
    /// When the whole exchange has to be over.
    pub(crate) deadline: Instant,
    pub(crate) timeouts: Timeouts,
    /// How many redirects may be followed; with 0 the redirect itself is the response.
    pub(crate) redirects: u32,
    /// Placeholders that stand for secrets in query, headers and body.
    pub(crate) swaps: Vec<Swap>,
    /// `limits.request`: bytes of the body, secrets included.
    pub(crate) request_bytes_max: u64,
    /// `limits.response`: bytes of the body.
    pub(crate) response_bytes_max: u64,
    /// Counts each hop before it is connected to.
    pub(crate) ledger: Arc<Ledger>,
    /// The room of the body.
    pub(crate) held: Held,
}

/// Shorter times for parts of the exchange, where the request has some.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Timeouts {
    pub(crate) connect: Option<Duration>,
    /// From the request to the head of the response.
    pub(crate) first_byte: Option<Duration>,
    /// Between two parts of the response's body.
    pub(crate) between_bytes: Option<Duration>,
}

/// The whole of it, whatever the status. Secrets in it are placeholders again.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
    /// What answered, after redirects.
    pub(crate) url: String,
    /// The room of the body.
    pub(crate) held: Held,
}

/// Cheap to clone. One for the whole host, so that the bounds hold for all steps together.
#[derive(Clone)]
pub(crate) struct Connector {
    shared: Arc<Shared>,
}

struct Shared {
    dialer: Dialer,
    pool: Arc<Pool>,
    turns: Semaphore,
    incoming: Room,
    body_bytes_max: usize,
}

impl Connector {
    /// `incoming` is for the bodies of all responses. Whoever awaits [`Self::send`] does so within `runtime`.
    pub(crate) fn new(options: Options, incoming: Room, runtime: Handle) -> Self {
        let pool = Pool::new(runtime);
        let dialer = Dialer {
            tls: tls::Tls::new(options.extra_roots),
            resolver: options.resolver,
            timeout: options.connect_timeout,
        };
        let shared = Shared {
            dialer,
            pool,
            turns: Semaphore::new(options.concurrency_max),
            incoming,
            body_bytes_max: options.body_bytes_max,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sends one request as `access` allows it and waits for the whole response. Dropping the future closes the
    /// connection.
    pub(crate) async fn send(&self, request: Request, access: Arc<Access>) -> Result<Response, Error> {
        let (peer, ledger) = (request.target.peer(), Arc::clone(&request.ledger));
        let swaps = request.swaps.clone();
        // On the caller's thread: a task of its own would wake another to begin with, and this one in the end.
        let journey = Journey::new(&self.shared, &access, Mask::new(&swaps)).travel(request);
        ledger.wait_for(&peer, Box::pin(journey)).await
    }
}

/// Whether the target is admitted as it is written, for those who want to know before there is a request.
pub(crate) fn check(target: &Target, method: &Method, access: &Access) -> Result<(), Denied> {
    admit::target(access, target, method).map(|_| ())
}

/// Waits for `work`, for so long where there is a limit; the limit is the error.
async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Result<T, Duration> {
    match limit {
        Some(limit) => timeout(limit, work).await.map_err(|_| limit),
        None => Ok(work.await),
    }
}
