use stepcell_core::{Limits, event::CapabilityDenied};
use stepcell_engine::{meter::Meter, runner::LimitsRequest};
use tokio::runtime::Handle;

use super::*;
use crate::{
    Access, Grant, HttpRule,
    capability::{Caller, Ledger, Room, Services, ledger::MAX_DENIED},
    connector::{
        Connector, Options,
        refused::REFUSED,
        tests::support::{PATIENCE, Server, text as answer},
    },
    limits::Effective,
};

fn access(rules: &[&str]) -> Session {
    let http = rules.iter().map(|rule| HttpRule::parse(rule).unwrap()).collect();
    let grant = Grant { http: Some(http), ..Grant::default() };
    let access = Access::new("my_step".into(), Arc::new(grant));
    let connector = Connector::new(Options::default(), Room::default(), Handle::current());
    let services = Services { connector, ..Services::bare() };
    let limits = Effective::new(&Limits::default(), None, &LimitsRequest::default());
    let deadline = Instant::now() + PATIENCE;
    Session::new(Arc::new(services), Arc::new(access), Caller::none(), limits, deadline)
}

fn request(url: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: None,
        timeout_ms: None,
        redirects: 0,
    }
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: value.to_owned() }
}

#[tokio::test]
async fn a_cell_gets_what_its_grant_allows() {
    let server = Server::start(|seen| {
        let body = format!("{} {}", seen.method, String::from_utf8_lossy(&seen.body));
        http::Response::builder()
            .status(201)
            .header("X-Mixed", "a")
            .header("x-mixed", "b")
            .header("x-old", HeaderValue::from_bytes(b"caf\xe9").unwrap())
            .body(body.into())
            .unwrap()
    })
    .await;
    let mut access = access(&[&server.url("")]);
    let mut request = request(&server.url("/x"));
    request.method = "post".to_owned();
    request.body = Some(b"body".to_vec());
    request.headers = vec![header("X-Own", "1"), header("x-own", "ü"), header("x-empty", "")];
    let response = access.send(request).await.unwrap();
    assert_eq!((response.status, response.body.as_slice()), (201, b"POST body".as_slice()));
    let values = |name: &str| -> Vec<&str> {
        let own = response.headers.iter().filter(|header| header.name == name);
        own.map(|header| header.value.as_str()).collect()
    };
    assert_eq!((values("x-mixed"), values("x-old")), (vec!["a", "b"], vec!["café"]));

    let seen = server.seen().remove(0);
    assert_eq!(seen.headers["user-agent"], concat!("stepcell/", env!("CARGO_PKG_VERSION")));
    assert_eq!(seen.headers.get_all("x-own").iter().count(), 2);
    assert!(access.ledger.take_denied().is_empty());
    assert_eq!((access.ledger.usage().requests, access.ledger.usage().sent_bytes), (1, 4));
}

#[tokio::test]
async fn a_step_may_name_its_own_user_agent() {
    let server = Server::start(|_| answer("")).await;
    let mut request = request(&server.url("/"));
    request.headers = vec![header("User-Agent", "mine/1")];
    access(&[&server.url("")]).send(request).await.unwrap();
    assert_eq!(server.seen()[0].headers["user-agent"], "mine/1");
}

#[tokio::test]
async fn a_refusal_is_kept_once_with_its_line() {
    let mut access = access(&["https://*", "http://*"]);
    for _ in 0..3 {
        let Failure::Denied(text) = access.send(request("http://127.0.0.1:8080/a?key=1")).await.unwrap_err()
        else {
            panic!("should be denied");
        };
        assert_eq!(
            text,
            "`http://127.0.0.1:8080/a` is refused: no grant of `my_step` admits `http://127.0.0.1:8080`"
        );
    }
    assert_eq!(
        access.ledger.take_denied(),
        [CapabilityDenied {
            capability: "http".to_owned(),
            target: "http://127.0.0.1:8080/a".to_owned(),
            message: "no grant of `my_step` admits `http://127.0.0.1:8080`".to_owned(),
            allow: "grants:\n  my_step: { http: [\"http://127.0.0.1:8080\", \"https://*\", \"http://*\"] }"
                .to_owned(),
        }]
    );
}

#[tokio::test]
async fn a_cell_can_not_fill_the_log_with_refusals() {
    let mut access = access(&[]);
    for port in 1..=100 {
        let _ = access.send(request(&format!("http://a.example:{port}/"))).await;
    }
    assert_eq!(access.ledger.take_denied().len(), MAX_DENIED);
}

#[tokio::test]
async fn every_refused_place_is_denied() {
    let mut access = access(&["https://*:*", "http://*:*"]);
    for place in REFUSED.iter().filter(|place| place.resolves_to.is_empty()) {
        let result = access.send(request(place.url)).await;
        assert!(matches!(result, Err(Failure::Denied(_))), "{}: {result:?}", place.url);
    }
}

#[tokio::test]
async fn what_belongs_to_the_host_is_invalid() {
    let server = Server::start(|_| answer("")).await;
    let mut access = access(&[&server.url("")]);
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "connection",
        "keep-alive",
        "Proxy-Connection",
        "proxy-authorization",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "bad name",
        "",
        "x\r\ny",
    ] {
        let mut request = request(&server.url("/"));
        request.headers = vec![header(name, "1")];
        let result = access.send(request).await;
        assert!(matches!(result, Err(Failure::Invalid(_))), "{name}: {result:?}");
    }
    let mut split = request(&server.url("/"));
    split.headers = vec![header("x-own", "secret\r\nhost: other")];
    let Failure::Invalid(text) = access.send(split).await.unwrap_err() else { panic!() };
    assert!(text.ends_with("the value of the header `x-own` holds a line break or control character"));
    let mut connect = request(&server.url("/"));
    connect.method = "CONNECT".to_owned();
    assert!(matches!(access.send(connect).await, Err(Failure::Invalid(_))));
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn the_attempt_outlives_no_request() {
    let server = Server::raw(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let mut access = access(&[&server.url("")]);
    let mut short = request(&server.url("/"));
    short.timeout_ms = Some(30);
    assert!(matches!(access.send(short).await, Err(Failure::Timeout(_))));
    access.deadline = Instant::now() + Duration::from_millis(30);
    let mut long = request(&server.url("/"));
    long.timeout_ms = Some(u32::MAX);
    assert!(matches!(access.send(long).await, Err(Failure::Timeout(_))));
}

#[tokio::test]
async fn one_execution_has_so_many_requests() {
    let server = Server::start(|_| answer("")).await;
    let mut access = access(&[&server.url("")]);
    access.ledger = Arc::new(Ledger::new(1, Arc::new(Meter::unlimited())));
    access.send(request(&server.url("/"))).await.unwrap();
    let result = access.send(request(&server.url("/"))).await;
    assert!(matches!(result, Err(Failure::Limit(_))), "{result:?}");
    assert_eq!(server.seen().len(), 1);
}
