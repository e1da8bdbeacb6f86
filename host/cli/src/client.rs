//! A server's HTTP API, as the commands call it.

mod follow;
mod refusal;

use std::{path::Path, sync::Arc, time::Duration};

use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header};
use serde::{Serialize, de::DeserializeOwned};
use stepcell_core::{Event, RunId};

use crate::{
    args::ServerArgs,
    config::{Config, Flags},
    error::Error,
};

/// The largest answer that is read, in bytes: a run with its outputs. Protects memory from a peer that is no
/// stepcell server.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// How long connecting may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long a call may take, answer included. Waiting for a run is a stream of its own, without this limit.
const CALL_TIME: Duration = Duration::from_secs(60);

/// The least and the most time until a server without room is asked again, whatever it says. Protects it from a loop, and
/// the caller from a server that asks for years.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Calls one server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Arc<Url>,
}

impl Client {
    /// For the server that the flags, the environment or the config name; a config beside `flow` is found.
    /// Connects to nothing yet.
    pub(crate) fn new(args: &ServerArgs, flow: Option<&Path>) -> Result<Self, Error> {
        let base = match &args.url {
            Some(text) => base(text)?,
            None => {
                let flags = Flags { config: args.config.clone(), ..Flags::default() };
                let listen = Config::load(&flags, flow)?.listen;
                base(&format!("http://{listen}"))?
            }
        };
        // The server is named outright: a proxy that is set up for browsing would only see what is not its business.
        let http = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_TIME).build();
        let http = http.map_err(|error| Error::system("the HTTP client can not be started", error))?;
        Ok(Self { http, base: Arc::new(base) })
    }

    /// Where the server is.
    pub(crate) fn url(&self) -> &Url {
        &self.base
    }

    /// `GET` of a path below `/api/v1`, read as JSON.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, Error> {
        let text = self.get_text(path, query).await?;
        self.read(&text)
    }

    /// `GET` of a path below `/api/v1`, as text.
    pub(crate) async fn get_text(&self, path: &[&str], query: &[(&str, String)]) -> Result<String, Error> {
        self.call(self.request(Method::GET, path, query).timeout(CALL_TIME)).await
    }

    /// `DELETE` of a path below `/api/v1`, which answers nothing.
    pub(crate) async fn delete(&self, path: &[&str]) -> Result<(), Error> {
        self.call(self.request(Method::DELETE, path, &[]).timeout(CALL_TIME)).await.map(drop)
    }

    /// `POST` of JSON to a path below `/api/v1`; the answer is read as JSON.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let text = self.call(self.request(Method::POST, path, &[]).json(body).timeout(CALL_TIME)).await?;
        self.read(&text)
    }

    /// `POST` of JSON text to a path below `/api/v1`, which may take this long; the answer is text. What may pass is no
    /// error: a server without room or about to stop, and one that can not be reached.
    pub(crate) async fn offer(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        body: String,
        at_most: Duration,
    ) -> Result<Offered, Error> {
        let request = self.request(Method::POST, path, query).timeout(at_most.saturating_add(CALL_TIME));
        let request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        let lost = |error: reqwest::Error| Offered::Lost {
            received: !error.is_connect(),
            error: self.unreachable(error),
        };
        let response = match accepting(request).send().await {
            Ok(response) => response,
            Err(error) => return Ok(lost(error)),
        };
        let (status, pause) = (response.status(), retry_after(response.headers()));
        let text = match self.whole(response).await {
            Ok(text) => text?,
            Err(error) => return Ok(lost(error)),
        };
        match status {
            StatusCode::TOO_MANY_REQUESTS => Ok(Offered::Full { pause }),
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Ok(Offered::Away { pause, error: refusal::error(status, &text, &self.base) })
            }
            status if status.is_success() => Ok(Offered::Taken { ended: status == StatusCode::OK, text }),
            status => Err(refusal::error(status, &text, &self.base)),
        }
    }

    /// A run's events past `after`, handed to `on_event` as they happen, until the run has ended. A stream that
    /// breaks is taken up again where it was.
    pub(crate) async fn follow(
        &self,
        run: RunId,
        after: u64,
        on_event: impl FnMut(Event) -> Result<(), Error>,
    ) -> Result<(), Error> {
        follow::events(self, run, after, on_event).await
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        let mut url = Url::clone(&self.base);
        // Never an error: `base` refused URLs that have no path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.http.request(method, url)
    }

    async fn call(&self, request: RequestBuilder) -> Result<String, Error> {
        let response = self.send(request).await?;
        let status = response.status();
        let text = self.body(response).await?;
        if status.is_success() { Ok(text) } else { Err(refusal::error(status, &text, &self.base)) }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        accepting(request).send().await.map_err(|error| self.unreachable(error))
    }

    async fn body(&self, response: Response) -> Result<String, Error> {
        self.whole(response).await.map_err(|error| self.unreachable(error))?
    }

    /// A body to its end. The outer error is one of the connection.
    async fn whole(&self, mut response: Response) -> Result<Result<String, Error>, reqwest::Error> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                let reason = anyhow::anyhow!("it is over {ANSWER_BYTES_MAX} bytes");
                return Ok(Err(Error::system(format!("the answer of {} is too large", self.base), reason)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Ok(String::from_utf8_lossy(&body).into_owned()))
    }

    /// Reads an answer, or a part of one.
    pub(crate) fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T, Error> {
        serde_json::from_str(text).map_err(|error| {
            Error::system(format!("the answer of {} is not what this version understands", self.base), error)
                .or_hint("check that `--url` names a stepcell server of the same version")
        })
    }

    fn unreachable(&self, error: reqwest::Error) -> Error {
        // The layers above the cause only name themselves, and the URL once more.
        let cause = anyhow::Error::new(error);
        let cause = anyhow::anyhow!("{}", cause.root_cause());
        Error::system(format!("the server at {} can not be reached", self.base), cause)
            .or_hint("start it with `stepcell serve`, or name another with `--url`")
    }
}

/// What came of an offer of work.
pub(crate) enum Offered {
    Taken {
        /// The run has ended, and the text is the whole of it.
        ended: bool,
        text: String,
    },
    /// There is no room for it now. The server has not taken it.
    Full { pause: Duration },
    /// The server says that it, or what stands behind it, has no time now. It may have taken it.
    Away { pause: Duration, error: Error },
    /// There was no answer.
    Lost {
        /// It may have got there.
        received: bool,
        error: Error,
    },
}

fn accepting(request: RequestBuilder) -> RequestBuilder {
    request.header(header::ACCEPT, "application/json, application/problem+json, text/plain")
}

/// When a server wants to be asked again. A time that makes no sense is as good as none.
fn retry_after(headers: &header::HeaderMap) -> Duration {
    let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1)).clamp(RETRY_MIN, RETRY_MAX)
}

/// A server's address: `http://HOST:PORT`, or with a path that a proxy has put before it.
fn base(text: &str) -> Result<Url, Error> {
    let invalid = |why: &str| {
        let message = format!("`{text}` is not the URL of a server: {why}");
        Error::call("url_invalid", message, "write it as `http://127.0.0.1:7420`")
    };
    let url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
    match url.scheme() {
        "http" if url.query().is_none() && url.fragment().is_none() => Ok(url),
        "http" => Err(invalid("it has a query or a fragment")),
        _ => Err(invalid("only http is spoken")),
    }
}

/// Whether the same call may succeed later.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(base(text).ok().as_ref().map(Url::as_str), expected, "{text}");
    }

    #[test]
    fn servers_are_plain_http_urls() {
        check("http://127.0.0.1:7420", Some("http://127.0.0.1:7420/"));
        check("http://[::1]:7420/proxy", Some("http://[::1]:7420/proxy"));
        check("127.0.0.1:7420", None);
        check("https://example.com", None);
        check("http://a/?b", None);
        check("mailto:a@b", None);
    }

    #[test]
    fn a_server_says_when_to_come_back() {
        let after = |text: &'static str| {
            let value = header::HeaderValue::from_static(text);
            retry_after(&header::HeaderMap::from_iter([(header::RETRY_AFTER, value)]))
        };
        assert_eq!(after("3"), Duration::from_secs(3));
        assert_eq!((after("0"), after("99999999999")), (RETRY_MIN, RETRY_MAX));
        assert_eq!(after("Fri, 31 Dec 1999 23:59:59 GMT"), Duration::from_secs(1));
        assert_eq!(retry_after(&header::HeaderMap::new()), Duration::from_secs(1));
    }

    #[test]
    fn paths_are_put_behind_the_base_and_escaped() {
        let args = ServerArgs { url: Some("http://h:1/p/".to_owned()), config: None };
        let client = Client::new(&args, None).unwrap();
        let request = client.request(Method::GET, &["runs", "a/b?"], &[("after", "3".to_owned())]);
        assert_eq!(request.build().unwrap().url().as_str(), "http://h:1/p/api/v1/runs/a%2Fb%3F?after=3");
    }
}
