//! Peers that are slow, huge, rude or gone: a typed failure with their name, in time, and no connection left.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
    time::{Instant, timeout},
};

use super::super::{Error, Phase};
use super::support::{Names, Out, PATIENCE, Server, get, text};

const SMALL: u64 = 1 << 20;
const SHORT: Duration = Duration::from_millis(200);

/// A server that reads a request's head and then does as `answer` says. `gone` is notified once the client has
/// closed the connection.
async fn peer<F>(answer: impl Fn(TcpStream) -> F + Clone + Send + Sync + 'static) -> (Server, Arc<Notify>)
where
    F: Future<Output = TcpStream> + Send + 'static,
{
    let gone = Arc::new(Notify::new());
    let notify = gone.clone();
    let server = Server::raw(move |mut stream| {
        let (answer, notify) = (answer.clone(), notify.clone());
        async move {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let mut stream = answer(stream).await;
            while stream.read(&mut head).await.is_ok_and(|read| read > 0) {}
            notify.notify_one();
        }
    })
    .await;
    (server, gone)
}

async fn says(answer: &'static [u8]) -> (Server, Arc<Notify>) {
    peer(move |mut stream| async move {
        let _ = stream.write_all(answer).await;
        stream
    })
    .await
}

/// Sends `start`, then `more` for as long as the client reads.
async fn floods(start: &'static [u8], more: &'static [u8]) -> (Server, Arc<Notify>) {
    peer(move |mut stream| async move {
        let _ = stream.write_all(start).await;
        while stream.write_all(more).await.is_ok() {}
        stream
    })
    .await
}

/// The error of one GET, after which the server has seen the connection closed.
async fn failure((server, gone): (Server, Arc<Notify>)) -> String {
    let out = Out::granted(&[&server.url("")]);
    let mut request = get(&server.url("/"));
    request.response_bytes_max = SMALL;
    request.deadline = Instant::now() + PATIENCE;
    let error = out.send(request).await.0.unwrap_err();
    timeout(PATIENCE, gone.notified()).await.expect("the connection should be closed");
    assert_eq!(out.idle(), 0);
    let kind = match &error {
        Error::Limit { .. } => "limit",
        Error::Unavailable { .. } => "unavailable",
        Error::Timeout { .. } => "timeout",
        other => panic!("{other:?}"),
    };
    format!("{kind}: {error}").replace(&server.address.to_string(), "PEER")
}

#[tokio::test]
async fn an_announced_huge_body_is_not_read() {
    assert_eq!(
        failure(says(b"HTTP/1.1 200 OK\r\ncontent-length: 1048577\r\n\r\nab").await).await,
        "limit: the response body of `PEER` is larger than the 1 MiB that `limits.response` allows"
    );
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let chunked = floods(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"4\r\nspam\r\n").await;
    assert_eq!(
        failure(chunked).await,
        "limit: the response body of `PEER` is larger than the 1 MiB that `limits.response` allows"
    );
    let until_close = floods(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", &[b'x'; 4096]).await;
    assert_eq!(
        failure(until_close).await,
        "limit: the response body of `PEER` is larger than the 1 MiB that `limits.response` allows"
    );
}

#[tokio::test]
async fn an_endless_head_is_cut_off() {
    let head = floods(b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n").await;
    assert_eq!(failure(head).await, "limit: the response head of `PEER` is larger than the host takes");
    let line = floods(b"HTTP/1.1 200 OK\r\nx-long: ", &[b'x'; 4096]).await;
    assert_eq!(failure(line).await, "limit: the response head of `PEER` is larger than the host takes");
}

#[tokio::test]
async fn endless_trailers_are_cut_off() {
    let start = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n";
    let message = failure(floods(start, b"x-more: and more\r\n").await).await;
    assert!(message.starts_with("unavailable: `PEER` is not available: the response broke off"), "{message}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_response() {
    let server = Server::raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfour").await;
    })
    .await;
    let error = Out::granted(&[&server.url("")]).get(&server.url("/")).await.unwrap_err().to_string();
    assert!(error.contains("is not available: the response broke off: "), "{error}");
}

#[tokio::test]
async fn a_peer_that_speaks_something_else_is_unavailable() {
    let message = failure(says(b"220 mail.example ESMTP ready\r\n").await).await;
    assert!(
        message.starts_with("unavailable: `PEER` is not available: the response broke off: "),
        "{message}"
    );
}

#[tokio::test]
async fn a_peer_that_hangs_up_is_unavailable() {
    let server = Server::raw(|stream| async move { drop(stream) }).await;
    let error = Out::granted(&[&server.url("")]).get(&server.url("/")).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn a_closed_port_is_unavailable() {
    let names = Names::of("a.example", &[&["127.0.0.1"]]);
    let url = {
        let server = Server::start(|_| text("")).await;
        server.named("http", "a.example")
    };
    let out = Out::named(&names, &["http://a.example:*"], &["127.0.0.1"]);
    // The listener goes with its task; until then the backlog may still take a connection.
    let error = loop {
        match out.get(&url).await {
            Err(error) if error.to_string().ends_with("connection refused") => break error,
            _ => tokio::task::yield_now().await,
        }
    };
    let peer = url["http://".len()..].trim_end_matches('/');
    assert_eq!(error.to_string(), format!("`{peer}` is not available: connection refused"));
}

/// The phase in which a GET with a short deadline ends.
async fn slow((server, gone): (Server, Arc<Notify>)) -> Phase {
    let out = Out::granted(&[&server.url("")]);
    let mut request = get(&server.url("/"));
    request.deadline = Instant::now() + SHORT;
    let error = out.send(request).await.0.unwrap_err();
    timeout(PATIENCE, gone.notified()).await.expect("the connection should be closed");
    match error {
        Error::Timeout { peer, phase, .. } if peer == server.address.to_string() => phase,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_silent_peer_is_a_timeout() {
    assert_eq!(slow(says(b"").await).await, Phase::Responding);
    assert_eq!(slow(says(b"HTTP/1.1 200 OK\r\ncontent-le").await).await, Phase::Responding);
    assert_eq!(slow(says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour").await).await, Phase::Reading);
}

#[tokio::test]
async fn a_peer_that_drips_is_a_timeout() {
    let drips = peer(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await;
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while stream.write_all(b"x").await.is_ok() {
            tick.tick().await;
        }
        stream
    })
    .await;
    assert_eq!(slow(drips).await, Phase::Reading);
}

#[tokio::test]
async fn a_peer_that_never_secures_is_a_timeout() {
    let (server, gone) = peer(|stream| async move { stream }).await;
    let out = Out::granted(&[&server.url("").replace("http:", "https:")]);
    let mut request = get(&server.url("/").replace("http:", "https:"));
    request.deadline = Instant::now() + Duration::from_secs(2);
    let error = out.send(request).await.0.unwrap_err();
    assert!(matches!(error, Error::Timeout { phase: Phase::Securing, .. }), "{error:?}");
    timeout(PATIENCE, gone.notified()).await.unwrap();
}

#[tokio::test]
async fn a_dropped_call_closes_its_connection() {
    let reached = Arc::new(Notify::new());
    let notify = reached.clone();
    let (server, gone) = peer(move |stream| {
        notify.notify_one();
        async move { stream }
    })
    .await;
    let out = Out::granted(&[&server.url("")]);
    let request = get(&server.url("/"));
    let call = tokio::spawn(async move { out.send(request).await.0.map(|_| ()) });
    reached.notified().await;
    call.abort();
    timeout(PATIENCE, gone.notified()).await.expect("the connection should be closed");
}
