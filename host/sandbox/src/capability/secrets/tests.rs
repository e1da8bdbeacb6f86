use std::collections::BTreeMap;

use serde_json::{Value, json};
use stepcell_core::{Limits, grant::HttpRule};

use super::*;
use crate::{
    capability::{Services, testing::Given},
    vault::Vault,
};

fn given(operator: Value) -> Given {
    let hosts = vec![HttpRule::parse("https://api.example.com").unwrap()];
    let secret = |value: &str| Secret::new(value, hosts.clone());
    let secrets = BTreeMap::from([
        ("github".to_owned(), secret("ghp_1")),
        ("hook".to_owned(), secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
        ("broken".to_owned(), secret("whsec_!")),
    ]);
    let services = Services { vault: Vault::new([7; 32], secrets), ..Services::bare() };
    Given { operator, services, ..Given::default() }
}

fn all() -> Given {
    given(json!({"secrets": ["github", "hook", "broken"]}))
}

#[tokio::test]
async fn a_placeholder_is_that_of_the_flow() {
    let mut session = all().session();
    let placeholder = session.placeholder("github".to_owned()).await.unwrap();
    let step = session.caller.step.clone().unwrap();
    assert_eq!(placeholder, session.services.vault.placeholder(session.caller.run, &step, "github"));
    assert!(!placeholder.contains("ghp_1"));
    let swap = &session.swaps()[0];
    assert_eq!((swap.value.as_slice(), swap.hosts.len()), (b"ghp_1".as_slice(), 1));
    assert_eq!(session.ledger.take_denied(), []);
}

#[tokio::test]
async fn the_same_placeholder_takes_one_place() {
    let mut session = all().session();
    let first = session.placeholder("github".to_owned()).await.unwrap();
    assert_eq!(session.placeholder("github".to_owned()).await.unwrap(), first);
    assert_eq!(session.swaps().len(), 1);
}

#[tokio::test]
async fn basic_stands_for_the_whole_header() {
    let mut session = all().session();
    let basic = session.basic("me".to_owned(), "github".to_owned()).await.unwrap();
    assert_ne!(basic, session.placeholder("github".to_owned()).await.unwrap());
    assert_ne!(basic, session.basic("you".to_owned(), "github".to_owned()).await.unwrap());
    let swap = session.swaps().iter().find(|swap| *swap.placeholder == *basic).unwrap();
    // "me:ghp_1"
    assert_eq!(swap.value.as_slice(), b"Basic bWU6Z2hwXzE=");
    assert_eq!(&*swap.name, "github");
}

#[tokio::test]
async fn a_user_can_not_change_what_the_header_says() {
    let mut session = all().session();
    for user in ["a:b", "a\r\nx: y", "\0", &"x".repeat(USER_BYTES_MAX + 1)] {
        let result = session.basic(user.to_owned(), "github".to_owned()).await;
        assert!(matches!(result, Err(Failure::Invalid(_))), "{user:?}: {result:?}");
    }
}

#[tokio::test]
async fn bytes_are_signed_with_the_secret() {
    let mut session = all().session();
    // RFC 4231 has no such key; the value was computed with another implementation.
    let digest = session.hmac_sha256("github".to_owned(), b"hello".to_vec()).await.unwrap();
    assert_eq!(hex(&digest), EXPECTED_PLAIN);
    // The example of Standard Webhooks.
    let signed = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}".to_vec();
    let digest = session.hmac_sha256("hook".to_owned(), signed).await.unwrap();
    assert_eq!(BASE64_STANDARD.encode(digest), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

/// `printf hello | openssl dgst -sha256 -hmac ghp_1`
const EXPECTED_PLAIN: &str = "3c9a1de1c67c4df3f019d97dc930dc59d90b0219bb51b9db3cc4945dd6673628";

#[tokio::test]
async fn many_bytes_are_signed_as_few_are() {
    let mut session = all().session();
    let bytes = vec![b'x'; HASHED_IN_PLACE_MAX + 1];
    let expected = sign("github", session.services.vault.get("github").unwrap(), &bytes).unwrap();
    assert_eq!(session.hmac_sha256("github".to_owned(), bytes).await.unwrap(), expected);
}

#[tokio::test]
async fn too_many_bytes_are_not_signed() {
    let limits = Limits { request: 10, ..Limits::default() };
    let mut session = Given { limits, ..all() }.session();
    let result = session.hmac_sha256("github".to_owned(), vec![0; 11]).await;
    assert!(matches!(result, Err(Failure::Invalid(_))), "{result:?}");
}

#[tokio::test]
async fn a_key_that_is_no_base64_is_not_shown() {
    let mut session = all().session();
    let Err(Failure::Invalid(text)) = session.hmac_sha256("broken".to_owned(), Vec::new()).await else {
        panic!()
    };
    assert_eq!(text, "the secret `broken` begins with `whsec_` and is no base64 after it");
}

#[track_caller]
fn check_denied<T: std::fmt::Debug>(result: Result<T, Failure>, message: &str) {
    match result {
        Err(Failure::Denied(text)) => assert_eq!(text, message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_not_granted_is_refused_with_its_line() {
    let mut session = given(json!({"secrets": ["hook"]})).session();
    check_denied(
        session.placeholder("github".to_owned()).await,
        "`github` is refused: no grant of `my_step` admits the secret `github`",
    );
    let line = "grants:\n  my_step: { secrets: [github, hook] }";
    assert_eq!(session.refusal(), ("github".to_owned(), line.to_owned()));
    assert!(matches!(session.basic("a".to_owned(), "github".to_owned()).await, Err(Failure::Denied(_))));
    assert!(matches!(session.hmac_sha256("github".to_owned(), Vec::new()).await, Err(Failure::Denied(_))));
    assert_eq!(session.swaps().len(), 0);
}

#[tokio::test]
async fn the_flow_and_the_step_narrow() {
    let mut session = Given { flow: json!({"secrets": ["hook"]}), ..all() }.session();
    check_denied(
        session.placeholder("github".to_owned()).await,
        "`github` is refused: the flow's own `grants` do not admit the secret `github`",
    );
    assert!(session.placeholder("hook".to_owned()).await.is_ok());
    let mut session = Given { step: json!({"secrets": []}), ..all() }.session();
    check_denied(
        session.placeholder("hook".to_owned()).await,
        "`hook` is refused: the step's own `grants` do not admit the secret `hook`",
    );
}

#[tokio::test]
async fn a_secret_that_is_not_configured_is_refused_with_both_lines() {
    let mut session = all().session();
    let result = session.placeholder("stripe-live".to_owned()).await;
    assert!(matches!(result, Err(Failure::Denied(_))), "{result:?}");
    let (_, allow) = session.refusal();
    assert_eq!(
        allow,
        "secrets:\n  stripe-live: { env: STRIPE_LIVE, hosts: [\"https://api.example.com\"] }\n\
         grants:\n  my_step: { secrets: [broken, github, hook, stripe-live] }"
    );
}

#[tokio::test]
async fn one_execution_holds_so_many_placeholders() {
    let mut session = all().session();
    for user in 0..SWAPS_MAX {
        session.basic(user.to_string(), "github".to_owned()).await.unwrap();
    }
    let result = session.basic("more".to_owned(), "github".to_owned()).await;
    assert!(matches!(result, Err(Failure::Invalid(_))), "{result:?}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
