//! Request bodies: what type they say they are, and reading them within limits.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use stepcell_core::parse::Format;

use crate::{
    limits::{BODY_READ_TIME, DRAIN_BYTES_MAX, DRAIN_TIME},
    problem::{Problem, Result},
};

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read(mut body: Body, headers: &HeaderMap, limit: usize) -> Result<Bytes> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        let detail =
            format!("bodies with content encoding `{}` are not read", encoding.to_str().unwrap_or("?"));
        return Err(unsupported(detail, "send the body as it is"));
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        // Who asks first has sent nothing yet, and reading would tell it to.
        if !headers.contains_key(EXPECT) {
            drain(body).await;
        }
        return Err(too_large(limit));
    }
    let collected = collect(&mut body, limit, BODY_READ_TIME).await;
    if collected.is_err() {
        drain(body).await;
    }
    collected
}

async fn collect(body: &mut Body, limit: usize, within: Duration) -> Result<Bytes> {
    match tokio::time::timeout(within, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        Ok(Err(error)) => {
            let detail = format!("the body could not be read to its end: {error}");
            Err(Problem::new(StatusCode::BAD_REQUEST, "body_incomplete", detail))
        }
        Err(_) => {
            let detail = format!("the body did not arrive within {within:?}");
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail))
        }
    }
}

/// Whether a flow or a run comes as JSON or as YAML; anything else is 415.
pub(crate) fn text_format(headers: &HeaderMap) -> Result<Format> {
    const HINT: &str = "send `content-type: application/json` or `application/yaml`";
    let media = MediaType::of(headers).ok_or_else(|| missing(HINT))?;
    media.check_charset()?;
    if media.is_json() {
        Ok(Format::Json)
    } else if media.is_yaml() {
        Ok(Format::Yaml)
    } else {
        Err(media.refuse(HINT))
    }
}

/// How the submissions of a body are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// The whole body is one.
    Whole(Format),
    /// Each line is one, in JSON.
    Lines,
}

/// How a body of `POST /runs` is written; anything but JSON, YAML and lines of JSON is 415.
pub(crate) fn written(headers: &HeaderMap) -> Result<Written> {
    match MediaType::of(headers) {
        Some(media) if media.is_lines() => media.check_charset().map(|()| Written::Lines),
        _ => text_format(headers).map(Written::Whole),
    }
}

/// Passes JSON alone.
pub(crate) fn expect_json(headers: &HeaderMap) -> Result<()> {
    const HINT: &str = "send `content-type: application/json`";
    let media = MediaType::of(headers).ok_or_else(|| missing(HINT))?;
    media.check_charset()?;
    if media.is_json() { Ok(()) } else { Err(media.refuse(HINT)) }
}

/// Passes what a plugin may be sent as.
pub(crate) fn expect_wasm(headers: &HeaderMap) -> Result<()> {
    const HINT: &str = "send the file with `content-type: application/wasm`";
    let media = MediaType::of(headers).ok_or_else(|| missing(HINT))?;
    match media.essence.as_str() {
        "application/wasm" | "application/octet-stream" => Ok(()),
        _ => Err(media.refuse(HINT)),
    }
}

struct MediaType {
    /// `type/subtype`, lower case.
    essence: String,
    charset: Option<String>,
}

impl MediaType {
    /// Reads the header; `None` where there is none, or none that is text.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
        let essence = parts.next().filter(|essence| !essence.is_empty())?;
        let charset =
            parts.find_map(|part| Some(part.strip_prefix("charset=")?.trim_matches('"').to_owned()));
        Some(Self { essence, charset })
    }

    fn is_json(&self) -> bool {
        self.essence == "application/json" || self.essence.ends_with("+json")
    }

    fn is_yaml(&self) -> bool {
        const NAMES: [&str; 4] = ["application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"];
        NAMES.contains(&self.essence.as_str()) || self.essence.ends_with("+yaml")
    }

    fn is_lines(&self) -> bool {
        matches!(
            self.essence.as_str(),
            "application/jsonl" | "application/x-ndjson" | "application/x-jsonlines"
        )
    }

    fn check_charset(&self) -> Result<()> {
        match self.charset.as_deref() {
            None | Some("utf-8" | "utf8" | "us-ascii") => Ok(()),
            Some(charset) => {
                Err(unsupported(format!("bodies in charset `{charset}` are not read"), "send UTF-8"))
            }
        }
    }

    fn refuse(&self, hint: &str) -> Problem {
        unsupported(format!("this call does not take a body of type `{}`", self.essence), hint)
    }
}

fn missing(hint: &str) -> Problem {
    unsupported("the body has no content type".to_owned(), hint)
}

fn unsupported(detail: String, hint: &str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
        .with_hint(hint.to_owned())
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("the body is over the limit of {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

/// Reads a refused body and drops it, within bounds.
async fn drain(mut body: Body) {
    let read = async {
        let mut left = DRAIN_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len) as u64);
            if left == 0 {
                break;
            }
        }
    };
    // Whatever is left after that time is the client's loss: the connection closes.
    let _ = tokio::time::timeout(DRAIN_TIME, read).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[track_caller]
    fn check(content_type: &str, format: Option<Format>) {
        let found = text_format(&headers(&[(CONTENT_TYPE, content_type)])).ok();
        assert_eq!(found, format, "{content_type}");
    }

    #[test]
    fn json_and_yaml_come_under_many_names() {
        check("application/json", Some(Format::Json));
        check("Application/JSON; charset=UTF-8", Some(Format::Json));
        check("application/vnd.flow+json", Some(Format::Json));
        check("application/yaml", Some(Format::Yaml));
        check("application/x-yaml", Some(Format::Yaml));
        check("text/yaml; charset=\"utf-8\"", Some(Format::Yaml));
        check("text/x-yaml", Some(Format::Yaml));
    }

    #[test]
    fn lines_of_json_are_told_from_json() {
        let lines = |text: &str| written(&headers(&[(CONTENT_TYPE, text)])).ok() == Some(Written::Lines);
        assert!(lines("application/jsonl") && lines("application/x-ndjson; charset=utf-8"));
        assert!(lines("Application/X-JSONLines"));
        assert!(
            !lines("application/json") && !lines("application/jsonl; charset=latin1") && !lines("text/plain")
        );
    }

    #[test]
    fn other_types_are_refused() {
        check("text/plain", None);
        check("application/x-www-form-urlencoded", None);
        check("application/json; charset=latin1", None);
        check("json", None);
        check("", None);
        assert!(text_format(&HeaderMap::new()).is_err());
    }

    async fn read_code(body: Body, headers: &HeaderMap, limit: usize) -> std::result::Result<usize, String> {
        let read = read(body, headers, limit).await;
        read.map(|bytes| bytes.len())
            .map_err(|problem| problem.to_json()["code"].as_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn the_limit_is_the_last_size_that_passes() {
        let none = HeaderMap::new();
        assert_eq!(read_code(Body::from("1234"), &none, 4).await, Ok(4));
        assert_eq!(read_code(Body::from("12345"), &none, 4).await, Err("body_too_large".to_owned()));
        let announced = headers(&[(CONTENT_LENGTH, "5")]);
        assert_eq!(read_code(Body::from("12345"), &announced, 4).await, Err("body_too_large".to_owned()));
    }

    #[tokio::test]
    async fn encoded_bodies_are_refused() {
        let gzip = headers(&[(CONTENT_ENCODING, "gzip")]);
        assert_eq!(read_code(Body::from("1234"), &gzip, 4).await, Err("unsupported_media_type".to_owned()));
        let identity = headers(&[(CONTENT_ENCODING, "identity")]);
        assert_eq!(read_code(Body::from("1234"), &identity, 4).await, Ok(4));
    }

    #[tokio::test]
    async fn a_stalled_client_is_let_go() {
        let mut stalled = Body::from_stream(futures_util::stream::pending::<std::io::Result<Bytes>>());
        let problem = collect(&mut stalled, 4, Duration::ZERO).await.unwrap_err();
        assert_eq!(problem.to_json()["code"], "body_timeout");
    }
}
