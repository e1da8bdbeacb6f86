//! The client of everything that is called over HTTP, ours and rivals: as little as a client can be, so that what is
//! measured is the server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request,
    client::conn::http1::{SendRequest, handshake},
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// No answer of a benchmark takes as long.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection that is kept, with one request on it at a time.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    address: String,
}

/// A request that is made over and over.
#[derive(Clone)]
pub(crate) struct Call {
    /// `http://HOST:PORT`
    pub(crate) url: String,
    pub(crate) path: String,
    pub(crate) body: Bytes,
    /// Fails where the body of the answer is not that of work done.
    pub(crate) check: fn(&[u8]) -> Result<()>,
}

/// What many clients at the same time got.
pub(crate) struct Together {
    pub(crate) per_second: f64,
    pub(crate) times: Vec<Duration>,
}

impl Client {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let address = url.strip_prefix("http://").with_context(|| format!("`{url}` is no plain address"))?;
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {url}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends with the connection; what goes wrong on it is the sender's to tell.
        tokio::spawn(connection);
        Ok(Self { sender, address: address.to_owned() })
    }

    /// The body of the answer, where its status tells of success.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// The same for a body of JSON.
    pub(crate) async fn post(&mut self, path: &str, body: Bytes) -> Result<Bytes> {
        self.send(Method::POST, path, body).await
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.address)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let answered = async {
            self.sender.ready().await?;
            let answer = self.sender.send_request(request).await?;
            let status = answer.status();
            anyhow::Ok((status, answer.into_body().collect().await?.to_bytes()))
        };
        let (status, body) = tokio::time::timeout(PATIENCE, answered).await.context("no answer")??;
        ensure!(status.is_success(), "{path} is answered with {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }
}

impl Call {
    /// The times of one client's calls, one after the other.
    pub(crate) async fn one_by_one(&self, calls: usize) -> Result<Vec<Duration>> {
        let call = self.clone();
        alone(async move {
            let mut client = Client::connect(&call.url).await?;
            let mut times = Vec::with_capacity(calls);
            for _ in 0..calls {
                times.push(call.once(&mut client).await?);
            }
            Ok(times)
        })
        .await
    }

    /// Lets clients call at the same time for a while, each one call after the other.
    pub(crate) async fn together(&self, clients: usize, lasting: Duration) -> Result<Together> {
        self.all(clients, move |started| started.elapsed() < lasting).await
    }

    /// Lets clients make a number of calls together.
    pub(crate) async fn count(&self, clients: usize, calls: usize) -> Result<Together> {
        let left = AtomicUsize::new(calls);
        let one_less = |left: usize| left.checked_sub(1);
        self.all(clients, move |_| left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok())
            .await
    }

    /// Each client goes on as long as there is more to do.
    async fn all(
        &self,
        clients: usize,
        more: impl Fn(Instant) -> bool + Send + Sync + 'static,
    ) -> Result<Together> {
        let (call, more) = (Arc::new(self.clone()), Arc::new(more));
        alone(async move {
            let connecting = (0..clients).map(|_| Client::connect(&call.url));
            let connected = try_join_all(connecting).await?;
            let started = Instant::now();
            let calling = connected.into_iter().map(|mut client| {
                let (call, more) = (Arc::clone(&call), Arc::clone(&more));
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    while more(started) {
                        times.push(call.once(&mut client).await?);
                    }
                    anyhow::Ok(times)
                })
            });
            let mut times = Vec::new();
            for one in try_join_all(calling).await? {
                times.extend(one?);
            }
            // The last calls of all clients end after the time is over, and count.
            let per_second = times.len() as f64 / started.elapsed().as_secs_f64();
            Ok(Together { per_second, times })
        })
        .await
    }

    async fn once(&self, client: &mut Client) -> Result<Duration> {
        let started = Instant::now();
        let body = client.post(&self.path, self.body.clone()).await?;
        let took = started.elapsed();
        (self.check)(&body)?;
        Ok(took)
    }
}

/// Drives clients on one thread of their own, so that they are the same load for whatever they call.
pub(crate) async fn alone<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
    })
    .await?
}

/// A figure of a page in the Prometheus text format: the sum of all lines with this name whose labels hold a text.
pub(crate) async fn metric(url: &str, name: &str, label: &str) -> Result<f64> {
    let page = Client::connect(url).await?.get("/metrics").await?;
    let page = String::from_utf8_lossy(&page);
    let lines = page.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
    });
    let values: Vec<f64> =
        lines.filter_map(|line| line.rsplit(' ').next()).map(str::parse).collect::<Result<_, _>>()?;
    if values.is_empty() {
        bail!("{url}/metrics has no `{name}`");
    }
    Ok(values.iter().sum())
}

/// For answers that are looked at by people: the JSON of a body.
pub(crate) fn json(body: &[u8]) -> Result<Value> {
    serde_json::from_slice(body).with_context(|| format!("no JSON: {}", String::from_utf8_lossy(body)))
}
