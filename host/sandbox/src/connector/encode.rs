//! How a secret is written where it goes.

use http::{HeaderMap, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use url::form_urlencoded;

/// All but what RFC 3986 calls unreserved.
pub(super) const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How a body writes texts, by its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyForm {
    Json,
    /// `application/x-www-form-urlencoded`
    Form,
    /// As it is.
    Raw,
}

impl BodyForm {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
        let essence = given.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let essence = essence.to_ascii_lowercase();
        match &*essence {
            b"application/x-www-form-urlencoded" => Self::Form,
            b"application/json" | b"text/json" => Self::Json,
            other if other.ends_with(b"+json") => Self::Json,
            _ => Self::Raw,
        }
    }

    /// `None` where the secret can not be written like this.
    pub(super) fn encode(self, secret: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Json => json(secret),
            Self::Form => Some(form(secret)),
            Self::Raw => Some(secret.to_vec()),
        }
    }
}

/// Every way in which a secret may have been sent, the plain one first, and how servers like to write it back.
pub(super) fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let query = percent_encode(secret, QUERY).to_string().into_bytes();
    let mut forms = vec![secret.to_vec()];
    let others = [Some(lower_hex(&query)), Some(query), Some(form(secret)), json(secret)];
    for other in others.into_iter().flatten() {
        if !forms.contains(&other) {
            forms.push(other);
        }
    }
    forms
}

/// Within the quotes of a JSON string.
fn json(secret: &[u8]) -> Option<Vec<u8>> {
    let quoted = serde_json::to_string(std::str::from_utf8(secret).ok()?).ok()?;
    Some(quoted.strip_prefix('"')?.strip_suffix('"')?.as_bytes().to_vec())
}

fn form(secret: &[u8]) -> Vec<u8> {
    form_urlencoded::byte_serialize(secret).collect::<String>().into_bytes()
}

/// `%2F` as `%2f`.
fn lower_hex(encoded: &[u8]) -> Vec<u8> {
    let mut digits = 0_u8;
    let lower = |byte: &u8| {
        if *byte == b'%' {
            digits = 3;
            return *byte;
        }
        digits = digits.saturating_sub(1);
        if digits > 0 { byte.to_ascii_lowercase() } else { *byte }
    };
    encoded.iter().map(lower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content_type: &str, expected: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        let encoded = BodyForm::of(&headers).encode("a\"b c&é".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(encoded).unwrap(), expected, "{content_type}");
    }

    #[test]
    fn a_body_writes_texts_as_its_type_does() {
        check("application/json", "a\\\"b c&é");
        check("Application/JSON; charset=utf-8", "a\\\"b c&é");
        check("application/problem+json", "a\\\"b c&é");
        check("application/x-www-form-urlencoded;charset=utf-8", "a%22b+c%26%C3%A9");
        check("text/plain", "a\"b c&é");
        check("multipart/form-data; boundary=x", "a\"b c&é");
    }

    #[test]
    fn json_takes_no_bytes() {
        assert_eq!(BodyForm::Json.encode(b"\xff"), None);
    }

    #[test]
    fn forms_are_told_once() {
        assert_eq!(forms(b"plain"), [b"plain".to_vec()]);
        let odd: Vec<String> =
            forms(b"a/B \"").into_iter().map(|form| String::from_utf8(form).unwrap()).collect();
        assert_eq!(odd, ["a/B \"", "a%2fB%20%22", "a%2FB%20%22", "a%2FB+%22", "a/B \\\""]);
    }
}
