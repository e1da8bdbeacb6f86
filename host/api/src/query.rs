//! Query strings and path segments.

use std::time::Duration;

use axum::extract::{FromRequestParts, Path, Query as AxumQuery};
use http::{StatusCode, request::Parts};
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use stepcell_core::{RunId, ids::InvalidId, parse::units};

use crate::problem::{Problem, Result};

/// A query string; an unknown key or a bad value is a 400 that names it.
///
/// `T` denies unknown fields, or typos would be silent defaults.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        match AxumQuery::try_from_uri(&parts.uri) {
            Ok(AxumQuery(query)) => Ok(Self(query)),
            Err(rejection) => {
                // The words before the first colon are axum's.
                let text = rejection.body_text();
                Err(Problem::query(text.split_once(": ").map_or(text.as_str(), |(_, cause)| cause)))
            }
        }
    }
}

/// Parameters of the path, by name; what can not be one (a broken escape) leads nowhere: 404.
pub(crate) struct Segments<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(_) => {
                let detail = "the path names nothing: it is not UTF-8";
                Err(Problem::new(StatusCode::NOT_FOUND, "no_such_path", detail))
            }
        }
    }
}

/// The run that the path names. A text that is no id names no run: 404.
pub(crate) struct Run(pub(crate) RunId);

impl<S: Send + Sync> FromRequestParts<S> for Run {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        #[derive(Deserialize)]
        struct Named {
            run_id: String,
        }
        let Segments(Named { run_id }) = Segments::from_request_parts(parts, state).await?;
        run_id.parse().map(Self).map_err(|error: InvalidId| {
            Problem::new(StatusCode::NOT_FOUND, "no_such_run", error.to_string())
                .with_hint("`GET /api/v1/runs` lists the runs".to_owned())
        })
    }
}

/// A duration in a query, such as `500ms`, `10s` or `1m`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        units::duration(&text).map(Self).map_err(D::Error::custom)
    }
}

/// The query of the calls that start a run.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wait {
    wait: Option<Span>,
}

impl Wait {
    /// How long to wait for the run's end, where that is asked for.
    pub(crate) fn asked(&self) -> Option<Duration> {
        self.wait.map(|Span(wait)| wait)
    }
}

/// A whole number in a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Whole(pub(crate) u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| D::Error::custom("not a whole number"))
    }
}

/// How many of something one answer holds.
pub(crate) fn page(asked: Option<Whole>, default: usize, most: usize) -> Result<usize> {
    match asked {
        None => Ok(default),
        Some(Whole(limit)) => match usize::try_from(limit) {
            Ok(size) if (1..=most).contains(&size) => Ok(size),
            _ => Err(Problem::query(format!("limit: from 1 to {most}, not {limit}"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        wait: Option<Span>,
        limit: Option<Whole>,
    }

    async fn ask(query: &str) -> Result<Asked> {
        let request = http::Request::get(format!("/?{query}")).body(()).unwrap();
        Query::from_request_parts(&mut request.into_parts().0, &()).await.map(|Query(asked)| asked)
    }

    async fn span(text: &str) -> Option<Duration> {
        ask(&format!("wait={text}")).await.ok().and_then(|asked| asked.wait).map(|Span(span)| span)
    }

    #[tokio::test]
    async fn durations_have_a_unit() {
        assert_eq!(span("500ms").await, Some(Duration::from_millis(500)));
        assert_eq!(span("10s").await, Some(Duration::from_secs(10)));
        assert_eq!(span("1m").await, Some(Duration::from_secs(60)));
        assert_eq!(span("0s").await, Some(Duration::ZERO));
        assert_eq!(span("10").await, None);
        assert_eq!(span("-1s").await, None);
        assert_eq!(span("").await, None);
    }

    #[tokio::test]
    async fn mistakes_are_named() {
        let mut said = Vec::new();
        for query in ["wiat=1s", "wait=soon", "limit=-1", "limit=1&limit=2"] {
            said.push(format!("{query}: {}", ask(query).await.err().unwrap().to_json()["detail"]));
        }
        insta::assert_snapshot!(said.join("\n"));
    }

    #[tokio::test]
    async fn nothing_asked_is_fine() {
        let asked = ask("").await.ok().unwrap();
        assert!(asked.wait.is_none() && asked.limit.is_none());
    }

    #[test]
    fn pages_have_bounds() {
        assert_eq!(page(None, 50, 500).ok(), Some(50));
        assert_eq!(page(Some(Whole(500)), 50, 500).ok(), Some(500));
        assert!(page(Some(Whole(0)), 50, 500).is_err());
        assert!(page(Some(Whole(501)), 50, 500).is_err());
    }
}
