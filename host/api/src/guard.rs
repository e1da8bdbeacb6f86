//! What every request must pass: it names this host, and no page of another site sent it.
//!
//! A page that a browser has open can send requests to loopback addresses. It can not read the answers unless its
//! own name is made to resolve to loopback (DNS rebinding); then the browser sends that name as `Host`.

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{
    HeaderMap, StatusCode, Uri,
    header::{HOST, ORIGIN},
    uri::Authority,
};

use crate::problem::{Problem, Result};

/// The names under which this host may be called.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The port that loopback names must carry; none where it is not known, as under a test.
    port: Option<u16>,
    /// Names that the operator gave, `name` or `name:port`, lower case.
    names: Vec<String>,
}

impl Guard {
    pub(crate) fn new(port: Option<u16>, names: &[String]) -> Arc<Self> {
        Arc::new(Self { port, names: names.iter().map(|name| name.to_ascii_lowercase()).collect() })
    }

    /// Refuses a request that does not name this host, or that comes from a page of another origin.
    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<()> {
        let mut hosts = headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().unwrap_or_default(),
            (None, _) => return Err(self.refuse("the request has no `Host`".to_owned())),
            (Some(_), Some(_)) => return Err(self.refuse("the request has more than one `Host`".to_owned())),
        };
        let known = self.knows(host).ok_or_else(|| self.refuse_host(host))?;
        // The authority of an absolute target overrides the header.
        if let Some(target) = uri.authority()
            && self.knows(target.as_str()).is_none()
        {
            return Err(self.refuse_host(target.as_str()));
        }
        for origin in headers.get_all(ORIGIN) {
            let origin = origin.to_str().unwrap_or_default();
            if !known.is_origin(host, origin) {
                return Err(refuse_origin(host, origin));
            }
        }
        Ok(())
    }

    fn knows(&self, host: &str) -> Option<Known> {
        let authority =
            Authority::try_from(host).ok().filter(|authority| !authority.as_str().contains('@'))?;
        let name = authority.host().to_ascii_lowercase();
        let named = self.names.iter().any(|known| *known == name || known.eq_ignore_ascii_case(host));
        if named {
            return Some(Known::Named);
        }
        // A browser leaves out the default port.
        let port = authority.port_u16().unwrap_or(80);
        (is_loopback(&name) && self.port.is_none_or(|own| own == port)).then_some(Known::Loopback)
    }

    fn refuse_host(&self, host: &str) -> Problem {
        let shown: String = host.chars().take(100).collect();
        self.refuse(format!("this host does not answer to the name `{shown}`"))
    }

    fn refuse(&self, detail: String) -> Problem {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let hint = format!("call it as `127.0.0.1{port}`, `[::1]{port}` or `localhost{port}`");
        Problem::new(StatusCode::FORBIDDEN, "host_refused", detail).with_hint(hint)
    }
}

/// As what a host name is known.
#[derive(Clone, Copy)]
enum Known {
    Loopback,
    /// By the operator; TLS may end before this host.
    Named,
}

impl Known {
    fn is_origin(self, host: &str, origin: &str) -> bool {
        let same =
            |scheme| origin.strip_prefix(scheme).is_some_and(|rest: &str| rest.eq_ignore_ascii_case(host));
        same("http://") || (matches!(self, Self::Named) && same("https://"))
    }
}

/// The one layer around all routes: the guard, and a net under handlers that panic.
pub(crate) async fn layer(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if let Err(problem) = guard.check(request.uri(), request.headers()) {
        return problem.into_response();
    }
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => panicked(panic.as_ref()).into_response(),
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Problem {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Problem::internal("internal_error", "the host made a mistake; this is a bug", &text)
        .with_hint("the host's log has the cause under this request id".to_owned())
}

fn is_loopback(name: &str) -> bool {
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn refuse_origin(host: &str, origin: &str) -> Problem {
    let shown: String = origin.chars().take(100).collect();
    Problem::new(
        StatusCode::FORBIDDEN,
        "origin_refused",
        format!("a page of `{shown}` may not call this host"),
    )
    .with_hint(format!("only pages of `http://{host}` itself may, and programs that send no `Origin`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the guard of a host on port 7420, also known as `flows.example.com`, says.
    #[track_caller]
    fn check(host: &str, origin: Option<&str>, code: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        let guard = Guard::new(Some(7420), &["Flows.example.com".to_owned(), "box:9000".to_owned()]);
        let said = guard
            .check(&Uri::from_static("/"), &headers)
            .err()
            .map(|problem| problem.to_json()["code"].clone());
        assert_eq!(said, code.map(Into::into), "{host} {origin:?}");
    }

    #[test]
    fn loopback_names_with_the_own_port_pass() {
        check("127.0.0.1:7420", None, None);
        check("127.3.2.1:7420", None, None);
        check("localhost:7420", None, None);
        check("LocalHost:7420", None, None);
        check("[::1]:7420", None, None);
    }

    #[test]
    fn other_names_and_ports_are_refused() {
        check("evil.example", None, Some("host_refused"));
        check("localhost.evil.example:7420", None, Some("host_refused"));
        check("127.0.0.1.evil.example:7420", None, Some("host_refused"));
        check("localhost:7421", None, Some("host_refused"));
        check("localhost", None, Some("host_refused"));
        check("192.168.0.1:7420", None, Some("host_refused"));
        check("user@localhost:7420", None, Some("host_refused"));
        check("localhost:7420/x", None, Some("host_refused"));
        check("[::ffff:10.0.0.1]:7420", None, Some("host_refused"));
        check("", None, Some("host_refused"));
    }

    #[test]
    fn names_of_the_operator_pass() {
        check("flows.example.com", None, None);
        check("flows.example.com:443", None, None);
        check("box:9000", None, None);
        check("box:9001", None, Some("host_refused"));
    }

    #[test]
    fn only_pages_of_the_host_itself_may_call() {
        check("localhost:7420", Some("http://localhost:7420"), None);
        check("localhost:7420", Some("http://127.0.0.1:7420"), Some("origin_refused"));
        check("localhost:7420", Some("http://localhost:3000"), Some("origin_refused"));
        check("localhost:7420", Some("https://localhost:7420"), Some("origin_refused"));
        check("localhost:7420", Some("http://evil.example"), Some("origin_refused"));
        check("localhost:7420", Some("null"), Some("origin_refused"));
        check("flows.example.com", Some("https://flows.example.com"), None);
    }

    #[test]
    fn two_hosts_and_foreign_targets_are_refused() {
        let guard = Guard::new(Some(7420), &[]);
        let mut headers = HeaderMap::from_iter([(HOST, "localhost:7420".parse().unwrap())]);
        assert!(guard.check(&Uri::from_static("http://evil.example/"), &headers).is_err());
        headers.append(HOST, "evil.example".parse().unwrap());
        assert!(guard.check(&Uri::from_static("/"), &headers).is_err());
        assert!(guard.check(&Uri::from_static("/"), &HeaderMap::new()).is_err());
    }

    async fn broken() -> StatusCode {
        panic!("a secret")
    }

    #[tokio::test]
    async fn a_handler_that_panics_gives_a_500() {
        let guard = axum::middleware::from_fn_with_state(Guard::new(None, &[]), layer);
        let router: axum::Router = axum::Router::new().route("/", axum::routing::get(broken)).layer(guard);
        let request = Request::get("/").header(HOST, "localhost").body(axum::body::Body::empty()).unwrap();
        let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
        assert_eq!(response.status(), 500);
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = str::from_utf8(&body).unwrap();
        assert!(body.contains("internal_error") && !body.contains("secret"), "{body}");
    }
}
