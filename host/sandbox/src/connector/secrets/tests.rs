use std::sync::Arc;

use http::HeaderName;
use proptest::prelude::*;
use stepcell_core::grant::Grant;

use super::*;
use crate::connector::tests::support::{get, request, swap, with_secrets};

const TOKEN: &[u8] = "a\"b/c é".as_bytes();
const HERE: &str = "https://api.example";

fn token() -> Swap {
    swap("github", TOKEN, &[HERE])
}

fn access(swaps: &[Swap]) -> Access {
    Access::new("my_step".into(), Arc::new(with_secrets(&Grant::public_http(), swaps)))
}

fn with(swaps: &[Swap], mut request: Request, change: impl FnOnce(&mut Request, &str)) -> Request {
    request.swaps = swaps.to_vec();
    let placeholder = swaps[0].placeholder.to_string();
    change(&mut request, &placeholder);
    request
}

fn dressed(request: &Request) -> Result<Dressed<'_>, Error> {
    check_places(request).and_then(|()| dress(request, &access(&request.swaps), 1 << 20))
}

fn header(content_type: &'static str) -> (HeaderName, HeaderValue) {
    (header::CONTENT_TYPE, HeaderValue::from_static(content_type))
}

#[track_caller]
fn check_body(content_type: &'static str, expected: &str) {
    let request = with(&[token()], get("https://api.example/"), |request, placeholder| {
        request.body = format!("<{placeholder}|{placeholder}>").into();
        request.headers.extend([header(content_type)]);
    });
    let dressed = dressed(&request).unwrap();
    assert_eq!(std::str::from_utf8(&dressed.body).unwrap(), expected);
}

#[test]
fn a_secret_stands_where_its_placeholder_stood() {
    let swaps = [swap("github", b"ghp_x/y z", &[HERE])];
    let request = with(&swaps, get("https://api.example/a"), |request, placeholder| {
        let url = format!("https://api.example/a?key={placeholder}&also={placeholder}#x");
        request.target = Target::parse(&url).unwrap();
        request.headers.insert("x-key", format!("Bearer {placeholder}").parse().unwrap());
        request.headers.insert("x-other", "as it is".parse().unwrap());
    });
    let dressed = dressed(&request).unwrap();
    assert_eq!(dressed.path_and_query, "/a?key=ghp_x%2Fy%20z&also=ghp_x%2Fy%20z");
    assert_eq!(dressed.headers["x-key"], "Bearer ghp_x/y z");
    assert_eq!(dressed.headers["x-other"], "as it is");
    assert!(dressed.headers["x-key"].is_sensitive());
}

#[test]
fn a_body_is_written_as_its_type_says() {
    check_body("application/json", "<a\\\"b/c é|a\\\"b/c é>");
    check_body("application/x-www-form-urlencoded", "<a%22b%2Fc+%C3%A9|a%22b%2Fc+%C3%A9>");
    check_body("text/plain", "<a\"b/c é|a\"b/c é>");
}

#[test]
fn nothing_is_compressed_that_may_echo_a_secret() {
    let request =
        with(&[swap("github", b"x", &[HERE])], get("https://api.example/"), |request, placeholder| {
            request.headers.insert("x-key", placeholder.parse().unwrap());
            request.headers.insert("accept-encoding", "gzip".parse().unwrap());
        });
    assert_eq!(dressed(&request).unwrap().headers["accept-encoding"], "identity");
}

#[track_caller]
fn check_denied(request: &Request, access: &Access, reason: &str, allow: &str) {
    let Err(Error::Denied(denied)) = dress(request, access, 1 << 20) else { panic!("should be denied") };
    assert_eq!((denied.capability, denied.reason.as_str()), ("secrets", reason));
    assert_eq!(denied.target, format!("secret.github at {}", request.target.origin()));
    assert_eq!(denied.allow.as_deref(), Some(allow));
}

fn in_header(url: &str) -> Request {
    with(&[token()], get(url), |request, placeholder| {
        request.headers.insert("x-key", placeholder.parse().unwrap());
    })
}

#[test]
fn a_secret_goes_to_no_other_host() {
    let request = in_header("https://evil.example/");
    let allow = "secrets:\n  github: { hosts: [\"https://evil.example\", \"https://api.example\"] }";
    let reason = "the secret is not bound to that place";
    check_denied(&request, &access(&request.swaps), reason, allow);
}

#[test]
fn a_secret_needs_a_grant_of_every_level() {
    let request = in_header("https://api.example/");
    let bare = Access::new("my_step".into(), Arc::new(Grant::public_http()));
    check_denied(
        &request,
        &bare,
        "no grant of `my_step` admits the secret",
        "grants:\n  my_step: { http: [\"http://*\", \"https://*\"], secrets: [github] }",
    );
    let mut narrowed = access(&request.swaps);
    let others = Grant { secrets: Some(["other".to_owned()].into()), ..Grant::default() };
    narrowed.narrowings = vec![Arc::default(), Arc::new(others)];
    check_denied(
        &request,
        &narrowed,
        "the step's own `grants` do not admit the secret",
        "grants: { secrets: [github, other] }",
    );
}

#[test]
fn a_placeholder_that_is_not_used_needs_no_grant() {
    let request = with(&[token()], get("https://evil.example/"), |_, _| ());
    assert!(dress(&request, &access(&[]), 0).is_ok());
}

#[test]
fn text_that_only_looks_like_a_placeholder_is_data() {
    let request = with(&[token()], get("https://evil.example/?q=secret_0123456789abcdef"), |request, _| {
        request.body = "secret_00000000000000000000000000000000".into();
    });
    let dressed = dressed(&request).unwrap();
    assert_eq!(dressed.body, request.body);
    assert!(matches!(dressed.headers, Cow::Borrowed(_)));
}

#[track_caller]
fn check_invalid(place: &str, change: impl FnOnce(&mut Request, &str)) {
    let request = with(&[token()], get("https://api.example/"), change);
    let Err(Error::Invalid { reason, .. }) = dressed(&request) else { panic!("should be invalid") };
    assert!(reason.contains(place), "{reason}");
    assert!(!reason.contains("é"), "{reason}");
}

#[test]
fn a_secret_has_no_place_in_a_path_or_name() {
    let place =
        |url: String| move |request: &mut Request, _: &str| request.target = Target::parse(&url).unwrap();
    let placeholder = token().placeholder;
    check_invalid("host or path", place(format!("https://api.example/{placeholder}/x?y")));
    check_invalid("host or path", place(format!("https://{placeholder}.api.example/")));
    check_invalid("name of a header", |request, placeholder| {
        request.headers.insert(placeholder.parse::<HeaderName>().unwrap(), "x".parse().unwrap());
    });
    check_invalid("trailer", |request, placeholder| {
        request.trailers.insert("x-sum", placeholder.parse().unwrap());
    });
}

#[test]
fn a_secret_that_breaks_its_place_is_not_shown() {
    let lines = [swap("github", "é\r\nhost: evil".as_bytes(), &[HERE])];
    let header = with(&lines, get("https://api.example/"), |request, placeholder| {
        request.headers.insert("x-key", placeholder.parse().unwrap());
    });
    let bytes = [swap("github", b"\xff\xc3\xa9", &[HERE])];
    let json = with(&bytes, get("https://api.example/"), |request, placeholder| {
        request.body = placeholder.to_owned().into();
        request.headers.extend([self::header("application/json")]);
    });
    for (request, why) in [(header, "the header `x-key`"), (json, "no text")] {
        let Err(Error::Invalid { reason, .. }) = dressed(&request) else { panic!("should be invalid") };
        assert!(reason.contains(why) && !reason.contains("evil") && !reason.contains('é'), "{reason}");
    }
}

#[test]
fn the_size_counts_with_the_secrets_in() {
    let swaps = [swap("github", &[b'x'; 1_000], &[HERE])];
    let request = with(&swaps, get("https://api.example/"), |request, placeholder| {
        request.body = placeholder.repeat(10).into();
    });
    let access = access(&swaps);
    assert_eq!(dress(&request, &access, 10_000).unwrap().body.len(), 10_000);
    let error = dress(&request, &access, 9_999).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Limit { bound: crate::connector::Bound::RequestBody, .. }));
}

#[test]
fn secrets_are_wiped_from_what_was_sent() {
    let request = with(&[token()], get("https://api.example/"), |request, placeholder| {
        request.body = placeholder.to_owned().into();
    });
    let body = dressed(&request).unwrap().body;
    // It belongs to what wipes it: a buffer that can be taken over would not be wiped.
    assert!(body.try_into_mut().is_err());
}

proptest! {
    /// Wherever the placeholders stand, a host that the secret is not bound to gets no byte of it.
    #[test]
    fn no_secret_leaves_for_an_unbound_host(
        secret in proptest::collection::vec(any::<u8>(), 8..40),
        places in proptest::collection::vec(0_usize..3, 1..4),
        around in "[a-z]{0,8}",
    ) {
        let swaps = [swap("github", &secret, &[HERE])];
        let placeholder = swaps[0].placeholder.to_string();
        let text = format!("{around}{placeholder}{around}");
        let mut request = request(Method::POST, Target::parse("https://evil.example/").unwrap());
        request.swaps = swaps.to_vec();
        for place in places {
            match place {
                0 => _ = request.headers.append("x-any", text.parse().unwrap()),
                1 => request.body = text.clone().into(),
                _ => request.target = Target::parse(&format!("https://evil.example/?{text}")).unwrap(),
            }
        }
        let refused = dress(&request, &access(&swaps), 1 << 20).map(|_| ());
        prop_assert!(matches!(refused, Err(Error::Denied(_))));
    }

    /// What a redirect takes along holds no placeholder of a secret that may not go there.
    #[test]
    fn a_redirect_strips_every_header_with_a_secret(names in proptest::collection::vec("x-[a-z]{1,6}", 1..6)) {
        let mut request = in_header("https://api.example/");
        let placeholder = request.swaps[0].placeholder.to_string();
        for name in &names {
            request.headers.append(name.parse::<HeaderName>().unwrap(), format!("a{placeholder}").parse().unwrap());
            request.headers.append(name.parse::<HeaderName>().unwrap(), "plain".parse().unwrap());
        }
        let access = access(&request.swaps.clone());
        strip(&mut request, &access, &Target::parse("https://api.example/x").unwrap());
        prop_assert!(request.headers.contains_key("x-key"));
        strip(&mut request, &access, &Target::parse("https://evil.example/").unwrap());
        prop_assert_eq!(request.headers.values().filter(|value| *value != "plain").count(), 0);
        prop_assert_eq!(request.headers.len(), names.len());
    }
}
