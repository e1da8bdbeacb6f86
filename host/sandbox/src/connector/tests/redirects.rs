use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, header};
use stepcell_core::Budget;

use super::super::{Error, Response, refused::REFUSED};
use super::support::{Answer, Names, Out, Server, get, ledger, text};

fn to(status: u16, location: &str) -> Answer {
    http::Response::builder()
        .status(status)
        .header(header::LOCATION, location)
        .body("moved".to_owned().into())
        .unwrap()
}

/// Sends `/to` on to `location`, answers all else.
async fn sender(location: String) -> Server {
    Server::start(move |seen| if seen.path == "/to" { to(307, &location) } else { text(&seen.path) }).await
}

async fn follow(out: &Out, url: &str, redirects: u32) -> Result<Response, Error> {
    let mut request = get(url);
    request.redirects = redirects;
    out.send(request).await.0
}

#[tokio::test]
async fn a_redirect_is_followed_where_it_is_granted() {
    let server = sender("/here?q".to_owned()).await;
    let out = Out::granted(&[&server.url("")]);
    let response = follow(&out, &server.url("/to"), 1).await.unwrap();
    assert_eq!(
        (response.url.as_str(), response.body.as_slice()),
        (&*server.url("/here?q"), b"/here?q".as_slice())
    );
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn without_redirects_the_redirect_is_the_response() {
    let server = sender("http://10.0.0.1/".to_owned()).await;
    let response = Out::granted(&[&server.url("")]).get(&server.url("/to")).await.unwrap();
    assert_eq!((response.status.as_u16(), response.body.as_slice()), (307, b"moved".as_slice()));
    assert_eq!(response.headers[header::LOCATION], "http://10.0.0.1/");
}

#[tokio::test]
async fn no_redirect_leads_to_a_refused_place() {
    for place in REFUSED.iter().filter(|place| place.url.bytes().all(|byte| (b' '..=b'~').contains(&byte))) {
        // Relative ones are paths of this server.
        if !place.url.contains(':') {
            continue;
        }
        let server = sender(place.url.to_owned()).await;
        let name = url::Url::parse(place.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let names = Names::of(name.unwrap_or_default().trim_end_matches('.'), &[place.resolves_to]);
        let out = Out::named(&names, &["http://*:*", "https://*:*", &server.url("")], &[]);
        match follow(&out, &server.url("/to"), 5).await {
            Err(Error::Denied(denied)) => {
                assert!(denied.reason.contains(" redirects there, and "), "{}: {}", place.url, denied.reason);
            }
            other => panic!("{}: {other:?}", place.url),
        }
        assert_eq!(server.accepted(), 1, "{}", place.url);
    }
}

#[tokio::test]
async fn another_port_is_another_grant() {
    let inner = Server::start(|_| text("inner")).await;
    let outer = sender(inner.url("/")).await;
    let error = follow(&Out::granted(&[&outer.url("")]), &outer.url("/to"), 1).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` is refused: `{}` redirects there, and no grant of `http_request` admits `{}`",
            inner.url("/"),
            outer.url(""),
            inner.url("")
        )
    );
    assert_eq!(inner.accepted(), 0);
}

#[tokio::test]
async fn secrets_do_not_follow_to_another_origin() {
    let inner = Server::start(|_| text("inner")).await;
    let outer = sender(inner.url("/")).await;
    let out = Out::granted(&[&outer.url(""), &inner.url("")]);
    let mut request = get(&outer.url("/to"));
    request.redirects = 1;
    request.headers.insert("authorization", "Bearer x".parse().unwrap());
    request.headers.insert("x-own", "y".parse().unwrap());
    assert_eq!(out.send(request).await.0.unwrap().body, b"inner");
    let (first, second) = (&outer.seen()[0].headers, &inner.seen()[0].headers);
    assert_eq!(first["authorization"], "Bearer x");
    assert!(!second.contains_key("authorization"));
    assert_eq!(
        (&second["x-own"], &second["host"]),
        (&"y".parse().unwrap(), &inner.address.to_string().parse().unwrap())
    );
}

#[tokio::test]
async fn a_post_becomes_a_get_unless_its_status_says_keep() {
    for (status, method, body) in
        [(302, Method::GET, ""), (303, Method::GET, ""), (308, Method::POST, "body")]
    {
        let server =
            Server::start(move |seen| if seen.path == "/to" { to(status, "/here") } else { text("") }).await;
        let mut request = get(&server.url("/to"));
        request.method = Method::POST;
        request.body = "body".into();
        request.redirects = 1;
        Out::granted(&[&server.url("")]).send(request).await.0.unwrap();
        let last = server.seen().pop().unwrap();
        assert_eq!((last.method, &last.body[..]), (method, body.as_bytes()), "{status}");
    }
}

#[tokio::test]
async fn a_method_that_a_redirect_turns_into_is_checked() {
    let server = Server::start(|_| to(303, "/here")).await;
    let mut out = Out::granted(&[&server.url("")]);
    let mut grant = (*out.grant).clone();
    grant.http =
        grant.http.map(|rules| rules.into_iter().map(|rule| rule.with_methods(&["POST"]).unwrap()).collect());
    out.grant = grant.into();
    let mut request = get(&server.url("/to"));
    request.method = Method::POST;
    request.redirects = 1;
    assert!(matches!(out.send(request).await.0, Err(Error::Denied(_))));
}

#[tokio::test]
async fn a_loop_ends_at_the_guests_count_or_ours() {
    for (asked, followed) in [(3, 3), (1_000, 20)] {
        let next = AtomicUsize::new(0);
        let server =
            Server::start(move |_| to(302, &format!("/{}", next.fetch_add(1, Ordering::SeqCst)))).await;
        let error = follow(&Out::granted(&[&server.url("")]), &server.url("/"), asked).await.unwrap_err();
        assert_eq!(error.to_string(), format!("`{}` redirects more than {followed} times", server.address));
        assert_eq!(server.seen().len(), followed + 1);
    }
}

#[tokio::test]
async fn each_hop_is_a_request() {
    let server = Server::start(|_| to(302, "/again")).await;
    let mut request = get(&server.url("/"));
    request.redirects = 10;
    request.ledger = ledger(2, Budget::default());
    let (result, usage) = Out::granted(&[&server.url("")]).send(request).await;
    assert!(matches!(result, Err(Error::Limit { .. })));
    assert_eq!((usage.requests, server.seen().len()), (2, 2));
}
