//! With a name server of the tests, as `network.dns` names one.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use stepcell_tests::Dns;
use tokio::net::UdpSocket;

use super::super::{Denied, Error, NameServers, Options, Phase};
use super::support::{Out, Server, text};

fn out(servers: &[SocketAddr], rules: &[&str], networks: &[&str]) -> Out {
    let resolver = Arc::new(NameServers::new(servers).unwrap());
    Out::with(Options { resolver, ..Options::default() }, rules, networks)
}

async fn denied(out: &Out, url: &str) -> Denied {
    match out.get(url).await {
        Err(Error::Denied(denied)) => denied,
        other => panic!("should be denied: {other:?}"),
    }
}

/// Answers once per connection, so that each call has to look the name up.
async fn server() -> Server {
    Server::start(|_| {
        let mut answer = text("here");
        answer.headers_mut().insert("connection", "close".parse().unwrap());
        answer
    })
    .await
}

#[tokio::test]
async fn what_was_checked_is_what_is_connected_to() {
    let (dns, server) = (Dns::start().await, server().await);
    dns.set("rebind.example", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let url = server.named("http", "rebind.example");
    let out = out(&[dns.address], &["http://rebind.example:*"], &["127.0.0.1"]);
    assert_eq!(out.get(&url).await.unwrap().body, b"here");
    assert_eq!(dns.asked(), ["rebind.example"], "one call asks once, so nothing can change after the check");
    let reason = denied(&out, &url).await.reason;
    assert!(reason.contains("resolves to 127.0.0.2, a loopback address"), "{reason}");
    assert_eq!((dns.asked().len(), server.accepted()), (2, 1));
}

#[tokio::test]
async fn a_public_name_does_not_lead_inside() {
    let (dns, server) = (Dns::start().await, server().await);
    let out = out(&[dns.address], &["http://*:*"], &[]);
    for inside in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0"] {
        dns.set("public.example", &[&[inside]]);
        denied(&out, &server.named("http", "public.example")).await;
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn only_the_admitted_of_many_addresses_is_tried() {
    let (dns, server) = (Dns::start().await, server().await);
    // Too many for one packet: the answer comes over TCP.
    let mut many: Vec<String> = (1..=120).map(|last| format!("10.0.0.{last}")).collect();
    many.insert(0, "127.0.0.1".to_owned());
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    dns.set("many.example", &[&many]);
    dns.set("six.example", &[&["::2", "127.0.0.1"]]);
    let out = out(&[dns.address], &["http://*.example:*"], &["127.0.0.1"]);
    assert_eq!(out.get(&server.named("http", "six.example")).await.unwrap().body, b"here");
    // The order is the resolver's: it may be among those that are not looked at.
    let most = out.get(&server.named("http", "many.example")).await;
    assert!(matches!(most, Ok(_) | Err(Error::Denied(_))), "{most:?}");
}

#[tokio::test]
async fn an_unknown_name_says_so() {
    let dns = Dns::start().await;
    let out = out(&[dns.address], &["http://*"], &[]);
    let error = out.get("http://nobody.example/").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`nobody.example:80` is not available: the name does not resolve: no such name"
    );
}

#[tokio::test]
async fn a_dead_name_server_is_a_timeout_and_the_next_one_helps() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = Arc::new(NameServers::new(&[silent.local_addr().unwrap()]).unwrap());
    let connect_timeout = Duration::from_millis(100);
    let dead = Out::with(Options { resolver, connect_timeout, ..Options::default() }, &["http://*"], &[]);
    let error = dead.get("http://a.example/").await.unwrap_err();
    assert!(matches!(error, Error::Timeout { phase: Phase::Resolving, .. }), "{error:?}");

    let (dns, server) = (Dns::start().await, server().await);
    dns.set("a.example", &[&["127.0.0.1"]]);
    let servers = [silent.local_addr().unwrap(), dns.address];
    let helped = out(&servers, &["http://*:*"], &["127.0.0.1"]);
    assert_eq!(helped.get(&server.named("http", "a.example")).await.unwrap().body, b"here");
}
