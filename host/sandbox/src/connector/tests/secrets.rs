//! Secrets on the wire: what a server sees, and what comes back.

use http::{Method, header};

use super::super::{Error, Request, Response};
use super::support::{Answer, Out, Seen, Server, get, grant, swap, text, with_secrets};
use crate::vault::Swap;

const SECRET: &str = "s3cr3t/and more";

/// Sends `/to` on to the `location`, echoes all else: the query, the key and the body.
async fn echo(status: u16, location: String) -> Server {
    Server::start(move |seen| if seen.path.starts_with("/to") { to(status, &location) } else { all(seen) })
        .await
}

fn to(status: u16, location: &str) -> Answer {
    http::Response::builder().status(status).header(header::LOCATION, location).body("".into()).unwrap()
}

fn all(seen: &Seen) -> Answer {
    let key = seen.headers.get("x-key").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let body = String::from_utf8_lossy(&seen.body);
    text(&format!("{}|{}|{body}", seen.path, key.unwrap_or_default()))
}

/// Granted everything, with one secret bound to the `bound` servers.
fn out(bound: &[&Server]) -> (Out, Swap) {
    let urls: Vec<String> = bound.iter().map(|server| server.url("")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let swap = swap("key", SECRET.as_bytes(), &urls);
    let granted = grant(&["http://*:*"], &["127.0.0.1"]);
    let all = Out::granted(&[]).under(with_secrets(&granted, std::slice::from_ref(&swap)));
    (all, swap)
}

fn request(url: &str, swap: &Swap) -> Request {
    let mut request = get(url);
    request.redirects = 3;
    request.swaps = vec![swap.clone()];
    request
}

fn shown(response: &Response) -> &str {
    std::str::from_utf8(&response.body).unwrap()
}

#[tokio::test]
async fn a_server_sees_the_secret_and_the_step_its_placeholder() {
    let server = Server::start(all).await;
    let (out, swap) = out(&[&server]);
    let placeholder = &*swap.placeholder;
    let mut request = request(&server.url(&format!("/x?k={placeholder}")), &swap);
    request.method = Method::POST;
    request.headers.insert("x-key", placeholder.parse().unwrap());
    request.body = format!("<{placeholder}>").into();
    let (response, usage) = out.send(request).await;
    let response = response.unwrap();
    let seen = server.seen().remove(0);
    assert_eq!(seen.path, "/x?k=s3cr3t%2Fand%20more");
    assert_eq!(
        (seen.headers["x-key"].to_str().unwrap(), &*seen.body),
        (SECRET, format!("<{SECRET}>").as_bytes())
    );
    assert_eq!(seen.headers["content-length"], "17");
    assert_eq!(usage.sent_bytes, 17);
    assert_eq!(shown(&response), format!("/x?k={placeholder}|{placeholder}|<{placeholder}>"));
    assert_eq!(response.url, server.url(&format!("/x?k={placeholder}")));
}

#[tokio::test]
async fn a_secret_on_its_way_elsewhere_makes_no_connection() {
    let (server, other) = (Server::start(all).await, Server::start(all).await);
    let (out, swap) = out(&[&server]);
    let mut request = request(&other.url("/"), &swap);
    request.body = swap.placeholder.to_string().into();
    let (result, usage) = out.send(request).await;
    let Err(Error::Denied(denied)) = result else { panic!("{result:?}") };
    assert_eq!(denied.target, format!("secret.key at {}", other.url("")));
    assert_eq!((other.accepted(), usage.requests), (0, 0));
}

#[tokio::test]
async fn headers_with_a_secret_do_not_follow_to_an_unbound_host() {
    let other = Server::start(all).await;
    let server = echo(307, other.url("/here")).await;
    let (out, swap) = out(&[&server]);
    let mut request = request(&server.url("/to"), &swap);
    request.headers.insert("x-key", swap.placeholder.parse().unwrap());
    request.headers.insert("x-own", "stays".parse().unwrap());
    let response = out.send(request).await.0.unwrap();
    assert_eq!(shown(&response), "/here||");
    assert_eq!(server.seen()[0].headers["x-key"], SECRET);
    let seen = other.seen().remove(0);
    assert!(!seen.headers.contains_key("x-key"));
    assert_eq!(seen.headers["x-own"], "stays");
}

#[tokio::test]
async fn headers_with_a_secret_follow_to_a_bound_host() {
    let other = Server::start(all).await;
    let server = echo(307, other.url("/here")).await;
    let (out, swap) = out(&[&server, &other]);
    let mut request = request(&server.url("/to"), &swap);
    request.headers.insert("x-key", swap.placeholder.parse().unwrap());
    out.send(request).await.0.unwrap();
    assert_eq!(other.seen()[0].headers["x-key"], SECRET);
}

#[tokio::test]
async fn a_body_with_a_secret_is_not_sent_on() {
    let other = Server::start(all).await;
    let server = echo(307, other.url("/here")).await;
    let (out, swap) = out(&[&server]);
    let mut request = request(&server.url("/to"), &swap);
    request.method = Method::POST;
    request.body = swap.placeholder.to_string().into();
    let Err(Error::Denied(denied)) = out.send(request).await.0 else { panic!("should be denied") };
    assert!(denied.reason.contains("redirects there, and the secret is not bound"), "{}", denied.reason);
    assert_eq!((server.accepted(), other.accepted()), (1, 0));
}

/// A host that the secret is bound to may send callers wherever they say.
#[tokio::test]
async fn an_open_redirect_carries_no_secret_away() {
    let other = Server::start(all).await;
    for location in ["/?k=s3cr3t%2fand%20more", "/?k=s3cr3t/and more", "/?k=s3cr3t%2Fand+more"] {
        let server = echo(302, other.url(location)).await;
        let (out, swap) = out(&[&server]);
        let result = out.send(request(&server.url("/to"), &swap)).await.0;
        let Err(Error::Denied(denied)) = result else { panic!("{location}: {result:?}") };
        assert_eq!(denied.target, format!("secret.key at {}", other.url("")));
    }
    for location in ["/s3cr3t%2Fand%20more", "/s3cr3t/and more/x?y"] {
        let server = echo(302, other.url(location)).await;
        let (out, swap) = out(&[&server]);
        let error = out.send(request(&server.url("/to"), &swap)).await.0.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
    }
    assert_eq!(other.accepted(), 0);
}

#[tokio::test]
async fn a_redirect_that_is_handed_back_shows_the_placeholder() {
    let server = echo(302, "https://evil.example/?k=s3cr3t%2Fand%20more".to_owned()).await;
    let (out, swap) = out(&[&server]);
    let mut request = request(&server.url("/to"), &swap);
    request.redirects = 0;
    let response = out.send(request).await.0.unwrap();
    let expected = format!("https://evil.example/?k={}", swap.placeholder);
    assert_eq!(response.headers[header::LOCATION], expected.as_str());
}

#[tokio::test]
async fn no_refused_host_shows_a_secret() {
    let server = echo(302, "http://s3cr3t%2Fand%20more@evil.example/".to_owned()).await;
    let (out, swap) = out(&[&server]);
    let error = out.send(request(&server.url("/to"), &swap)).await.0.unwrap_err();
    assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
}
