//! A peer that misbehaves, byte by byte, and counts who is connected to it.

use std::{
    future, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// Between two bytes of a peer that drips. Short enough to notice soon that nobody listens any more.
const DRIP: Duration = Duration::from_millis(20);

/// Before an answer that takes its time.
const LATER: Duration = Duration::from_millis(30);

/// An HTTP server on loopback. What it does is named by the path, see [`Peer::PATHS`]; `/ok` is answered well, and so
/// is `/later`, after a moment.
pub struct Peer {
    pub address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
}

/// Counts one connection for as long as it lives.
struct Connection(Arc<Counts>);

impl Peer {
    /// Every way to misbehave.
    pub const PATHS: [&str; 11] = [
        "/silent",
        "/slow-head",
        "/endless-head",
        "/slow-body",
        "/endless-body",
        "/huge",
        "/short",
        "/closed",
        "/noise",
        "/bad-chunk",
        "/two-lengths",
    ];

    /// Starts the server on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let counts = Arc::<Counts>::default();
        let peer = Self { address, counts: counts.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = Connection::new(counts.clone());
                tokio::spawn(async move {
                    // A client that goes away is what the tests wait for.
                    let _ = serve(stream).await;
                    drop(connection);
                });
            }
        });
        peer
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(SeqCst)
    }

    /// Connections now, as far as the peer has noticed.
    pub fn open(&self) -> usize {
        self.counts.open.load(SeqCst)
    }

    /// The most connections there were at a time.
    pub fn most_open(&self) -> usize {
        self.counts.most_open.load(SeqCst)
    }

    /// Waits until nobody is connected.
    pub async fn until_alone(&self) {
        crate::eventually("every connection is closed", || async { (self.open() == 0).then_some(()) }).await;
    }
}

impl Connection {
    fn new(counts: Arc<Counts>) -> Self {
        counts.accepted.fetch_add(1, SeqCst);
        let open = counts.open.fetch_add(1, SeqCst) + 1;
        counts.most_open.fetch_max(open, SeqCst);
        Self(counts)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

async fn serve(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(path) = request(&mut stream).await? {
        match path.as_str() {
            well @ ("/ok" | "/later") => {
                if well == "/later" {
                    tokio::time::sleep(LATER).await;
                }
                let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{\"well\":true}";
                stream.get_mut().write_all(answer).await?;
            }
            other => {
                misbehave(stream.get_mut(), other).await?;
                return hang_up(stream).await;
            }
        }
    }
    Ok(())
}

/// Reads one request; gives its path without the query, or `None` where the client is gone.
async fn request(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let (mut path, mut length) = (None, 0_u64);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        match line.split_once(": ") {
            _ if path.is_none() => path = line.split([' ', '?']).nth(1).map(str::to_owned),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().map_err(io::Error::other)?;
            }
            _ => {}
        }
    }
    tokio::io::copy(&mut (&mut *stream).take(length), &mut tokio::io::sink()).await?;
    Ok(path)
}

/// Ends where the client does not listen any more, or where the peer has said all it wants to say.
async fn misbehave(stream: &mut TcpStream, path: &str) -> io::Result<()> {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n";
    match path {
        "/silent" => silent(stream).await,
        "/slow-head" => drip(stream, b"HTTP/1.1 200 OK\r\nx-slow: ").await,
        "/endless-head" => pour(stream, HEAD, b"x-more: and more\r\n").await,
        "/slow-body" => drip(stream, &[HEAD, b"content-length: 1000000\r\n\r\n"].concat()).await,
        "/endless-body" => pour(stream, &[HEAD, b"\r\n"].concat(), &[b'x'; 16 << 10]).await,
        // The body never comes: its length alone is too much.
        "/huge" => {
            stream.write_all(&[HEAD, b"content-length: 1000000000000\r\n\r\n"].concat()).await?;
            silent(stream).await
        }
        "/short" => stream.write_all(&[HEAD, b"content-length: 100\r\n\r\nnot that much"].concat()).await,
        "/closed" => Ok(()),
        "/noise" => stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").await,
        "/bad-chunk" => {
            stream.write_all(&[HEAD, b"transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n"].concat()).await
        }
        "/two-lengths" => {
            let lengths: &[u8] = b"content-length: 5\r\ncontent-length: 50\r\n\r\nhello";
            stream.write_all(&[HEAD, lengths].concat()).await
        }
        _ => stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await,
    }
}

/// Says nothing until the client goes.
async fn silent(stream: &mut TcpStream) -> io::Result<()> {
    tokio::io::copy(stream, &mut tokio::io::sink()).await.map(drop)
}

/// One byte after the other: the start, then `x` without end.
async fn drip(stream: &mut TcpStream, start: &[u8]) -> io::Result<()> {
    for byte in start.iter().chain(std::iter::repeat(&b'x')) {
        stream.write_all(&[*byte]).await?;
        tokio::time::sleep(DRIP).await;
    }
    future::pending().await
}

/// As fast as the client reads, without end.
async fn pour(stream: &mut TcpStream, start: &[u8], more: &[u8]) -> io::Result<()> {
    stream.write_all(start).await?;
    loop {
        stream.write_all(more).await?;
    }
}

/// Closes its own half; the connection is over when the client has closed the other.
async fn hang_up(mut stream: BufReader<TcpStream>) -> io::Result<()> {
    stream.get_mut().shutdown().await?;
    silent(stream.get_mut()).await
}
