//! What to ask for.

use std::{fmt::Display, time::Duration};

use form_urlencoded::byte_serialize;
use serde::Serialize;

use super::{Response, send};
use crate::Failure;

/// As many as browsers need in practice; a longer chain is a loop.
const DEFAULT_REDIRECTS: u32 = 5;

/// A request that is being put together.
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Result<Option<Vec<u8>>, Failure>,
    pub(super) timeout: Option<Duration>,
    pub(super) redirects: u32,
}

/// Asks for `url` with GET.
pub fn get(url: impl Into<String>) -> Request {
    request("GET", url)
}

/// Asks for `url` with POST.
pub fn post(url: impl Into<String>) -> Request {
    request("POST", url)
}

/// Asks for `url` with PUT.
pub fn put(url: impl Into<String>) -> Request {
    request("PUT", url)
}

/// Asks for `url` with PATCH.
pub fn patch(url: impl Into<String>) -> Request {
    request("PATCH", url)
}

/// Asks for `url` with DELETE.
pub fn delete(url: impl Into<String>) -> Request {
    request("DELETE", url)
}

/// Asks for `url` with any method.
pub fn request(method: impl Into<String>, url: impl Into<String>) -> Request {
    Request {
        method: method.into(),
        url: url.into(),
        headers: Vec::new(),
        body: Ok(None),
        timeout: None,
        redirects: DEFAULT_REDIRECTS,
    }
}

impl Request {
    /// Adds a header. A name may repeat.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a query parameter, encoded. A name may repeat.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        let fragment = self.url.find('#').map(|at| self.url.split_off(at));
        let separator = if !self.url.contains('?') {
            "?"
        } else if self.url.ends_with(['?', '&']) {
            ""
        } else {
            "&"
        };
        self.url.push_str(separator);
        self.url.extend(byte_serialize(name.as_bytes()));
        self.url.push('=');
        self.url.extend(byte_serialize(value.to_string().as_bytes()));
        self.url.extend(fragment);
        self
    }

    /// Sends this value as JSON; says so in `content-type` unless a header already does.
    #[must_use]
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        self.body = serde_json::to_vec(value).map(Some).map_err(Failure::from);
        self.content_type("application/json")
    }

    /// Sends this text; says so in `content-type` unless a header already does.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.body = Ok(Some(text.into().into_bytes()));
        self.content_type("text/plain; charset=utf-8")
    }

    /// Sends these bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Ok(Some(bytes.into()));
        self
    }

    /// How long the whole exchange may take; the step's own limit where it is shorter.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How many redirects are followed; 0 gives the redirect itself.
    #[must_use]
    pub fn redirects(mut self, redirects: u32) -> Self {
        self.redirects = redirects;
        self
    }

    /// Sends it and waits for the whole response, whatever its status.
    pub fn send(self) -> Result<Response, Failure> {
        let target = self.target();
        let mut response = send(self)?;
        response.request = target;
        Ok(response)
    }

    pub fn method(&self) -> &str {
        &self.method
    }

    /// With every query parameter.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// In the order added.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The first header of this name, in any case.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn timeout_value(&self) -> Option<Duration> {
        self.timeout
    }

    pub fn redirects_value(&self) -> u32 {
        self.redirects
    }

    /// Empty where there is none.
    pub fn body(&self) -> &[u8] {
        match &self.body {
            Ok(Some(body)) => body,
            _ => &[],
        }
    }

    fn content_type(self, media_type: &str) -> Self {
        match self.header_value("content-type") {
            Some(_) => self,
            None => self.header("content-type", media_type),
        }
    }

    /// For messages: query and fragment may hold what does not belong into a log.
    fn target(&self) -> String {
        let end = self.url.find(['?', '#']).unwrap_or(self.url.len());
        format!("{} {}", self.method, self.url.get(..end).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        assert_eq!(get(url).query("q", "a b&c").query("n", 1).url(), expected);
    }

    #[test]
    fn query_parameters_are_encoded_and_added() {
        check("http://h/p", "http://h/p?q=a+b%26c&n=1");
        check("http://h/p?", "http://h/p?q=a+b%26c&n=1");
        check("http://h/p?x=1", "http://h/p?x=1&q=a+b%26c&n=1");
        check("http://h/p#top", "http://h/p?q=a+b%26c&n=1#top");
    }

    #[test]
    fn a_given_content_type_stays() {
        let request = post("http://h").header("Content-Type", "application/ld+json").json(&1);
        assert_eq!(request.header_value("content-type"), Some("application/ld+json"));
        assert_eq!(request.headers.len(), 1);
    }

    #[test]
    fn what_is_logged_has_no_query() {
        assert_eq!(get("http://h/p?token=1#x").target(), "GET http://h/p");
    }
}
