use stepcell_tests::{Misbehave, Smtp, SmtpTls, eventually};

use super::*;
use crate::connector::certificates_from_pem;

const PATIENCE: Duration = Duration::from_secs(20);

/// A mailer with this login and these parameters, which trusts the server's authority.
fn mailer(server: &Smtp, login: &str, parameters: &str) -> Mailer {
    let url = format!("{}{parameters}", server.url().replace("://", &format!("://{login}")));
    let roots = certificates_from_pem(server.authority().as_bytes()).unwrap();
    Mailer::new(MailConfig::new(&url, "flows@example.com", roots).unwrap())
}

fn mail() -> Mail {
    let address = |text: &str| text.parse().unwrap();
    let envelope = Envelope::new(Some(address("flows@example.com")), vec![address("a@x.org")]).unwrap();
    Mail { envelope, bytes: b"Subject: x\r\n\r\nHello".to_vec() }
}

async fn send(mailer: &Mailer) -> Result<(), Error> {
    mailer.send(&mail(), Instant::now() + PATIENCE).await
}

async fn refused(mailer: &Mailer) -> String {
    send(mailer).await.unwrap_err().to_string()
}

#[tokio::test]
async fn starttls_encrypts_and_logs_in() {
    let server = Smtp::with(SmtpTls::Starttls, Some(("me", "hunter2"))).await;
    for parameters in ["?tls=required", "?tls=opportunistic"] {
        send(&mailer(&server, "me:hunter2@", parameters)).await.unwrap();
    }
    for mail in server.mails() {
        assert!(mail.secure);
        assert_eq!(mail.user.as_deref(), Some("me"));
        assert_eq!(mail.data, "Subject: x\r\n\r\nHello\r\n");
    }
    assert_eq!(server.mails().len(), 2);
}

#[tokio::test]
async fn tls_from_the_first_byte() {
    let server = Smtp::with(SmtpTls::Implicit, Some(("me", "hunter2"))).await;
    send(&mailer(&server, "me:hunter2@", "")).await.unwrap();
    assert!(server.mails()[0].secure);
}

#[tokio::test]
async fn a_login_goes_in_the_open_where_that_is_asked_for() {
    let server = Smtp::with(SmtpTls::None, Some(("me", "p:w d"))).await;
    send(&mailer(&server, "me:p%3Aw%20d@", "?tls=none")).await.unwrap();
    send(&mailer(&server, "me:p%3Aw%20d@", "?tls=opportunistic")).await.unwrap();
    assert_eq!(server.mails().len(), 2);
    assert!(!server.mails()[0].secure);
}

#[tokio::test]
async fn what_should_be_encrypted_does_not_go_in_the_open() {
    let server = Smtp::start().await;
    let text = refused(&mailer(&server, "me:hunter2@", "?tls=required")).await;
    assert!(text.contains("does not offer STARTTLS"), "{text}");
    assert_eq!(server.mails().len(), 0);
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    for tls in [SmtpTls::Starttls, SmtpTls::Implicit] {
        let server = Smtp::with(tls, None).await;
        let parameters = if tls == SmtpTls::Starttls { "?tls=required" } else { "" };
        let url = format!("{}{parameters}", server.url());
        let config = MailConfig::new(&url, "flows@example.com", Vec::new()).unwrap();
        let text = refused(&Mailer::new(config)).await;
        assert!(text.contains("is not available") && text.contains("certificate"), "{text}");
        assert_eq!(server.mails().len(), 0);
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let server = Smtp::with(SmtpTls::None, Some(("me", "right"))).await;
    let text = refused(&mailer(&server, "me:hunter2@", "")).await;
    let name = server.address();
    assert_eq!(
        text,
        format!("the mail server `{name}` refuses the login: code 535; see `email.url` in stepcell.yaml")
    );
    // A server that repeats what it was told.
    let server = Smtp::with(SmtpTls::None, Some(("me", "hunter2"))).await;
    for words in ["550 hunter2", "450 AG1lAGh1bnRlcjI=", "550 aHVudGVyMg=="] {
        server.misbehave("MAIL", Misbehave::Say(words));
        let text = refused(&mailer(&server, "me:hunter2@", "")).await;
        assert!(text.contains("is not repeated"), "{text}");
    }
}

#[tokio::test]
async fn a_broken_server_is_unavailable() {
    let server = Smtp::start().await;
    for at in ["connect", "EHLO", "MAIL", "DATA", "mail"] {
        for how in [Misbehave::Drop, Misbehave::Say("this is no mail server"), Misbehave::Babble] {
            server.misbehave(at, how);
            let error = send(&mailer(&server, "", "")).await.unwrap_err();
            assert!(matches!(error, Error::Unavailable { .. }), "{at} {how:?}: {error}");
            let text = error.to_string();
            assert!(text.contains(&server.address().to_string()), "{text}");
            assert!(text.len() < 1_000, "{}", text.len());
            server.behave();
        }
    }
    eventually("all is closed", || async { (server.open() == 0).then_some(()) }).await;
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let server = Smtp::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let url = server.url().replace(&server.address().to_string(), &free.to_string());
    let config = MailConfig::new(&url, "flows@example.com", Vec::new()).unwrap();
    let error = send(&Mailer::new(config)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("the mail server `{free}` is not available: connection refused"));
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_is_replaced() {
    let server = Smtp::start().await;
    let mailer = mailer(&server, "", "");
    send(&mailer).await.unwrap();
    server.misbehave("NOOP", Misbehave::Drop);
    send(&mailer).await.unwrap();
    assert_eq!((server.mails().len(), server.accepted()), (2, 2));
}

#[tokio::test]
async fn connections_are_bounded_and_idle_ones_are_few() {
    let server = Smtp::start().await;
    let mailer = Arc::new(mailer(&server, "", ""));
    let sends = (0..3 * CONNECTIONS_MAX).map(|_| {
        let mailer = Arc::clone(&mailer);
        async move { send(&mailer).await }
    });
    for sent in futures_util::future::join_all(sends).await {
        sent.unwrap();
    }
    assert_eq!(server.mails().len(), 3 * CONNECTIONS_MAX);
    assert!(server.accepted() <= 2 * CONNECTIONS_MAX + IDLE_MAX, "{}", server.accepted());
    eventually("few are idle", || async { (server.open() <= IDLE_MAX).then_some(()) }).await;
}

#[tokio::test]
async fn a_server_that_says_nothing_is_late() {
    let server = Smtp::start().await;
    server.misbehave("connect", Misbehave::Hang);
    let error = mailer(&server, "", "").send(&mail(), Instant::now() + Duration::from_millis(100)).await;
    assert!(matches!(error, Err(Error::Timeout { .. })), "{error:?}");
    eventually("the connection is closed", || async { (server.open() == 0).then_some(()) }).await;
}
