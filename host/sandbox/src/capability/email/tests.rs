use std::{sync::Arc, time::Instant};

use serde_json::{Value, json};
use stepcell_core::{Budget, Limits};
use stepcell_tests::{Misbehave, Smtp, eventually};

use super::*;
use crate::{
    MailConfig,
    capability::{Services, testing::Given},
    mail::Mailer,
};

fn given(server: &Smtp, operator: Value) -> Given {
    let config = MailConfig::new(&server.url(), "Flows <flows@example.com>", Vec::new()).unwrap();
    let services = Services { mailer: Some(Arc::new(Mailer::new(config))), ..Services::bare() };
    Given { operator, services, ..Given::default() }
}

fn everybody(server: &Smtp) -> Session {
    given(server, json!({"email": ["*"]})).session()
}

fn message(to: &[&str]) -> Message {
    Message {
        to: to.iter().map(|address| (*address).to_owned()).collect(),
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: None,
        subject: "Hello".to_owned(),
        text: "How are you?".to_owned(),
        html: None,
    }
}

/// A header of a mail, with its folded lines.
fn header(mail: &stepcell_tests::Mail, name: &str) -> Option<String> {
    let unfolded = mail.data.replace("\r\n ", " ");
    let line = unfolded.lines().take_while(|line| !line.is_empty());
    line.into_iter().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
}

#[tokio::test]
async fn a_mail_arrives_whole() {
    let server = Smtp::start().await;
    let mut session = everybody(&server);
    let mut mail = message(&["Ann <ann@example.com>"]);
    mail.cc = vec!["ben@example.com".to_owned()];
    mail.bcc = vec!["cleo@example.com".to_owned()];
    mail.reply_to = Some("desk@example.com".to_owned());
    mail.subject = "Grüße".to_owned();
    mail.html = Some("<p>How are you?</p>".to_owned());
    let id = session.send(mail).await.unwrap();

    let mail = server.mails().remove(0);
    assert_eq!(mail.from, "flows@example.com");
    assert_eq!(mail.to, ["ann@example.com", "ben@example.com", "cleo@example.com"]);
    assert_eq!(header(&mail, "From").unwrap(), "Flows <flows@example.com>");
    assert_eq!(header(&mail, "To").unwrap(), "Ann <ann@example.com>");
    assert_eq!(header(&mail, "Cc").unwrap(), "ben@example.com");
    assert_eq!(header(&mail, "Reply-To").unwrap(), "desk@example.com");
    assert_eq!(header(&mail, "Message-ID").unwrap(), id);
    assert!(header(&mail, "Subject").unwrap().starts_with("=?utf-8?"), "{}", mail.data);
    assert!(mail.data.contains("<p>How are you?</p>"), "{}", mail.data);
    assert!(!mail.data.contains("cleo"), "{}", mail.data);
    let usage = session.ledger.usage();
    assert_eq!(usage.requests, 1);
    assert_eq!(usage.sent_bytes as usize + 2, mail.data.len());
}

#[tokio::test]
async fn the_id_is_the_same_on_every_attempt() {
    let server = Smtp::start().await;
    let (mut first, mut second) = (everybody(&server), everybody(&server));
    let id = first.send(message(&["a@x.org"])).await.unwrap();
    assert!(id.starts_with('<') && id.ends_with("@example.com>"), "{id}");
    assert_eq!(second.send(message(&["a@x.org"])).await.unwrap(), id);
    assert_ne!(first.send(message(&["a@x.org"])).await.unwrap(), id);
}

#[tokio::test]
async fn one_connection_takes_many_mails() {
    let server = Smtp::start().await;
    let mut session = everybody(&server);
    for _ in 0..3 {
        session.send(message(&["a@x.org"])).await.unwrap();
    }
    assert_eq!((server.mails().len(), server.accepted()), (3, 1));
}

/// A mail that is refused, and the line that would let it go.
#[track_caller]
fn check_denied(session: &Session, result: &Result<String, Failure>, message: &str, line: &str) {
    match result {
        Err(Failure::Denied(text)) => assert_eq!(text, message),
        other => panic!("{other:?}"),
    }
    assert_eq!(session.refusal().1, line);
}

#[tokio::test]
async fn an_address_that_looks_like_a_pattern_makes_no_line_for_a_domain() {
    let server = Smtp::start().await;
    let mut session = given(&server, json!({"email": ["*@example.com"]})).session();
    let result = session.send(message(&["*@evil-example.com"])).await;
    check_denied(
        &session,
        &result,
        "`*@evil-example.com` is refused: no grant of `my_step` admits mail to this address",
        "grants:\n  my_step: { email: [\"*@example.com\"] }",
    );
}

#[tokio::test]
async fn every_recipient_needs_a_grant() {
    let server = Smtp::start().await;
    let domain = json!({"email": ["*@example.com"]});
    for field in 0..3 {
        let mut mail = message(&["ann@example.com"]);
        let fields = [&mut mail.to, &mut mail.cc, &mut mail.bcc];
        fields.into_iter().nth(field).unwrap().push("Ann <eve@evil-example.com>".to_owned());
        let mut session = given(&server, domain.clone()).session();
        let result = session.send(mail).await;
        check_denied(
            &session,
            &result,
            "`eve@evil-example.com` is refused: no grant of `my_step` admits mail to this address",
            "grants:\n  my_step: { email: [\"*@example.com\", eve@evil-example.com] }",
        );
    }
    let mut session = given(&server, domain).session();
    session.send(message(&["ANN@Example.COM"])).await.unwrap();
    assert_eq!((server.mails().len(), server.accepted()), (1, 1));
}

#[tokio::test]
async fn the_flow_and_the_step_narrow() {
    let server = Smtp::start().await;
    let all = json!({"email": ["*"]});
    let narrow = json!({"email": ["ann@x.org"]});
    let mut session = Given { flow: narrow.clone(), ..given(&server, all.clone()) }.session();
    let result = session.send(message(&["ben@x.org"])).await;
    check_denied(
        &session,
        &result,
        "`ben@x.org` is refused: the flow's own `grants` do not admit mail to this address",
        "grants: { email: [ann@x.org, ben@x.org] }",
    );
    let mut session = Given { step: narrow, ..given(&server, all) }.session();
    assert!(matches!(session.send(message(&["ben@x.org"])).await, Err(Failure::Denied(_))));
    session.send(message(&["ann@x.org"])).await.unwrap();
}

#[tokio::test]
async fn without_a_server_the_config_is_what_to_change() {
    let mut session = Given { operator: json!({"email": ["*"]}), ..Given::default() }.session();
    let result = session.send(message(&["a@x.org"])).await;
    check_denied(&session, &result, "`email` is refused: the config names no mail server", CONFIGURED);
}

#[tokio::test]
async fn no_header_can_be_slipped_in() {
    let server = Smtp::start().await;
    let mut session = everybody(&server);
    let with = |change: fn(&mut Message)| {
        let mut mail = message(&["a@x.org"]);
        change(&mut mail);
        mail
    };
    for mail in [
        with(|mail| mail.subject = "x\r\nBcc: eve@x.org".to_owned()),
        with(|mail| mail.subject = "x\nBcc: eve@x.org".to_owned()),
        with(|mail| mail.to = vec!["a@x.org\r\nRCPT TO:<eve@x.org>".to_owned()]),
        with(|mail| mail.to = vec!["a@x.org>\r\nRCPT TO:<eve@x.org".to_owned()]),
        with(|mail| mail.to = vec!["A\r\nBcc: eve@x.org <a@x.org>".to_owned()]),
        with(|mail| mail.to = vec!["a@x.org, eve@x.org".to_owned()]),
        with(|mail| mail.cc = vec!["a@x.org> SIZE=1 <eve@x.org".to_owned()]),
        with(|mail| mail.reply_to = Some("a@x.org\0".to_owned())),
        with(|mail| mail.to = vec![String::new()]),
        with(|mail| mail.to = Vec::new()),
        with(|mail| mail.bcc = vec!["a@x.org".to_owned(); 100]),
    ] {
        let shown = format!("{mail:?}");
        let result = session.send(mail).await;
        assert!(matches!(result, Err(Failure::Invalid(_))), "{shown:.200}: {result:?}");
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn a_body_can_not_end_the_mail() {
    let server = Smtp::start().await;
    let mut session = everybody(&server);
    let end = ["\r\n.\r\n", "\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r"];
    for end in end {
        let mut mail = message(&["a@x.org"]);
        mail.text = format!("a{end}MAIL FROM:<eve@x.org>\r\nRCPT TO:<eve@x.org>\r\nDATA\r\nb{end}");
        session.send(mail).await.unwrap();
    }
    let mails = server.mails();
    assert_eq!(mails.len(), end.len());
    for mail in mails {
        assert_eq!(mail.from, "flows@example.com");
        // A server that takes a lone line feed or carriage return for a line's end must find none.
        let lines = mail.data.replace("\r\n", "");
        assert!(!lines.contains(['\r', '\n']), "{:?}", mail.data);
    }
}

#[tokio::test]
async fn a_mail_that_is_too_large_is_not_sent() {
    let server = Smtp::start().await;
    let limits = Limits { request: 2_000, ..Limits::default() };
    let mut session = Given { limits, ..given(&server, json!({"email": ["*"]})) }.session();
    session.send(message(&["a@x.org"])).await.unwrap();
    // The second grows past it when it is encoded.
    for text in ["x".repeat(2_001), "ü".repeat(900)] {
        let result = session.send(Message { text, ..message(&["a@x.org"]) }).await;
        let Err(Failure::Invalid(text)) = result else { panic!("{result:?}") };
        assert!(text.contains("`limits.request`"), "{text}");
    }
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn mails_are_counted() {
    let server = Smtp::start().await;
    let limits = Limits { requests: 1, ..Limits::default() };
    let mut session = Given { limits, ..given(&server, json!({"email": ["*"]})) }.session();
    session.send(message(&["a@x.org"])).await.unwrap();
    assert!(matches!(session.send(message(&["a@x.org"])).await, Err(Failure::Limit(_))));
    let budget = Budget { bytes: Some(100), ..Budget::default() };
    let mut session = Given { budget, ..given(&server, json!({"email": ["*"]})) }.session();
    assert!(matches!(session.send(message(&["a@x.org"])).await, Err(Failure::Limit(_))));
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn what_the_server_says_comes_through() {
    let server = Smtp::start().await;
    let mut session = everybody(&server);
    server.misbehave("RCPT", Misbehave::Say("550 5.1.1 nobody here"));
    let Err(Failure::Rejected(text)) = session.send(message(&["a@x.org"])).await else { panic!() };
    let name = server.address();
    assert_eq!(text, format!("the mail server `{name}` refuses the mail: 550 5.1.1 nobody here"));
    server.misbehave("RCPT", Misbehave::Say("451 4.7.1 come back later"));
    let Err(Failure::Unavailable(text)) = session.send(message(&["a@x.org"])).await else { panic!() };
    assert_eq!(
        text,
        format!("the mail server `{name}` is not available: it answers 451 4.7.1 come back later")
    );
    server.behave();
    session.send(message(&["a@x.org"])).await.unwrap();
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn who_gives_up_leaves_no_connection_open() {
    let server = Smtp::start().await;
    server.misbehave("DATA", Misbehave::Hang);
    let mut session = everybody(&server);
    tokio::select! {
        result = session.send(message(&["a@x.org"])) => panic!("{result:?}"),
        () = eventually("the mail is under way", || async { server.reached("DATA").then_some(()) }) => {}
    }
    eventually("the connection is closed", || async { (server.open() == 0).then_some(()) }).await;
    // And the next mail is no part of that one.
    server.behave();
    session.send(message(&["b@x.org"])).await.unwrap();
    assert_eq!(server.mails().len(), 1);
    assert_eq!(server.mails()[0].to, ["b@x.org"]);
}

#[tokio::test]
async fn a_mail_ends_with_the_step() {
    let server = Smtp::start().await;
    server.misbehave("mail", Misbehave::Hang);
    let mut session = everybody(&server);
    session.deadline = Instant::now() + std::time::Duration::from_millis(100);
    let Err(Failure::Timeout(text)) = session.send(message(&["a@x.org"])).await else { panic!() };
    assert!(text.contains("within the step's time"), "{text}");
    eventually("the connection is closed", || async { (server.open() == 0).then_some(()) }).await;
}
