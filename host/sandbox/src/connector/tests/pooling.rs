use std::{sync::Arc, time::Duration};

use http::Method;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
    task::JoinSet,
    time::Instant,
};

use super::super::{Error, Options};
use super::support::{Names, Out, Server, get, grant, text};

#[tokio::test]
async fn a_connection_serves_again() {
    let server = Server::start(|seen| text(&seen.path)).await;
    let names = Names::of("a.example", &[&["127.0.0.1"]]);
    let url = server.named("http", "a.example");
    let out = Out::named(&names, &["http://a.example:*"], &["127.0.0.1"]);
    for _ in 0..5 {
        assert_eq!(out.get(&url).await.unwrap().body, b"/");
    }
    assert_eq!((server.accepted(), names.asked().len(), out.idle()), (1, 1, 1));
}

#[tokio::test]
async fn every_kind_of_response_leaves_the_connection_usable() {
    let server = Server::start(|seen| {
        let status = seen.path.trim_start_matches('/').parse().unwrap_or(200);
        http::Response::builder().status(status).body("body".to_owned().into()).unwrap()
    })
    .await;
    let out = Out::granted(&[&server.url("")]);
    for path in ["/200", "/204", "/304", "/404", "/500"] {
        assert_eq!(out.get(&server.url(path)).await.unwrap().status.as_str(), &path[1..]);
    }
    let mut head = get(&server.url("/"));
    head.method = Method::HEAD;
    assert!(out.send(head).await.0.unwrap().body.is_empty());
    let mut post = get(&server.url("/"));
    post.method = Method::POST;
    post.body = vec![b'x'; 500_000].into();
    let (response, usage) = out.send(post).await;
    assert_eq!(response.unwrap().body, b"body");
    assert_eq!((usage.requests, usage.sent_bytes, usage.received_bytes), (1, 500_000, 4));
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn another_grant_gets_no_connection_that_it_could_not_open() {
    let server = Server::start(|_| text("")).await;
    let names = Names::of("a.example", &[&["127.0.0.1"]]);
    let url = server.named("http", "a.example");
    let private = Out::named(&names, &["http://a.example:*"], &["127.0.0.1"]);
    private.get(&url).await.unwrap();
    assert_eq!(private.idle(), 1);
    let public = private.under(grant(&["http://a.example:*"], &[]));
    assert!(matches!(public.get(&url).await, Err(Error::Denied(_))));
    assert_eq!((private.idle(), server.accepted()), (1, 1));
}

/// Serves one request per connection without saying so, then hangs up. With `reads_more` it takes the next
/// request first.
async fn fickle(reads_more: bool) -> (Server, Arc<Mutex<Vec<Vec<u8>>>>, Arc<Notify>) {
    let heads: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let closed = Arc::new(Notify::new());
    let (log, notify) = (heads.clone(), closed.clone());
    let server = Server::raw(move |mut stream| {
        let (log, notify) = (log.clone(), notify.clone());
        async move {
            let mut head = vec![0; 4096];
            for turn in 0..=usize::from(reads_more) {
                let read = stream.read(&mut head).await.unwrap_or(0);
                log.lock().push(head[..read].to_vec());
                if turn == 0 {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            }
            drop(stream);
            notify.notify_one();
        }
    })
    .await;
    (server, heads, closed)
}

#[tokio::test]
async fn a_connection_that_was_closed_is_replaced() {
    let (server, heads, closed) = fickle(false).await;
    let out = Out::granted(&[&server.url("")]);
    for _ in 0..3 {
        let mut request = get(&server.url("/"));
        request.method = Method::POST;
        assert_eq!(out.send(request).await.0.unwrap().body, b"ok");
        closed.notified().await;
        // The close travels through the kernel; the pool looks again before it sends.
        tokio::task::yield_now().await;
    }
    assert_eq!((server.accepted(), heads.lock().len()), (3, 3));
}

#[tokio::test]
async fn only_what_is_safe_is_sent_twice() {
    let (server, heads, _closed) = fickle(true).await;
    let out = Out::granted(&[&server.url("")]);
    out.get(&server.url("/1")).await.unwrap();
    // The peer takes the second request and hangs up: it goes out again.
    assert_eq!(out.get(&server.url("/2")).await.unwrap().body, b"ok");
    let mut post = get(&server.url("/3"));
    post.method = Method::POST;
    let error = out.send(post).await.0.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    let paths: Vec<u8> =
        heads.lock().iter().map(|head| head[head.iter().position(|b| *b == b'/').unwrap() + 1]).collect();
    assert_eq!(paths, b"1223");
}

#[tokio::test]
async fn calls_wait_for_their_turn() {
    let server = Server::start(|_| text("")).await;
    let other = Server::start(|_| text("")).await;
    let options = Options { concurrency_max: 4, ..Options::default() };
    let out = Arc::new(Out::with(options, &[&server.url(""), &other.url("")], &[]));
    let mut calls = JoinSet::new();
    for call in 0..200 {
        let (out, url) = (out.clone(), if call % 2 == 0 { server.url("/") } else { other.url("/") });
        calls.spawn(async move { out.get(&url).await.map(|response| response.status) });
    }
    while let Some(done) = calls.join_next().await {
        assert_eq!(done.unwrap().unwrap(), 200);
    }
    assert!(server.accepted() <= 4 && other.accepted() <= 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_share_the_pool() {
    let server = Server::start(|_| text("")).await;
    let out = Arc::new(Out::granted(&[&server.url("")]));
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let (out, url) = (out.clone(), server.url("/"));
        calls.spawn(async move { out.get(&url).await.map(|response| response.status) });
    }
    while let Some(done) = calls.join_next().await {
        assert_eq!(done.unwrap().unwrap(), 200);
    }
    assert!(out.idle() <= 32, "{} idle connections to one host", out.idle());
}

#[tokio::test]
async fn idle_connections_expire() {
    let server = Server::start(|_| text("")).await;
    let out = Out::granted(&[&server.url("")]);
    out.get(&server.url("/")).await.unwrap();
    assert_eq!(out.idle(), 1);
    let pool = &out.connector.shared.pool;
    let later = Instant::now() + Duration::from_secs(10);
    assert!(pool.expire(later).is_some_and(|next| next > later));
    assert_eq!(out.idle(), 1);
    assert!(pool.expire(Instant::now() + Duration::from_secs(20)).is_none());
    assert_eq!(out.idle(), 0);
}
