//! One HTTP/1.1 connection, driven by whoever uses it. There is no task beside it: a call then costs no
//! hand-over between threads, and dropping the call closes the connection.

use std::{future::poll_fn, net::IpAddr, pin::Pin, task::Poll, time::Duration};

use http::{HeaderMap, Request, Response, response};
use http_body::Body as _;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use stepcell_core::grant::{Host, Scheme};

use super::{Target, body::Whole, selfwake::quietly, within};
use crate::capability::{Full, Held, Room, Shares, Spent};

/// Headers of a response. Protects the host's memory.
const MAX_HEADERS: usize = 128;
/// Bytes of a response's head, of its trailers, and of what is read ahead. Protects the host's memory.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// What is set aside for a body before it comes: a peer that lies about its length costs no more than this.
const MAX_RESERVED_BYTES: usize = 256 << 10;

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
pub(super) type Io = Box<dyn Stream>;

/// What a connection can be used for. The address it goes to is checked beside it, each time anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    scheme: Scheme,
    host: Host,
    port: u16,
}

impl Key {
    pub(super) fn of(target: &Target) -> Self {
        Self { scheme: target.scheme(), host: target.host().clone(), port: target.port() }
    }
}

pub(super) struct Connection {
    pub(super) key: Key,
    pub(super) address: IpAddr,
    pub(super) idle_since: Instant,
    sender: SendRequest<Whole>,
    driver: http1::Connection<TokioIo<Io>, Whole>,
    /// The driver has ended and must not be polled again.
    ended: bool,
}

/// How an exchange broke.
pub(super) enum Broken {
    /// Nothing was written: the connection had been closed before.
    BeforeSending,
    /// Something may have been written, nothing came back.
    BeforeResponse(hyper::Error),
    /// The response had begun.
    InResponse(hyper::Error),
    HeadTooLarge,
    BodyTooLarge,
    /// Longer than the request itself allows for this.
    TooSlow(Duration),
    /// The run's budget is used up.
    Spent(Spent),
    NoRoom(Full),
}

/// What of a response is read.
pub(super) struct Reading<'a> {
    /// Bytes of the body.
    pub(super) max: usize,
    /// Between two parts of it.
    pub(super) pause: Option<Duration>,
    /// Called for each part before it is kept.
    pub(super) count: &'a (dyn Fn(u64) -> Result<(), Spent> + Sync),
    /// Where more than a little is kept. The peer waits while it is waited for.
    pub(super) room: &'a Room,
    /// Of the cell.
    pub(super) shares: &'a Shares,
}

/// A whole response.
pub(super) struct Received {
    pub(super) head: response::Parts,
    pub(super) body: Vec<u8>,
    pub(super) trailers: HeaderMap,
    pub(super) held: Held,
}

impl Broken {
    fn after_sending(error: hyper::Error) -> Self {
        if error.is_parse_too_large() {
            Self::HeadTooLarge
        } else if error.is_parse() {
            Self::InResponse(error)
        } else {
            Self::BeforeResponse(error)
        }
    }
}

impl Connection {
    pub(super) async fn start(key: Key, address: IpAddr, io: Io) -> hyper::Result<Self> {
        let (sender, driver) = http1::Builder::new()
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEAD_BYTES)
            .max_buf_size(MAX_HEAD_BYTES)
            .handshake(TokioIo::new(io))
            .await?;
        let idle_since = Instant::now();
        Ok(Self { key, address, idle_since, sender, driver, ended: false })
    }

    /// Whether a request may go out now. Notices that the peer has closed an idle connection.
    pub(super) async fn ready(&mut self) -> bool {
        quietly(|cx| {
            self.turn(cx);
            let ready = !self.ended && matches!(self.sender.poll_ready(cx), Poll::Ready(Ok(())));
            Poll::Ready(ready)
        })
        .await
    }

    /// Sends the request and waits for the head of the response.
    pub(super) async fn send(&mut self, request: Request<Whole>) -> Result<Response<Incoming>, Broken> {
        let sent = self.sender.try_send_request(request);
        match self.drive(sent).await {
            Ok(response) => Ok(response),
            Err(mut error) => Err(match error.take_message() {
                Some(_unsent) => Broken::BeforeSending,
                None => Broken::after_sending(error.into_error()),
            }),
        }
    }

    /// Reads the whole body and its trailers.
    pub(super) async fn read(
        &mut self,
        response: Response<Incoming>,
        reading: &Reading<'_>,
    ) -> Result<Received, Broken> {
        let (head, mut body) = response.into_parts();
        let max = reading.max;
        let expected = usize::try_from(body.size_hint().exact().unwrap_or(0)).unwrap_or(usize::MAX);
        if expected > max {
            return Err(Broken::BodyTooLarge);
        }
        let mut whole = Vec::with_capacity(expected.min(MAX_RESERVED_BYTES));
        let (mut trailers, mut held) = (HeaderMap::new(), Held::default());
        loop {
            let frame = self.drive(poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)));
            let Some(frame) = within(reading.pause, frame).await.map_err(Broken::TooSlow)? else { break };
            match frame.map_err(Broken::InResponse)?.into_data() {
                Ok(data) => {
                    (reading.count)(data.len() as u64).map_err(Broken::Spent)?;
                    let length = whole.len() + data.len();
                    if length > max {
                        return Err(Broken::BodyTooLarge);
                    }
                    // For all that was announced at once: whoever has some room does not wait for more.
                    let room = reading.room.receive(&mut held, length.max(expected), reading.shares);
                    room.await.map_err(Broken::NoRoom)?;
                    whole.extend_from_slice(&data);
                }
                Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
            }
        }
        Ok(Received { head, body: whole, trailers, held })
    }

    /// Runs the connection for as long as `work` needs it.
    async fn drive<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        quietly(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            self.turn(cx);
            // Most often the driver has just brought what `work` waits for.
            work.as_mut().poll(cx)
        })
        .await
    }

    fn turn(&mut self, cx: &mut std::task::Context<'_>) {
        if !self.ended && Pin::new(&mut self.driver).poll(cx).is_ready() {
            // An error reaches the request too, where there is one.
            self.ended = true;
        }
    }
}
