use std::time::Duration;

use http::StatusCode;
use proptest::prelude::*;

use super::*;
use crate::capability::Held;
use crate::connector::{Bound, Phase, encode::BodyForm, tests::support::swap};

fn response(body: &[u8]) -> Response {
    Response {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: body.to_vec(),
        trailers: HeaderMap::new(),
        url: "https://api.example/".to_owned(),
        held: Held::default(),
    }
}

fn masked(swaps: &[Swap], body: &[u8]) -> Vec<u8> {
    Mask::new(swaps).response(response(body), 1 << 20).unwrap().body
}

#[test]
fn every_part_of_a_response_shows_the_placeholder() {
    let swaps = [swap("key", b"top/secret", &[])];
    let placeholder = &*swaps[0].placeholder;
    let mut echo = response(b"top/secret and top%2Fsecret");
    echo.headers.insert("x-echo", "got top/secret".parse().unwrap());
    echo.headers.insert(header::CONTENT_LENGTH, 27.into());
    echo.trailers.insert("x-end", "top/secret".parse().unwrap());
    echo.url = "https://api.example/?k=top%2Fsecret".to_owned();
    let masked = Mask::new(&swaps).response(echo, 1 << 20).unwrap();
    assert_eq!(String::from_utf8(masked.body).unwrap(), format!("{placeholder} and {placeholder}"));
    assert_eq!(masked.headers["x-echo"], format!("got {placeholder}").as_str());
    assert_eq!(masked.headers[header::CONTENT_LENGTH], "83");
    assert_eq!(masked.trailers["x-end"], placeholder);
    assert_eq!(masked.url, format!("https://api.example/?k={placeholder}"));
}

#[test]
fn the_name_of_a_header_shows_the_placeholder() {
    let swaps = [swap("key", b"Top-Secret", &[])];
    let name = HeaderName::from_bytes(b"x-Top-Secret").unwrap();
    let mut echo = response(b"");
    for headers in [&mut echo.headers, &mut echo.trailers] {
        headers.insert("x-other", "1".parse().unwrap());
        headers.append(name.clone(), "2".parse().unwrap());
        headers.append(name.clone(), "3".parse().unwrap());
    }
    let masked = Mask::new(&swaps).response(echo, 1 << 20).unwrap();
    let shown = format!("x-{}", swaps[0].placeholder);
    for headers in [masked.headers, masked.trailers] {
        assert_eq!(headers.get_all(shown.as_str()).iter().collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!((headers.len(), &headers["x-other"]), (3, &HeaderValue::from_static("1")));
    }
}

#[test]
fn what_is_within_a_basic_header_is_masked_too() {
    let value = format!("Basic {}", STANDARD.encode("user:pass:word"));
    let swaps = [swap("key", value.as_bytes(), &[])];
    let shown = String::from_utf8(masked(&swaps, format!("{value} user pass:word").as_bytes())).unwrap();
    let placeholder = &*swaps[0].placeholder;
    assert_eq!(shown, format!("{placeholder} user {placeholder}"));
    let token = value.strip_prefix("Basic ").unwrap();
    assert_eq!(masked(&swaps, token.as_bytes()), placeholder.as_bytes());
}

#[test]
fn a_mask_does_not_make_a_response_endless() {
    let swaps = [swap("key", b"a", &[])];
    assert!(Mask::new(&swaps).response(response(&[b'a'; 100]), 1_000).is_err());
}

#[test]
fn no_error_shows_a_secret() {
    let swaps = [swap("key", b"topsecret", &[])];
    let (mask, text) = (Mask::new(&swaps), || "a topsecret b".to_owned());
    let after = Duration::ZERO;
    for error in [
        Error::Denied(Denied { capability: "http", target: text(), reason: text(), allow: Some(text()) }),
        Error::Invalid { target: text(), reason: text() },
        Error::Unavailable { peer: text(), phase: Phase::Reading, reason: text() },
        Error::Timeout { peer: text(), phase: Phase::Reading, after },
        Error::Limit { bound: Bound::Redirects, message: text() },
    ] {
        let masked = mask.error(error);
        assert!(!format!("{masked} {masked:?}").contains("topsecret"), "{masked:?}");
        assert!(masked.to_string().contains(&*swaps[0].placeholder));
    }
}

fn secret() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 8..40),
        "\\PC{8,20}".prop_map(String::into_bytes),
        "[ -~]{8,20}".prop_map(String::into_bytes),
    ]
}

proptest! {
    /// What went out with its secrets comes back with its placeholders, however it was written.
    #[test]
    fn an_echo_is_what_the_step_wrote(secrets in proptest::collection::vec(secret(), 1..4), text in "[A-Z<>]{0,20}") {
        let names = ["one", "two", "three"];
        let swaps: Vec<Swap> =
            secrets.iter().zip(names).map(|(secret, name)| swap(name, secret, &[])).collect();
        // One secret within another can be told apart by nobody.
        let forms: Vec<Vec<Vec<u8>>> = secrets.iter().map(|secret| encode::forms(secret)).collect();
        let within = |one: usize, other: usize| forms[one].iter().any(|form| {
            forms[other].iter().any(|outer| memchr::memmem::find(outer, form).is_some())
        });
        let pairs = (0..secrets.len()).flat_map(|one| (0..secrets.len()).map(move |other| (one, other)));
        prop_assume!(!pairs.into_iter().any(|(one, other)| one != other && within(one, other)));
        for form in [BodyForm::Raw, BodyForm::Json, BodyForm::Form] {
            let Some(sent) = swaps.iter().map(|swap| form.encode(&swap.value)).collect::<Option<Vec<_>>>() else {
                continue;
            };
            let written: Vec<&[u8]> = swaps.iter().map(|swap| swap.placeholder.as_bytes()).collect();
            let line = |parts: &[&[u8]]| parts.join(text.as_bytes());
            let echo = line(&sent.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let shown = masked(&swaps, &echo);
            // A secret that begins as its neighbour ends may be found one byte early, but is never shown.
            for (secret, swap) in secrets.iter().zip(&swaps) {
                prop_assert!(memchr::memmem::find(&shown, secret).is_none(), "{:?}", swap.name);
            }
            if !text.is_empty() {
                prop_assert_eq!(shown, line(&written));
            }
        }
    }

    #[test]
    fn what_holds_no_secret_is_left_alone(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let swaps = [swap("key", b"a secret that nobody guesses", &[])];
        prop_assert_eq!(masked(&swaps, &body), body);
    }
}
