//! What a server says when it says no.

use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use super::is_passing;
use crate::{
    error::Error,
    listing::{Entry, Listing},
};

/// problem+json (RFC 9457), as far as it is used here.
#[derive(Debug, Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    hint: Option<String>,
    #[serde(default)]
    errors: Vec<Entry>,
    /// What came first, where a second one is refused.
    #[serde(default)]
    first: Option<Value>,
}

/// The error for an answer that is no success. Problems of a flow keep their list; the caller, who knows the
/// file, gives them their places: what the server read was not the user's text.
pub(super) fn error(status: StatusCode, body: &str, server: &Url) -> Error {
    let Ok(Problem { code, mut detail, hint, mut errors, first }) = serde_json::from_str(body) else {
        let reason = anyhow::anyhow!("{status}, without a reason that this version understands");
        return Error::system(format!("{server} refused the call"), reason)
            .or_hint("check that `--url` names a stepcell server");
    };
    if !errors.is_empty() {
        errors.iter_mut().for_each(|entry| (entry.line, entry.column) = (0, 0));
        return Error::Problems(Listing { errors, ..Listing::default() });
    }
    if let Some(first) = first {
        detail = format!("{detail}, with {first}");
    }
    if is_passing(status) {
        return Error::System { message: format!("{server}: {detail} ({code})"), hint, source: None };
    }
    Error::Call { code: code.into(), message: detail, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(status: u16, body: &str) -> Error {
        error(StatusCode::from_u16(status).unwrap(), body, &Url::parse("http://h/").unwrap())
    }

    #[test]
    fn the_callers_mistakes_are_told_from_the_servers() {
        let body = r#"{"code": "no_such_run", "detail": "there is no run", "hint": "list them"}"#;
        let Error::Call { code, message, hint } = refuse(404, body) else { panic!("not a call error") };
        assert_eq!((code.as_ref(), message.as_str()), ("no_such_run", "there is no run"));
        assert_eq!(hint.as_deref(), Some("list them"));
        assert!(matches!(refuse(503, body), Error::System { .. }));
        assert!(matches!(refuse(429, body), Error::System { .. }));
    }

    #[test]
    fn problems_of_a_flow_are_kept_one_by_one() {
        let body = r#"{"code": "flow_invalid", "detail": "2 problems", "errors":
            [{"path": "flow.steps[0].type", "line": 1, "column": 9, "code": "unknown_type", "message": "no"}]}"#;
        let Error::Problems(listing) = refuse(422, body) else { panic!("not problems") };
        assert_eq!((listing.errors[0].path.as_str(), listing.errors[0].line), ("flow.steps[0].type", 0));
    }

    #[test]
    fn a_second_answer_is_told_the_first() {
        let body =
            r#"{"code": "already_resumed", "detail": "it was resumed already", "first": {"by": "ada"}}"#;
        let Error::Call { message, .. } = refuse(409, body) else { panic!("not a call error") };
        assert_eq!(message, r#"it was resumed already, with {"by":"ada"}"#);
    }

    #[test]
    fn an_answer_of_something_else_is_a_system_error() {
        assert!(matches!(refuse(404, "<html>"), Error::System { .. }));
    }
}
