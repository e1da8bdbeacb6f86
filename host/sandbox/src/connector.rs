//! The one way out. Whatever leaves the host for a step goes through here: the target is checked against the
//! grants, resolved once, every address is checked, and exactly the checked one is connected to. A redirect
//! goes through all of it again. Proxy variables are not read.

mod admit;
mod connection;
mod dial;
mod error;
mod journey;
mod pool;
mod redirect;
mod resolve;
mod tls;

#[cfg(test)]
pub(crate) mod refused;
#[cfg(test)]
pub(crate) mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::{runtime::Handle, sync::Semaphore, time::Instant};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use self::{dial::Dialer, journey::Journey, pool::Pool};
pub use self::{
    error::{Denied, Error, Phase},
    resolve::{Resolve, SystemResolver},
    tls::{RootsError, certificates_from_pem},
};
pub use stepcell_core::grant::Target;

use crate::access::Access;

/// How far the connector goes.
#[derive(Clone)]
pub struct Options {
    /// Bytes of one request's body. Protects the host's memory and the peer.
    pub request_bytes_max: usize,
    /// Bytes of one response's body. Protects the host's memory; the cell's own memory limit comes on top.
    pub response_bytes_max: usize,
    /// For name, TCP and TLS together, all addresses tried. Leaves time for another attempt.
    pub connect_timeout: Duration,
    /// Requests at a time; more wait within their timeout. Each holds a connection and a body: protects file
    /// descriptors and the host's memory. Idle connections come on top.
    pub concurrency_max: usize,
    /// Beside the platform's roots.
    pub extra_roots: Vec<rustls::pki_types::CertificateDer<'static>>,
    pub resolver: Arc<dyn Resolve>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            request_bytes_max: 16 << 20,
            response_bytes_max: 16 << 20,
            connect_timeout: Duration::from_secs(10),
            concurrency_max: 512,
            extra_roots: Vec::new(),
            resolver: Arc::new(SystemResolver::default()),
        }
    }
}

/// One request, redirects included.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    pub target: Target,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// When the whole exchange has to be over.
    pub deadline: Instant,
    /// How many redirects may be followed; with 0 the redirect itself is the response.
    pub redirects: u32,
    /// How many requests may be sent in all, each hop counted.
    pub requests_max: u32,
}

/// The whole of it, whatever the status.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// What answered, after redirects.
    pub url: Url,
}

/// What a request cost, also where it failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub requests: u32,
    /// Of bodies.
    pub sent_bytes: u64,
    pub received_bytes: u64,
}

/// Cheap to clone. One for the whole host, so that the bounds hold for all steps together.
#[derive(Clone)]
pub struct Connector {
    shared: Arc<Shared>,
    runtime: Handle,
}

struct Shared {
    dialer: Dialer,
    pool: Arc<Pool>,
    turns: Semaphore,
    request_bytes_max: usize,
    response_bytes_max: usize,
}

impl Connector {
    /// `runtime` does the network's work, wherever [`Self::send`] is awaited: cells run on threads of their own.
    pub fn new(options: Options, runtime: Handle) -> Self {
        let pool = Pool::new(runtime.clone());
        let dialer = Dialer {
            tls: tls::Tls::new(options.extra_roots),
            resolver: options.resolver,
            timeout: options.connect_timeout,
        };
        let shared = Shared {
            dialer,
            pool,
            turns: Semaphore::new(options.concurrency_max),
            request_bytes_max: options.request_bytes_max,
            response_bytes_max: options.response_bytes_max,
        };
        Self { shared: Arc::new(shared), runtime }
    }

    /// Sends one request as `access` allows it and waits for the whole response. Dropping the future closes the connection.
    pub async fn send(
        &self,
        request: Request,
        access: Arc<Access>,
    ) -> (Result<Response, Error>, Usage) {
        let shared = self.shared.clone();
        let peer = request.target.peer();
        let journey = async move { Journey::new(&shared, &access.operator, &access.kind).travel(request).await };
        match AbortOnDropHandle::new(self.runtime.spawn(journey)).await {
            Ok(done) => done,
            // The runtime is shutting down, or the HTTP library has a bug: never the guest's panic.
            Err(stopped) => {
                let reason = format!("the request was dropped: {stopped}");
                (Err(Error::Unavailable { peer, reason }), Usage::default())
            }
        }
    }
}
