//! Servers, names and calls for the tests of everything that goes out.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use stepcell_core::{Budget, event::Receipt};
use stepcell_engine::meter::Meter;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use super::super::{Connector, Error, Options, Request, Resolve, Response, Target, Timeouts, connection::Io};
use crate::{
    Access, Grant, HttpRule,
    capability::{Held, Ledger, Room, Usage},
    vault::Swap,
};

/// Long enough for a busy machine; only what should hang waits for less.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a server got.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) type Answer = http::Response<Full<Bytes>>;

/// A server on loopback, gone with the value.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Seen>>>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    /// Speaks HTTP and keeps connections open.
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::http("127.0.0.1", answer, |stream| Box::pin(async move { Ok(Box::new(stream) as Io) })).await
    }

    /// HTTP over what `wrap` makes of each connection.
    pub(super) async fn http(
        ip: &str,
        answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
        wrap: impl Fn(TcpStream) -> BoxFuture<'static, io::Result<Io>> + Send + Sync + 'static,
    ) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (log, answer) = (seen.clone(), Arc::new(answer));
        let serve = move |stream| {
            let (log, answer, io) = (log.clone(), answer.clone(), wrap(stream));
            async move {
                let Ok(io) = io.await else { return };
                let service = hyper::service::service_fn(move |request| {
                    let (log, answer) = (log.clone(), answer.clone());
                    async move {
                        let seen = collect(request).await;
                        let response = answer(&seen);
                        log.lock().push(seen);
                        Ok::<_, Infallible>(response)
                    }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(io), service)
                    .await;
            }
        };
        let server = Self::raw_at(ip, serve).await;
        Self { seen, ..server }
    }

    /// Does to each connection what `serve` says.
    pub(crate) async fn raw<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::raw_at("127.0.0.1", serve).await
    }

    async fn raw_at<F>(ip: &str, serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted: Arc<AtomicUsize> = Arc::default();
        let count = accepted.clone();
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                open.spawn(serve(stream));
            }
        });
        Self { address, accepted, seen: Arc::default(), _task: AbortOnDropHandle::new(task) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// By a name that the test's resolver knows.
    pub(crate) fn named(&self, scheme: &str, name: &str) -> String {
        format!("{scheme}://{name}:{}/", self.address.port())
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}

async fn collect(request: http::Request<hyper::body::Incoming>) -> Seen {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = head.uri.path_and_query().map(|path| path.to_string()).unwrap_or_default();
    Seen { method: head.method, path, headers: head.headers, body }
}

pub(crate) fn text(body: &str) -> Answer {
    http::Response::new(Full::new(Bytes::from(body.to_owned())))
}

/// Answers in turn; the last one stays. A name without any does not exist.
#[derive(Default)]
pub(crate) struct Names {
    answers: Mutex<HashMap<String, VecDeque<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    pub(crate) fn of(name: &str, answers: &[&[&str]]) -> Arc<Self> {
        let names = Self::default();
        let parse = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        names.answers.lock().insert(name.to_owned(), answers.iter().map(parse).collect());
        Arc::new(names)
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

impl Resolve for Names {
    fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let mut answers = self.answers.lock();
        let found = answers.get_mut(&name).and_then(|answers| match answers.len() {
            0 | 1 => answers.front().cloned(),
            _ => answers.pop_front(),
        });
        self.asked.lock().push(name);
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }
}

/// A connector and what it is granted.
pub(crate) struct Out {
    pub(crate) connector: Connector,
    pub(crate) grant: Arc<Grant>,
    /// The flow's word, and the step's.
    pub(crate) narrowings: Vec<Arc<Grant>>,
}

impl Out {
    pub(crate) fn granted(rules: &[&str]) -> Self {
        Self::with(Options::default(), rules, &[])
    }

    /// Each rule widened to `networks`.
    pub(crate) fn with(options: Options, rules: &[&str], networks: &[&str]) -> Self {
        Self {
            connector: Connector::new(options, Room::default(), Handle::current()),
            grant: Arc::new(grant(rules, networks)),
            narrowings: Vec::new(),
        }
    }

    pub(crate) fn named(names: &Arc<Names>, rules: &[&str], networks: &[&str]) -> Self {
        Self::with(Options { resolver: names.clone(), ..Options::default() }, rules, networks)
    }

    /// The same connector under another grant.
    pub(crate) fn under(&self, grant: Grant) -> Self {
        Self { connector: self.connector.clone(), grant: Arc::new(grant), narrowings: Vec::new() }
    }

    /// Narrowed by a flow.
    pub(crate) fn narrowed(self, flow: Grant) -> Self {
        Self { narrowings: vec![Arc::new(flow)], ..self }
    }

    pub(crate) async fn get(&self, url: &str) -> Result<Response, Error> {
        match Target::parse(url) {
            Ok(target) => self.send(request(Method::GET, target)).await.0,
            Err(denied) => Err(denied.into()),
        }
    }

    pub(crate) async fn send(&self, request: Request) -> (Result<Response, Error>, Usage) {
        let (kind, operator, narrowings) =
            ("http_request".into(), self.grant.clone(), self.narrowings.clone());
        let ledger = request.ledger.clone();
        let access = Arc::new(Access { narrowings, ..Access::new(kind, operator) });
        let result = self.connector.send(request, access).await;
        (result, ledger.usage())
    }

    pub(crate) fn idle(&self) -> usize {
        self.connector.shared.pool.len()
    }
}

/// Each rule widened to `networks`.
pub(crate) fn grant(rules: &[&str], networks: &[&str]) -> Grant {
    let rule = |text: &&str| HttpRule::parse(text).unwrap().with_networks(networks).unwrap();
    Grant { http: Some(rules.iter().map(rule).collect()), ..Grant::default() }
}

/// What a step may that nobody granted anything.
pub(crate) fn nothing() -> Access {
    Access::new("nothing".into(), Arc::default())
}

pub(crate) fn request(method: Method, target: Target) -> Request {
    Request {
        method,
        target,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        trailers: HeaderMap::new(),
        deadline: Instant::now() + PATIENCE,
        timeouts: Timeouts::default(),
        redirects: 0,
        swaps: Vec::new(),
        request_bytes_max: 16 << 20,
        response_bytes_max: 16 << 20,
        ledger: ledger(100, Budget::default()),
        held: Held::default(),
    }
}

/// A secret that may go where the rules say, under a placeholder of the usual form.
pub(crate) fn swap(name: &str, value: &[u8], hosts: &[&str]) -> Swap {
    let digits: String = (0..32).map(|at| char::from(name.as_bytes()[at % name.len()] % 10 + b'0')).collect();
    Swap {
        name: name.into(),
        placeholder: format!("secret_{digits}").into(),
        value: Arc::new(Zeroizing::new(value.to_vec())),
        hosts: hosts.iter().map(|rule| HttpRule::parse(rule).unwrap()).collect(),
    }
}

/// The grant, with the right to use these secrets.
pub(crate) fn with_secrets(grant: &Grant, swaps: &[Swap]) -> Grant {
    Grant { secrets: Some(swaps.iter().map(|swap| swap.name.to_string()).collect()), ..grant.clone() }
}

pub(crate) fn ledger(requests: u64, budget: Budget) -> Arc<Ledger> {
    Arc::new(Ledger::new(requests, Arc::new(Meter::new(budget, &Receipt::default()))))
}

pub(crate) fn get(url: &str) -> Request {
    request(Method::GET, Target::parse(url).unwrap())
}
