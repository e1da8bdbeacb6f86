//! Mail through the operator's server.

use serde_json::{Value, json};
use stepcell_tests::{Host, HostBuilder, Misbehave, Smtp, SmtpTls};

fn builder(url: &str) -> HostBuilder {
    trusting(url, "")
}

/// Beside the platform's authorities, the one in this file.
fn trusting(url: &str, authority: &str) -> HostBuilder {
    Host::builder()
        .guest("sends_email")
        .config(&format!(
            "email: {{ url: \"{url}\", from: \"Flows <flows@example.com>\", ca: [{authority}] }}"
        ))
        .config("grants: { send_email: { email: [\"*@example.com\"] }, sends_email: { email: [\"*\"] } }")
}

fn mail(to: Value) -> Value {
    json!({"to": to, "subject": "Grüße", "body": "Hello\n.\n", "html": "<p>Hello</p>"})
}

#[tokio::test]
async fn a_mail_is_taken_and_its_id_returned() {
    let smtp = Smtp::start().await;
    let host = builder(&smtp.url()).start().await;
    let config = json!({
        "to": ["Ada <ada@example.com>"], "cc": "bob@example.com", "bcc": ["eve@example.com"],
        "reply_to": "desk@example.com", "subject": "Grüße", "body": "Hello\n.\nÜ", "html": "<p>Hello</p>",
    });
    let step = host.step("send_email", config).await;
    assert_eq!(step["output"]["sent"], true, "{step:#}");
    let id = step["output"]["message_id"].as_str().unwrap();
    let mails = smtp.mails();
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    assert_eq!(mail.from, "flows@example.com");
    assert_eq!(mail.to, ["ada@example.com", "bob@example.com", "eve@example.com"]);
    let (head, body) = mail.data.split_once("\r\n\r\n").unwrap();
    for line in [format!("Message-ID: {id}").as_str(), "Reply-To: desk@example.com", "Cc: bob@example.com"] {
        assert!(head.contains(line), "`{line}` is not in {head}");
    }
    assert!(!mail.data.contains("eve@example.com"), "a hidden recipient is in {head}");
    assert!(body.contains("text/plain") && body.contains("text/html"), "{body}");
    assert!(id.starts_with('<') && id.ends_with("@example.com>"), "{id}");
}

#[tokio::test]
async fn every_attempt_has_the_same_id() {
    let smtp = Smtp::start().await;
    let host = builder(&smtp.url()).start().await;
    // The server takes the mail and is gone before it says so: the classic doubled mail.
    smtp.misbehave("mail", Misbehave::Say("451 4.3.0 later"));
    let flow = json!({"name": "again", "steps": [{
        "id": "a", "type": "send_email", "config": mail(json!("ada@example.com")),
        "retry": {"max_attempts": 20, "initial": "100ms", "factor": 1},
    }]});
    let (_, run) = host.post("/runs", &json!({"flow": flow})).await;
    let run = run["run_id"].as_str().unwrap().to_owned();
    stepcell_tests::eventually("the mail is tried again", || async {
        let (_, page) = host.get(&format!("/runs/{run}/events?limit=1000")).await;
        page["events"].as_array()?.iter().any(|event| event["type"] == "step.retrying").then_some(())
    })
    .await;
    smtp.behave();
    let done = host.until(&run, "succeeded").await;
    let id = done["steps"]["a"]["output"]["message_id"].as_str().unwrap();
    assert_eq!(smtp.mails().len(), 1);
    assert!(smtp.mails()[0].data.contains(id), "{id}");
}

#[tokio::test]
async fn a_login_goes_over_tls() {
    for tls in [SmtpTls::Starttls, SmtpTls::Implicit] {
        let smtp = Smtp::with(tls, Some(("flows", "p@ss"))).await;
        let folder = tempfile::tempdir().unwrap();
        let authority = folder.path().join("authority.pem");
        std::fs::write(&authority, smtp.authority()).unwrap();
        let required = if tls == SmtpTls::Starttls { "?tls=required" } else { "" };
        let url = smtp.url().replace("://", "://flows:p%40ss@") + required;
        let authority = format!("\"{}\"", authority.display());
        let host = trusting(&url, &authority).start().await;
        let step = host.step("send_email", mail(json!("ada@example.com"))).await;
        assert_eq!(step["status"], "succeeded", "{tls:?}: {step:#}");
        let taken = &smtp.mails()[0];
        assert_eq!((taken.secure, taken.user.as_deref()), (true, Some("flows")));

        let stranger = builder(&url).start().await;
        let step = stranger.step("send_email", mail(json!("ada@example.com"))).await;
        assert_eq!(step["error"]["fault"], "unavailable", "its certificate is nobody's: {step:#}");
        let wrong = trusting(&url.replace("p%40ss", "wrong-word"), &authority).start().await;
        let step = wrong.step("send_email", mail(json!("ada@example.com"))).await;
        assert_eq!(step["status"], "failed", "{step:#}");
        assert!(!step.to_string().contains("wrong-word"), "{step:#}");
        assert_eq!(smtp.mails().len(), 1);
    }
}

#[tokio::test]
async fn recipients_are_the_grants_all_of_them() {
    let smtp = Smtp::start().await;
    let host = builder(&smtp.url()).start().await;
    for (key, address) in [
        ("to", "x@elsewhere.example"),
        ("cc", "x@elsewhere.example"),
        ("bcc", "x@evil-example.com"),
        ("to", "x@example.com.evil.example"),
    ] {
        let mut config = mail(json!("ada@example.com"));
        config[key] = json!([address]);
        let step = host.step("send_email", config).await;
        assert_eq!(step["error"]["code"], "email_denied", "{key} {address}: {step:#}");
        assert_eq!(host.refusals(&step).await[0]["target"], address);
    }
    assert_eq!(smtp.accepted(), 0, "a refused mail makes no connection");
}

#[tokio::test]
async fn what_the_server_says_is_typed() {
    let smtp = Smtp::start().await;
    let host = builder(&smtp.url()).start().await;
    for (at, how, fault, code, retryable) in [
        ("RCPT", Misbehave::Say("550 5.1.1 no such user"), "failed", "email_rejected", false),
        ("MAIL", Misbehave::Say("452 4.3.1 disk full"), "unavailable", "email_unavailable", true),
        ("connect", Misbehave::Say("421 4.7.0 too busy"), "unavailable", "email_unavailable", true),
        ("DATA", Misbehave::Drop, "unavailable", "email_unavailable", true),
        ("EHLO", Misbehave::Hang, "limit", "time_exceeded", false),
        ("connect", Misbehave::Babble, "unavailable", "email_unavailable", true),
    ] {
        smtp.misbehave(at, how);
        let flow = json!({"name": "told", "steps": [{
            "id": "a", "type": "send_email", "limits": {"time": "1s"}, "config": mail(json!("ada@example.com")),
        }]});
        let (_, run) = host.post("/runs?wait=60s", &json!({"flow": flow})).await;
        let error = &run["error"];
        let told = (&error["fault"], &error["code"], &error["retryable"]);
        assert_eq!(told, (&json!(fault), &json!(code), &json!(retryable)), "{at} {how:?}: {run:#}");
        assert!(error["message"].as_str().unwrap().contains(&smtp.address().to_string()), "{run:#}");
        smtp.behave();
        stepcell_tests::eventually("the connection is closed", || async { (smtp.open() == 0).then_some(()) })
            .await;
    }
    assert_eq!(smtp.mails().len(), 0);
}

#[tokio::test]
async fn no_header_can_be_smuggled_in() {
    let smtp = Smtp::start().await;
    let host = builder(&smtp.url()).start().await;
    let with = |key: &str, value: &str| {
        let mut mail = json!({"to": ["ada@example.com"], "subject": "S", "text": "B"});
        mail[key] = json!(value);
        if key == "to" {
            mail["to"] = json!([value]);
        }
        json!({"mails": [mail]})
    };
    for (key, value) in [
        ("subject", "S\r\nBcc: eve@example.com"),
        ("to", "ada@example.com\r\nBcc: eve@example.com"),
        ("to", "ada@example.com, eve@example.com"),
        ("reply_to", "a@example.com\nX-Evil: 1"),
        ("to", ""),
    ] {
        let step = host.step("sends_email", with(key, value)).await;
        assert_eq!(step["error"]["code"], "email_invalid", "{key} {value:?}: {step:#}");
    }
    assert_eq!(smtp.mails().len(), 0);
}
