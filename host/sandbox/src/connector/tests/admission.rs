use super::super::{Error, Options, Phase, refused::REFUSED};
use super::support::{Names, Out, Server, get, grant, ledger, text};
use std::{io, net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use stepcell_core::Budget;

use super::super::{Denied, Resolve};

fn denied<T: std::fmt::Debug>(result: Result<T, Error>) -> Denied {
    match result {
        Err(Error::Denied(denied)) => denied,
        other => panic!("should be denied: {other:?}"),
    }
}

#[tokio::test]
async fn a_granted_call_goes_out_as_it_is_written() {
    let server = Server::start(|_| text("hello")).await;
    let response = Out::granted(&[&server.url("")]).get(&server.url("/a?b=c#d")).await.unwrap();
    assert_eq!((response.status.as_u16(), response.body.as_slice()), (200, b"hello".as_slice()));
    assert_eq!(response.url.as_str(), server.url("/a?b=c"));
    let seen = &server.seen()[0];
    assert_eq!(seen.path, "/a?b=c");
    assert_eq!(seen.headers["host"], server.address.to_string());
    assert_eq!(seen.headers["accept-encoding"], "identity");
}

#[tokio::test]
async fn refused_places_are_not_reached() {
    for place in REFUSED {
        let name = url::Url::parse(place.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let name = name.unwrap_or_default();
        let names = Names::of(name.trim_end_matches('.'), &[place.resolves_to]);
        let out = Out::named(&names, &["http://*:*", "https://*:*"], &[]);
        let denied = denied(out.get(place.url).await);
        assert!(!denied.reason.is_empty(), "{}", place.url);
        let lookups = usize::from(!place.resolves_to.is_empty());
        assert_eq!(names.asked().len(), lookups, "{}", place.url);
    }
}

#[tokio::test]
async fn a_denied_call_reaches_nobody() {
    let server = Server::start(|_| text("")).await;
    let names = Names::of("intern.example", &[&["127.0.0.1"]]);
    let url = server.named("http", "intern.example");

    let other = denied(Out::named(&names, &["http://other.example:*"], &[]).get(&url).await);
    assert!(other.reason.starts_with("no grant of `http_request` admits `http://intern.example:"));
    assert!(names.asked().is_empty(), "a name without grant is not resolved");

    let private = denied(Out::named(&names, &["http://*:*"], &["10.0.0.0/8"]).get(&url).await);
    assert_eq!(
        private.allow.unwrap(),
        format!(
            "grants:\n  http_request: {{ http: [{{ url: \"{}\", networks: [127.0.0.1/32] }}, \
             {{ url: \"http://*:*\", networks: [10.0.0.0/8] }}] }}",
            url.trim_end_matches('/')
        )
    );
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn a_flow_that_narrows_reaches_nobody_else() {
    let server = Server::start(|_| text("")).await;
    let names = Names::of("intern.example", &[&["127.0.0.1"]]);
    let url = server.named("http", "intern.example");
    let granted = || Out::named(&names, &["http://*:*"], &["127.0.0.1"]);
    let other = denied(granted().narrowed(grant(&["http://other.example:*"], &[])).get(&url).await);
    let line = format!("grants: {{ http: [\"{}\", \"http://other.example:*\"] }}", url.trim_end_matches('/'));
    assert_eq!(other.allow.unwrap(), line);
    assert!(names.asked().is_empty());
    let public = denied(granted().narrowed(grant(&["http://*:*"], &[])).get(&url).await);
    assert!(public.reason.contains("no line in the flow's own `grants` names"), "{}", public.reason);
    assert_eq!(server.accepted(), 0);
    granted().narrowed(grant(&["http://intern.example:*"], &[])).get(&url).await.unwrap();
    granted().narrowed(grant(&["http://*:*"], &["127.0.0.0/8"])).get(&url).await.unwrap();
}

#[tokio::test]
async fn a_connection_of_a_wider_access_is_not_handed_on() {
    let server = Server::start(|_| text("")).await;
    let names = Names::of("intern.example", &[&["127.0.0.1"]]);
    let url = server.named("http", "intern.example");
    let wide = Out::named(&names, &["http://*:*"], &["127.0.0.1"]);
    wide.get(&url).await.unwrap();
    assert_eq!(wide.idle(), 1);
    let narrow = wide.under(grant(&["http://*:*"], &["127.0.0.1"])).narrowed(grant(&["http://*:*"], &[]));
    denied(narrow.get(&url).await);
    assert_eq!((wide.idle(), server.accepted()), (1, 1));
}

#[tokio::test]
async fn the_lines_of_a_refusal_allow_the_call() {
    let server = Server::start(|_| text("now")).await;
    let url = server.url("/x");
    let allow = denied(Out::granted(&[]).get(&url).await).allow.unwrap();
    let rule = allow.split('"').nth(1).unwrap();
    assert_eq!(Out::granted(&[rule]).get(&url).await.unwrap().body, b"now");

    let local = server.named("http", "localhost");
    let allow = denied(Out::granted(&["http://*:*"]).get(&local).await).allow.unwrap();
    let rule = allow.split('"').nth(1).unwrap();
    assert_eq!(Out::granted(&[rule]).get(&local).await.unwrap().body, b"now");

    let names = Names::of("intern.example", &[&["127.0.0.1"]]);
    let named = server.named("http", "intern.example");
    let allow = denied(Out::named(&names, &["http://*:*"], &[]).get(&named).await).allow.unwrap();
    let rule = allow.split('"').nth(1).unwrap();
    assert!(allow.contains("networks: [127.0.0.1/32]"), "{allow}");
    assert_eq!(Out::named(&names, &[rule], &["127.0.0.1/32"]).get(&named).await.unwrap().body, b"now");
}

#[tokio::test]
async fn localhost_is_never_asked_of_the_network() {
    let server = Server::start(|_| text("here")).await;
    let names = Names::of("localhost", &[&["1.1.1.1"]]);
    let url = server.named("http", "localhost");
    assert_eq!(Out::named(&names, &[&url], &[]).get(&url).await.unwrap().body, b"here");
    assert!(names.asked().is_empty());
}

#[tokio::test]
async fn a_name_that_rebinds_is_checked_anew() {
    let answer = |_: &_| {
        http::Response::builder().header("connection", "close").body("once".to_owned().into()).unwrap()
    };
    let server = Server::start(answer).await;
    let names = Names::of("rebind.example", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let url = server.named("http", "rebind.example");
    let out = Out::named(&names, &["http://rebind.example:*"], &["127.0.0.1"]);
    assert_eq!(out.get(&url).await.unwrap().body, b"once");
    assert_eq!(names.asked().len(), 1, "one call asks once, so nothing can change between check and use");
    assert!(denied(out.get(&url).await).reason.contains("resolves to 127.0.0.2, a loopback address"));
    assert_eq!((names.asked().len(), server.accepted()), (2, 1));
}

#[tokio::test]
async fn only_admitted_addresses_are_tried() {
    let server = Server::start(|_| text("granted")).await;
    let names = Names::of("mixed.example", &[&["127.0.0.3", "10.0.0.1", "127.0.0.1"]]);
    // Nobody listens at the first: the second is not granted, so the third answers.
    let out = Out::named(&names, &["http://mixed.example:*"], &["127.0.0.3", "127.0.0.1"]);
    let url = server.named("http", "mixed.example");
    assert_eq!(out.get(&url).await.unwrap().body, b"granted");
    assert_eq!(server.seen()[0].headers["host"], url["http://".len()..].trim_end_matches('/'));
}

/// A name server that never answers.
struct Silent;

impl Resolve for Silent {
    fn resolve(&self, _name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_silent_name_server_is_a_timeout() {
    let options = Options {
        resolver: Arc::new(Silent),
        connect_timeout: Duration::from_millis(50),
        ..Options::default()
    };
    let error = Out::with(options, &["http://a.example"], &[]).get("http://a.example/").await.unwrap_err();
    assert!(matches!(error, Error::Timeout { phase: Phase::Resolving, .. }));
    assert_eq!(error.to_string(), "`a.example:80` took too long: no end of name resolution after 50 ms");
}

#[tokio::test]
async fn an_unknown_name_is_unavailable() {
    let names = Names::of("other.example", &[]);
    let error = Out::named(&names, &["http://a.example"], &[]).get("http://a.example/").await.unwrap_err();
    assert_eq!(error.to_string(), "`a.example:80` is not available: the name does not resolve: no such name");
    let empty = Names::of("a.example", &[&[]]);
    let error = Out::named(&empty, &["http://a.example"], &[]).get("http://a.example/").await.unwrap_err();
    assert_eq!(error.to_string(), "`a.example:80` is not available: the name has no address");
}

#[tokio::test]
async fn a_request_over_its_bounds_is_not_sent() {
    let server = Server::start(|_| text("")).await;
    let out = Out::granted(&[&server.url("")]);
    let mut big = get(&server.url("/"));
    big.request_bytes_max = 10;
    big.body = vec![0; 11].into();
    let mut wide = get(&server.url("/"));
    wide.headers.insert("x-wide", "x".repeat(70_000).parse().unwrap());
    let mut many = get(&server.url("/"));
    for _ in 0..200 {
        many.headers.append("x-many", "x".parse().unwrap());
    }
    let mut none_left = get(&server.url("/"));
    none_left.ledger = ledger(0, Budget::default());
    for request in [big, wide, many, none_left] {
        assert!(matches!(out.send(request).await.0, Err(Error::Limit { .. })));
    }
    assert_eq!(server.accepted(), 0);
}
