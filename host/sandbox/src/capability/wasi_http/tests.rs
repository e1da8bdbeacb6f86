use std::{pin::Pin, time::Duration};

use http_body_util::Full;
use serde_json::{Value, json};
use stepcell_core::{Budget, Limits};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Handle,
    sync::Notify,
    task::JoinSet,
    time::timeout,
};

use super::*;
use crate::{
    capability::{
        Services,
        testing::{Given, PATIENCE},
    },
    connector::{
        Options, Whole,
        refused::REFUSED,
        tests::support::{Names, Server, swap, text},
    },
};

/// A session that may send this; names are those of the test.
fn session(grant: Value, names: Option<&Arc<Names>>, limits: Limits) -> Session {
    let mut options = Options::default();
    if let Some(names) = names {
        options.resolver = names.clone();
    }
    let connector = Connector::new(options, Room::default(), Handle::current());
    let services = Services { connector, ..Services::bare() };
    Given { operator: grant, limits, services, ..Given::default() }.session()
}

fn to(server: &Server) -> Session {
    session(json!({ "http": [server.url("")] }), None, Limits::default())
}

fn request(method: &str, url: &str, body: Whole) -> Request<WasiBody> {
    let body = body.map_err(|never| match never {}).boxed_unsync();
    Request::builder().method(method).uri(url).body(body).unwrap()
}

fn get(url: &str) -> Request<WasiBody> {
    request("GET", url, Whole::default())
}

fn post(url: &str, body: &[u8]) -> Request<WasiBody> {
    request("POST", url, Whole::new(Bytes::copy_from_slice(body), HeaderMap::new()))
}

fn start(
    session: &mut Session,
    request: Request<WasiBody>,
    options: Option<RequestOptions>,
) -> impl Future<Output = Result<Response<WasiBody>, Code>> + Send + use<> {
    let sent = Pin::from(session.send_request(request, options, Box::new(async { Ok(()) })));
    async move { sent.await.map(|(response, _)| response) }
}

async fn send(session: &mut Session, request: Request<WasiBody>) -> Result<Response<WasiBody>, Code> {
    start(session, request, None).await
}

async fn body(response: Response<WasiBody>) -> (Bytes, Option<HeaderMap>) {
    let body = response.into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned();
    (body.to_bytes(), trailers)
}

#[tokio::test]
async fn a_request_goes_out_as_it_is_written() {
    let server = Server::start(|seen| text(&format!("{} {}", seen.method, seen.path))).await;
    let mut session = to(&server);
    let mut request = post(&server.url("/a?b=c"), b"body");
    for (name, value) in
        [("x-own", "1"), ("content-length", "4"), ("te", "trailers"), ("expect", "100-continue")]
    {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let response = send(&mut session, request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(body(response).await.0, "POST /a?b=c");
    let seen = server.seen().remove(0);
    assert_eq!((&*seen.body, &seen.headers["x-own"]), (b"body".as_slice(), &"1".parse().unwrap()));
    assert_eq!(seen.headers["host"], server.address.to_string());
    assert!(seen.headers["user-agent"].to_str().unwrap().starts_with("stepcell/"));
    assert!(!seen.headers.contains_key("te") && !seen.headers.contains_key("expect"));
    let usage = session.ledger.usage();
    assert_eq!((usage.requests, usage.sent_bytes, usage.received_bytes), (1, 4, 11));
}

#[tokio::test]
async fn trailers_go_both_ways() {
    let (asked, seen) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::raw(move |mut stream| {
        let asked = asked.clone();
        async move {
            let mut request = Vec::new();
            while !request.ends_with(b"x-sum: 7\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            asked.send(request).unwrap();
            let answer =
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-end: 9\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().unwrap());
    let request = request("POST", &server.url("/"), Whole::new(Bytes::from_static(b"body"), trailers));
    let (body, trailers) = body(send(&mut to(&server), request).await.unwrap()).await;
    assert_eq!((&*body, &trailers.unwrap()["x-end"]), (b"ok".as_slice(), &"9".parse().unwrap()));
    let mut seen = seen;
    let seen = String::from_utf8(seen.recv().await.unwrap()).unwrap();
    assert!(seen.contains("\r\ntrailer: x-sum\r\n") && seen.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{seen}");
}

/// As `wasi:http` takes an address apart; `None` where its types refuse it already.
fn uri(url: &str) -> Option<http::Uri> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    http::Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().ok()
}

#[tokio::test]
async fn every_refused_place_is_denied() {
    let mut reached = 0;
    for place in REFUSED {
        let Some(uri) = uri(place.url) else { continue };
        let name = uri.host().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
        let names = Names::of(&name, &[place.resolves_to]);
        let grant = json!({ "http": ["http://*:*", "https://*:*"] });
        let mut session = session(grant, Some(&names), Limits::default());
        let mut request = get("http://a.example/");
        *request.uri_mut() = uri;
        let result = send(&mut session, request).await;
        assert!(matches!(result, Err(Code::HttpRequestDenied)), "{}: {result:?}", place.url);
        assert_eq!(session.ledger.take_denied().len(), 1, "{}", place.url);
        assert_eq!(session.ledger.usage().requests, 0, "{}", place.url);
        reached += 1;
    }
    assert!(reached > 60, "most of the table: {reached}");
}

#[tokio::test]
async fn a_refusal_is_kept_with_its_line() {
    let server = Server::start(|_| text("")).await;
    let mut session = session(json!({ "http": ["https://*"] }), None, Limits::default());
    // Its body is read all the same.
    let result = send(&mut session, post(&server.url("/x?key=1"), &[b'x'; 100_000])).await;
    assert!(matches!(result, Err(Code::HttpRequestDenied)), "{result:?}");
    let expected = format!("grants:\n  my_step: {{ http: [\"{}\", \"https://*\"] }}", server.url(""));
    assert_eq!(session.refusal(), (server.url("/x"), expected));
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn a_method_that_no_step_can_send_is_invalid() {
    let server = Server::start(|_| text("")).await;
    for method in ["CONNECT", "TRACE", "PROPFIND"] {
        let result = send(&mut to(&server), request(method, &server.url("/"), Whole::default())).await;
        assert!(matches!(result, Err(Code::InternalError(Some(_)))), "{method}: {result:?}");
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn bodies_have_their_limits() {
    let server = Server::start(|seen| text(&"x".repeat(seen.body.len() + 1))).await;
    let limits = Limits { request: 1_000, response: 1_000, ..Limits::default() };
    let mut session = session(json!({ "http": [server.url("")] }), None, limits);
    let large = send(&mut session, post(&server.url("/"), &[b'x'; 1_001])).await;
    assert!(matches!(large, Err(Code::HttpRequestBodySize(Some(1_001)))), "{large:?}");
    assert_eq!(server.accepted(), 0);
    let answer = send(&mut session, post(&server.url("/"), &[b'x'; 1_000])).await;
    assert!(matches!(answer, Err(Code::HttpResponseBodySize(_))), "{answer:?}");
    assert!(send(&mut session, post(&server.url("/"), &[b'x'; 999])).await.is_ok());
}

#[tokio::test]
async fn responses_that_nobody_reads_have_a_limit() {
    let server = Server::start(|_| text(&"x".repeat(UNREAD_BYTES_MAX / 8))).await;
    let mut session = to(&server);
    let mut unread = Vec::new();
    for _ in 0..8 {
        unread.push(send(&mut session, get(&server.url("/"))).await.unwrap());
    }
    let result = send(&mut session, get(&server.url("/"))).await;
    assert!(matches!(result, Err(Code::InternalError(Some(_)))), "{result:?}");
    unread.clear();
    assert!(send(&mut session, get(&server.url("/"))).await.is_ok());
}

#[tokio::test]
async fn requests_and_the_runs_budget_have_their_limits() {
    let server = Server::start(|_| text("")).await;
    let limits = Limits { requests: 1, ..Limits::default() };
    let mut session = session(json!({ "http": [server.url("")] }), None, limits);
    assert!(send(&mut session, get(&server.url("/"))).await.is_ok());
    let result = send(&mut session, get(&server.url("/"))).await;
    assert!(
        matches!(&result, Err(Code::InternalError(Some(why))) if why.contains("`limits.requests`")),
        "{result:?}"
    );

    let budget = Budget { bytes: Some(10), ..Budget::default() };
    let operator = json!({ "http": [server.url("")] });
    let mut session = Given { operator, budget, ..Given::default() }.session();
    let result = send(&mut session, post(&server.url("/"), &[b'x'; 11])).await;
    assert!(
        matches!(&result, Err(Code::InternalError(Some(why))) if why.contains("budget of 10")),
        "{result:?}"
    );
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_secret_goes_only_where_it_is_bound() {
    let server = Server::start(|seen| text(seen.headers["x-key"].to_str().unwrap())).await;
    let other = Server::start(|_| text("")).await;
    let swap = swap("github", b"s3cr3t", &[&server.url("")]);
    let grant = json!({ "http": [server.url(""), other.url("")], "secrets": ["github"] });
    let mut session = session(grant, None, Limits::default());
    session.swaps().push(swap.clone());
    let with_key = |url: &str| {
        let mut request = get(url);
        request.headers_mut().insert("x-key", swap.placeholder.parse().unwrap());
        request
    };
    let response = send(&mut session, with_key(&server.url("/"))).await.unwrap();
    assert_eq!(body(response).await.0, swap.placeholder.as_bytes());
    assert_eq!(server.seen()[0].headers["x-key"], "s3cr3t");
    let result = send(&mut session, with_key(&other.url("/"))).await;
    assert!(matches!(result, Err(Code::HttpRequestDenied)), "{result:?}");
    assert_eq!(session.refusal().0, format!("secret.github at {}", other.url("")));
    assert_eq!(other.accepted(), 0);
}

/// Takes connections and says nothing; `gone` is notified when one is closed by the client.
async fn silent() -> (Server, Arc<Notify>) {
    let gone = Arc::new(Notify::new());
    let notify = gone.clone();
    let server = Server::raw(move |mut stream| {
        let notify = notify.clone();
        async move {
            let mut asked = [0; 4096];
            while stream.read(&mut asked).await.is_ok_and(|read| read > 0) {}
            notify.notify_one();
        }
    })
    .await;
    (server, gone)
}

#[tokio::test]
async fn a_request_has_its_own_timeouts() {
    let (server, gone) = silent().await;
    let short = Some(Duration::from_millis(50));
    let options = RequestOptions { first_byte_timeout: short, ..RequestOptions::default() };
    let result = start(&mut to(&server), get(&server.url("/")), Some(options)).await;
    assert!(matches!(result, Err(Code::HttpResponseTimeout)), "{result:?}");
    timeout(PATIENCE, gone.notified()).await.expect("the connection should be closed");

    let drips = Server::raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour").await;
        std::future::pending::<()>().await;
    })
    .await;
    let options = RequestOptions { between_bytes_timeout: short, ..RequestOptions::default() };
    let result = start(&mut to(&drips), get(&drips.url("/")), Some(options)).await;
    assert!(matches!(result, Err(Code::ConnectionReadTimeout)), "{result:?}");
}

#[tokio::test]
async fn a_dropped_request_closes_its_connection() {
    let (server, gone) = silent().await;
    let pending = tokio::spawn(start(&mut to(&server), get(&server.url("/")), None));
    while server.accepted() == 0 {
        tokio::task::yield_now().await;
    }
    pending.abort();
    timeout(PATIENCE, gone.notified()).await.expect("the connection should be closed");
}

#[tokio::test]
async fn one_cell_sends_so_many_at_a_time() {
    let server = Server::start(|_| text("")).await;
    let mut session = to(&server);
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        calls.spawn(start(&mut session, get(&server.url("/")), None));
    }
    while let Some(done) = calls.join_next().await {
        assert_eq!(done.unwrap().unwrap().status(), 200);
    }
    assert!(server.accepted() <= CONCURRENCY_MAX, "{}", server.accepted());
    assert_eq!(session.ledger.usage().requests, 100);
}

#[tokio::test]
async fn a_peer_that_is_not_there_has_its_code() {
    let url = {
        let server = Server::start(|_| text("")).await;
        server.url("")
    };
    let grant = json!({ "http": [url] });
    // The listener goes with its task; until then the backlog may still take a connection.
    loop {
        match send(&mut session(grant.clone(), None, Limits::default()), get(&url)).await {
            Err(Code::ConnectionRefused) => break,
            Ok(_) | Err(Code::ConnectionTerminated) => tokio::task::yield_now().await,
            Err(other) => panic!("{other:?}"),
        }
    }
    let names = Names::of("other.example", &[]);
    let mut nobody = session(json!({ "http": ["http://a.example"] }), Some(&names), Limits::default());
    let result = send(&mut nobody, get("http://a.example/")).await;
    assert!(matches!(result, Err(Code::DnsError { .. })), "{result:?}");
}

#[test]
fn a_body_that_the_cell_breaks_off_is_not_sent() {
    let broken = Full::new(Bytes::from_static(b"half"))
        .map_err(|never| match never {})
        .map_frame(|frame| frame)
        .boxed_unsync();
    let failing = http_body_util::StreamBody::new(futures_util::stream::iter([
        Ok(http_body::Frame::data(Bytes::from_static(b"half"))),
        Err(Code::HttpProtocolError),
    ]));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(collect(broken, 10, &Room::default(), &Shares::default())).is_ok());
    let result = runtime.block_on(collect(failing.boxed_unsync(), 10, &Room::default(), &Shares::default()));
    assert!(matches!(result, Err(Code::HttpProtocolError)));
}
