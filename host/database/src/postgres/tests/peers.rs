//! Servers that are not there, say nothing, or are not who they should be.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::json;
use stepcell_core::grant::DatabaseAccess::Read;
use stepcell_tests::Postgres as Server;
use tokio::net::TcpListener;

use super::support::{Bed, brief, databases, rule, timed, value};
use crate::{Error, Named};

fn authority(server: &Server) -> Vec<CertificateDer<'static>> {
    vec![CertificateDer::from_pem_slice(server.authority().as_bytes()).unwrap()]
}

/// What a first query gives with this mode and these authorities: whether it went over TLS.
async fn secured(url: &str, ca: Vec<CertificateDer<'static>>) -> Result<serde_json::Value, Error> {
    let data = tempfile::tempdir().unwrap();
    let databases = databases(Named { ca, ..Named::new(url) }, &data)?;
    let statement = "SELECT ssl AS v FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    Ok(value(&databases.query("shop", statement, &[], &rule(Read)).await?))
}

#[track_caller]
fn check_unavailable<T: std::fmt::Debug>(result: Result<T, Error>, why: &str) {
    let Err(Error::Unavailable { peer, reason }) = result else { panic!("{result:?}") };
    assert!(peer.contains("shop") && peer.contains("127.0.0.1:"), "{peer}");
    assert!(reason.to_lowercase().contains(why), "{reason}");
    assert!(!format!("{peer}{reason}").contains("flows:flows"));
}

#[tokio::test]
async fn tls_is_as_far_as_the_url_asks() {
    let server = Server::start();
    let url = |mode: &str| format!("{}?sslmode={mode}", server.url("flows"));
    let (yes, no) = (json!([{"v": true}]), json!([{"v": false}]));
    assert_eq!(secured(&url("disable"), vec![]).await.unwrap(), no);
    for mode in ["prefer", "require"] {
        assert_eq!(secured(&url(mode), vec![]).await.unwrap(), yes, "{mode}");
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        assert_eq!(secured(&url(mode), authority(&server)).await.unwrap(), yes, "{mode}");
    }
    assert_eq!(secured(&server.url("flows"), authority(&server)).await.unwrap(), yes);
}

#[tokio::test]
async fn a_certificate_that_nobody_signed_is_refused() {
    let (server, other) = (Server::start(), Server::start());
    let url = |mode: &str| format!("{}?sslmode={mode}", server.url("flows"));
    for mode in ["verify-ca", "verify-full"] {
        check_unavailable(secured(&url(mode), vec![]).await, "certificate");
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        check_unavailable(secured(&url(mode), authority(&other)).await, "certificate");
    }
}

#[tokio::test]
async fn only_verify_full_asks_for_the_name() {
    let server = Server::start();
    // The certificate is for 127.0.0.1, and 127.0.0.1 is not this.
    let url = |mode: &str| {
        format!(
            "{}?sslmode={mode}&hostaddr=127.0.0.1",
            server.url("flows").replace("127.0.0.1", "db.example.com")
        )
    };
    assert!(secured(&url("verify-ca"), authority(&server)).await.is_ok());
    let result = secured(&url("verify-full"), authority(&server)).await;
    assert!(matches!(result, Err(Error::Unavailable { .. })), "{result:?}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_the_url_asks_for_it() {
    let server = Server::start();
    server.run("ALTER SYSTEM SET ssl = off").await;
    server.run("SELECT pg_reload_conf()").await;
    stepcell_tests::eventually("the server has no TLS", || async {
        (server.count("SELECT count(*) FROM pg_settings WHERE name = 'ssl' AND setting = 'off'").await == 1)
            .then_some(())
    })
    .await;
    check_unavailable(secured(&format!("{}?sslmode=require", server.url("flows")), vec![]).await, "tls");
    assert_eq!(secured(&server.url("flows"), vec![]).await.unwrap(), json!([{"v": false}]));
}

#[tokio::test]
async fn a_wrong_password_and_a_closed_port_are_unavailable() {
    let server = Server::start();
    let url = server.url("flows").replace("flows:flows", "flows:wrong");
    check_unavailable(secured(&url, vec![]).await, "password authentication failed");
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    check_unavailable(secured(&format!("postgres://me:pw@127.0.0.1:{port}/x"), vec![]).await, "refused");
}

#[tokio::test]
async fn a_peer_that_never_answers_costs_the_step_s_time_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let data = tempfile::tempdir().unwrap();
    let named = Named { connections: Some(1), ..Named::new(format!("postgres://me:pw@{address}/x")) };
    let databases = databases(named, &data).unwrap();
    for _ in 0..2 {
        let rule = brief(Read, Duration::from_millis(200));
        let (took, result) = timed(databases.query("shop", "SELECT 1", &[], &rule)).await;
        assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    // Both were hung up on.
    for _ in 0..2 {
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut said = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut peer, &mut said).await;
    }
}

#[tokio::test]
async fn a_peer_that_is_no_postgresql_is_unavailable() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n".as_bytes(), b"", &[0xff; 4096]] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://me:pw@{}/x?sslmode=disable", listener.local_addr().unwrap());
        let lie = async {
            let (mut peer, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut peer, answer).await.unwrap();
        };
        let (result, ()) = tokio::join!(secured(&url, vec![]), lie);
        assert!(matches!(result, Err(Error::Unavailable { .. } | Error::Limit(_))), "{result:?}");
    }
}

#[tokio::test]
async fn a_server_that_was_killed_is_found_again() {
    let server = Server::start();
    let url = server.url("flows");
    let mut bed = Bed::of(server, Named::new(url));
    assert_eq!(bed.query("SELECT 1 AS v").await.unwrap(), json!([{"v": 1}]));
    {
        let rule = rule(Read);
        let databases = bed.databases.clone();
        let sleeping =
            tokio::spawn(async move { databases.query("shop", "SELECT pg_sleep(600)", &[], &rule).await });
        stepcell_tests::eventually("it sleeps", || async {
            (bed.server.count("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'").await
                == 1)
                .then_some(())
        })
        .await;
        bed.server.kill();
        check_unavailable(sleeping.await.unwrap(), "");
    }
    check_unavailable(bed.query("SELECT 1").await, "refused");
    bed.server.restart();
    let rows = stepcell_tests::eventually("the server answers again", || async {
        bed.query("SELECT 1 AS v").await.ok()
    });
    assert_eq!(rows.await, json!([{"v": 1}]));
}

#[tokio::test]
async fn an_operator_who_ends_the_session_makes_it_unavailable_once() {
    let server = Server::start();
    let url = server.url("flows");
    let bed = Bed::of(server, Named { connections: Some(1), ..Named::new(url) });
    let rule = rule(Read);
    let sleeping = bed.databases.query("shop", "SELECT pg_sleep(600)", &[], &rule);
    let end = stepcell_tests::eventually("it is ended", || async {
        let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'flows' AND wait_event = 'PgSleep'";
        (bed.server.count(ended).await == 1).then_some(())
    });
    let (result, ()) = tokio::join!(sleeping, end);
    check_unavailable(result, "terminating connection");
    assert_eq!(bed.query("SELECT 1 AS v").await.unwrap(), json!([{"v": 1}]));
}
