//! What a connection runs over: TCP or a socket of this machine, with a bound on the size of one message.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// Of one message of the server: a row, an error, a notice. The library holds a message whole before anybody sees
/// it, and a single statement can make one of a gigabyte: protects the host's memory. As much as a step may give out.
pub(super) const MESSAGE_MAX: u32 = 16 << 20;

/// A socket of either kind.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Two hands on one socket: the library closes the one that it was given, the other still sees what the peer does.
pub(super) struct Shared(Arc<Mutex<Socket>>);

/// Reads no message over [`MESSAGE_MAX`]: the connection breaks where one begins.
pub(super) struct Bounded<S> {
    stream: S,
    next: Next,
    tripped: Tripped,
}

/// Set where a message was too large, so that the broken connection can be told from others.
pub(super) type Tripped = Arc<AtomicBool>;

/// What the next byte read belongs to.
enum Next {
    /// The server's one byte for or against TLS.
    Reply,
    /// Type and length of a message; how much of it was read.
    Header([u8; 5], usize),
    /// So many bytes of a message.
    Body(u32),
    /// Nothing to be understood: TLS, bounded on its inside.
    Opaque,
}

impl Shared {
    pub(super) fn new(socket: Socket) -> (Self, Self) {
        let socket = Arc::new(Mutex::new(socket));
        (Self(Arc::clone(&socket)), Self(socket))
    }
}

impl<S> Bounded<S> {
    /// The outer one. `negotiates`: the server is asked for TLS first.
    pub(super) fn outside(stream: S, negotiates: bool, tripped: Tripped) -> Self {
        let next = if negotiates { Next::Reply } else { Next::Header([0; 5], 0) };
        Self { stream, next, tripped }
    }

    /// TLS from the first byte.
    pub(super) fn opaque(stream: S, tripped: Tripped) -> Self {
        Self { stream, next: Next::Opaque, tripped }
    }

    fn inside(stream: S, tripped: Tripped) -> Self {
        Self { stream, next: Next::Header([0; 5], 0), tripped }
    }

    fn inspect(&mut self, mut read: &[u8]) -> io::Result<()> {
        loop {
            match &mut self.next {
                Next::Opaque => return Ok(()),
                Next::Reply => {
                    let Some((byte, rest)) = read.split_first() else { return Ok(()) };
                    self.next = if *byte == b'S' { Next::Opaque } else { Next::Header([0; 5], 0) };
                    read = rest;
                }
                Next::Header(header, have) => {
                    let Some((byte, rest)) = read.split_first() else { return Ok(()) };
                    if let Some(place) = header.get_mut(*have) {
                        *place = *byte;
                    }
                    *have += 1;
                    read = rest;
                    if *have == header.len() {
                        let [_, length @ ..] = *header;
                        // The length counts itself.
                        let body = u32::from_be_bytes(length).saturating_sub(4);
                        if body > MESSAGE_MAX {
                            self.tripped.store(true, Ordering::Relaxed);
                            return Err(io::Error::other("a message of the server is too large"));
                        }
                        self.next = if body == 0 { Next::Header([0; 5], 0) } else { Next::Body(body) };
                    }
                }
                Next::Body(left) => {
                    let taken = u32::try_from(read.len()).unwrap_or(u32::MAX).min(*left);
                    if taken == 0 {
                        return Ok(());
                    }
                    *left -= taken;
                    let is_whole = *left == 0;
                    read =
                        usize::try_from(taken).ok().and_then(|taken| read.get(taken..)).unwrap_or_default();
                    if is_whole {
                        self.next = Next::Header([0; 5], 0);
                    }
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.inspect(read))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Bounded<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// Makes TLS streams whose inside is bounded.
pub(super) struct BoundedTls<T> {
    pub(super) tls: T,
    pub(super) tripped: Tripped,
}

impl<S, T> TlsConnect<S> for BoundedTls<T>
where
    T: TlsConnect<S>,
    T::Future: Send + 'static,
{
    type Stream = Bounded<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, T::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let (connecting, tripped) = (self.tls.connect(stream), self.tripped);
        Box::pin(async move { Ok(Bounded::inside(connecting.await?, tripped)) })
    }
}

/// Calls a method of the stream, of either kind.
macro_rules! each {
    ($socket:ident.$method:ident($($argument:ident),*)) => {
        match $socket.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Socket::Unix(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.poll_read(context, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.poll_shutdown(context))
    }
}

impl AsyncRead for Shared {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        pin!(&mut *self.0.lock()).poll_read(context, buffer)
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        pin!(&mut *self.0.lock()).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut *self.0.lock()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut *self.0.lock()).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use tokio::io::AsyncReadExt;

    use super::{Bounded, MESSAGE_MAX, Tripped};

    /// One row of so many bytes.
    fn message(length: u32) -> Vec<u8> {
        [b"D".as_slice(), &(length + 4).to_be_bytes()].concat()
    }

    /// Reads in bits of so many bytes; whether the bound was hit.
    async fn trips(bytes: Vec<u8>, bits: usize, negotiates: bool) -> bool {
        let tripped = Tripped::default();
        let mut stream = Bounded::outside(bytes.as_slice(), negotiates, tripped.clone());
        let mut buffer = vec![0; bits];
        let failed = loop {
            match stream.read(&mut buffer).await {
                Ok(0) => break false,
                Ok(_) => {}
                Err(_) => break true,
            }
        };
        assert_eq!(failed, tripped.load(Ordering::Relaxed));
        failed
    }

    #[tokio::test]
    async fn a_message_over_the_bound_breaks_the_stream_wherever_it_begins() {
        for bits in [1, 3, 4, 5, 6, 64] {
            let small = [message(3), b"abc".to_vec(), message(0)].concat();
            assert!(!trips([small.clone(), message(MESSAGE_MAX)].concat(), bits, false).await);
            assert!(trips([small, message(MESSAGE_MAX + 1)].concat(), bits, false).await);
        }
    }

    #[tokio::test]
    async fn the_answer_about_tls_is_no_message() {
        let huge = message(MESSAGE_MAX + 1);
        assert!(trips([b"N".to_vec(), huge.clone()].concat(), 4, true).await);
        assert!(!trips([b"S".to_vec(), huge].concat(), 4, true).await, "TLS is bounded on its inside");
    }
}
