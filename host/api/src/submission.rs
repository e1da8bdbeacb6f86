//! Texts that start runs: read, checked, and made ready.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use stepcell_core::{
    Json,
    parse::{self, FlowRef, Format, MAX_IDEMPOTENCY_KEY_BYTES, Submission},
    problem::Problem as FlowProblem,
};
use stepcell_engine::{Engine, Prepared, Submit};

use crate::{
    limits::INLINE_PARSE_BYTES,
    problem::{Problem, Result},
};

/// What a submission asks for.
pub(crate) enum Asked {
    One(Submit),
    /// A run of the flow for each input.
    Many {
        plan: Arc<Prepared>,
        inputs: Vec<Json>,
        idempotency_key: Option<String>,
    },
}

/// Makes something of a text, of a large one on a thread that may block.
pub(crate) async fn parsed<T: Send + 'static>(
    body: Bytes,
    parse: impl FnOnce(&str) -> Result<T> + Send + 'static,
) -> Result<T> {
    if body.len() <= INLINE_PARSE_BYTES {
        return parse(text(&body)?);
    }
    match tokio::task::spawn_blocking(move || parse(text(&body)?)).await {
        Ok(parsed) => parsed,
        Err(error) => Err(Problem::internal("internal_error", "the body could not be checked", &error)),
    }
}

/// A submission, ready to run. `key` is the idempotency key of the head.
pub(crate) fn whole(engine: &Engine, text: &str, format: Format, key: Option<String>) -> Result<Asked> {
    let submission = parse::parse_submission(text, format).map_err(|errors| refused(errors, format, text))?;
    let Submission { flow, input, inputs, idempotency_key } = submission;
    let plan = plan(engine, flow)?;
    let idempotency_key = one_key(idempotency_key, key)?;
    Ok(match inputs {
        None => Asked::One(Submit { plan, input, idempotency_key }),
        Some(inputs) => Asked::Many { plan, inputs, idempotency_key },
    })
}

/// A flow, or the name of a stored one, made ready to run.
pub(crate) fn plan(engine: &Engine, flow: FlowRef) -> Result<Arc<Prepared>> {
    match flow {
        FlowRef::Inline(flow) => engine.plan(*flow).map_err(Problem::flow),
        FlowRef::Name(name) => Err(unknown_flow(&name)),
    }
}

/// JSON is written by programs: a text that is none is no attempt at a flow. A YAML text is a flow as its author
/// typed it, and what is wrong with it is wrong with the flow.
pub(crate) fn refused(errors: Vec<FlowProblem>, format: Format, text: &str) -> Problem {
    let hint = match format {
        Format::Json => Some("send YAML with `content-type: application/yaml`"),
        Format::Yaml if !text.contains('\n') => {
            Some("the text has a single line; curl keeps line breaks with `--data-binary`, not with `-d`")
        }
        Format::Yaml => None,
    };
    match errors.as_slice() {
        [error] if error.code == "invalid_json" => {
            let detail = format!("the body, line {}, column {}: {}", error.line, error.column, error.message);
            Problem::new(StatusCode::BAD_REQUEST, "malformed_body", detail).with_errors(errors)
        }
        [error] if error.code == "invalid_yaml" => Problem::flow(errors),
        _ => return Problem::flow(errors),
    }
    .with_hint(hint.map(str::to_owned))
}

/// The `Idempotency-Key` of a request, with or without the quotes that the header's draft asks for.
pub(crate) fn key_of(headers: &HeaderMap) -> Result<Option<String>> {
    let mut sent = headers.get_all("idempotency-key").iter();
    let (Some(key), None) = (sent.next(), sent.next()) else {
        return if headers.contains_key("idempotency-key") {
            Err(bad_key("the request has more than one `Idempotency-Key`"))
        } else {
            Ok(None)
        };
    };
    let key = key.to_str().map_err(|_| bad_key("`Idempotency-Key` is no text"))?;
    let bare = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
    if (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&bare.len()) {
        return Ok(Some(bare.to_owned()));
    }
    Err(bad_key(format!(
        "`Idempotency-Key` has {} bytes, and from 1 to {MAX_IDEMPOTENCY_KEY_BYTES} are taken",
        bare.len()
    )))
}

/// The key of the body and that of the head, which have to be the same where both are there.
pub(crate) fn one_key(body: Option<String>, head: Option<String>) -> Result<Option<String>> {
    match (body, head) {
        (Some(body), Some(head)) if body != head => {
            Err(bad_key("`idempotency_key` of the body is not the `Idempotency-Key` of the request")
                .with_hint("send one of them, or both alike".to_owned()))
        }
        (body, head) => Ok(body.or(head)),
    }
}

fn text(body: &[u8]) -> Result<&str> {
    std::str::from_utf8(body).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "malformed_body", format!("the body is not UTF-8: {error}"))
    })
}

fn unknown_flow(name: &str) -> Problem {
    let name: String = name.chars().take(100).collect();
    let detail = format!("there is no stored flow `{name}`");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_flow", detail)
        .with_hint("send the flow itself under `flow`".to_owned())
}

fn bad_key(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sent: &[&str], expected: Option<Option<&str>>) {
        let mut headers = HeaderMap::new();
        for key in sent {
            headers.append("idempotency-key", key.parse().unwrap());
        }
        let found = key_of(&headers).ok();
        assert_eq!(found.as_ref().map(Option::as_deref), expected, "{sent:?}");
    }

    #[test]
    fn a_key_may_come_in_the_head() {
        check(&[], Some(None));
        check(&["order-17"], Some(Some("order-17")));
        check(&["\"order-17\""], Some(Some("order-17")));
        check(&["\""], Some(Some("\"")));
        check(&[""], None);
        check(&["a", "a"], None);
        check(&[&"x".repeat(MAX_IDEMPOTENCY_KEY_BYTES + 1)], None);
    }

    #[test]
    fn keys_of_body_and_head_are_the_same() {
        let one = |body: Option<&str>, head: Option<&str>| {
            one_key(body.map(str::to_owned), head.map(str::to_owned)).ok()
        };
        assert_eq!(one(Some("a"), None), Some(Some("a".to_owned())));
        assert_eq!(one(None, Some("a")), Some(Some("a".to_owned())));
        assert_eq!(one(Some("a"), Some("a")), Some(Some("a".to_owned())));
        assert_eq!(one(Some("a"), Some("b")), None);
        assert_eq!(one(None, None), Some(None));
    }
}
