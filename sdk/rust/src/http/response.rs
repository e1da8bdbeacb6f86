//! What came back.

use serde::{Serialize, de::DeserializeOwned};

use super::status;
use crate::{Failure, step::deserialize};

/// A whole response, whatever its status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    url: String,
    /// Method and address, for messages.
    pub(super) request: String,
}

impl Response {
    /// An empty response. Tests build upon it.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Adds a header; its name is kept in lower case.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Replaces the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Replaces the body by this value's JSON and says so in `content-type`.
    #[must_use]
    pub fn with_json(self, value: &(impl Serialize + ?Sized)) -> Self {
        let body = serde_json::to_vec(value).unwrap_or_default();
        self.with_header("content-type", "application/json").with_body(body)
    }

    #[cfg(target_family = "wasm")]
    pub(super) fn with_url(mut self, url: String) -> Self {
        self.url = url;
        self
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    /// The address that answered, after redirects.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// In the order received, names in lower case.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body without a copy.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// The body as text. What is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether `content-type` names JSON, or a format built on it such as `application/problem+json`.
    pub fn is_json(&self) -> bool {
        let media_type = self.header("content-type").unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
    }

    /// The body as JSON of this type, whatever `content-type` says.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let invalid =
            |message: String| Failure::failed(format!("`{}`: {message}", self.request)).code("http_body");
        let text = std::str::from_utf8(&self.body)
            .map_err(|error| invalid(format!("the body is no UTF-8 text: {error}")))?;
        deserialize(text, "body").map_err(|failure| invalid(failure.message))
    }

    /// The response itself, or a failure for a status of 400 and up: code `http_404`; retryable for 408, 425,
    /// 429 and 5xx, not before `retry-after` is over; details with `status_code` and the start of the body.
    pub fn success(self) -> Result<Self, Failure> {
        if self.status < 400 { Ok(self) } else { Err(self.failure()) }
    }

    /// The failure that [`Response::success`] gives, whatever the status: for a step that expects another one.
    pub fn failure(&self) -> Failure {
        status::failure(self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn json_is_known_by_its_media_type() {
        let of = |media_type| Response::new(200).with_header("Content-Type", media_type).is_json();
        assert!(of("application/json; charset=utf-8"));
        assert!(of("application/problem+JSON"));
        assert!(!of("text/html"));
        assert!(!Response::new(200).is_json());
    }

    #[test]
    fn a_body_of_another_shape_names_the_place() {
        let failure = Response::new(200).with_json(&json!([1, "x"])).json::<Vec<u32>>().unwrap_err();
        assert_eq!(failure.code.as_deref(), Some("http_body"));
        assert!(failure.message.contains("`body[1]`"), "{}", failure.message);
    }

    #[test]
    fn only_errors_are_no_success() {
        assert!(Response::new(399).success().is_ok());
        assert_eq!(Response::new(400).success().unwrap_err().code.as_deref(), Some("http_400"));
    }

    #[test]
    fn bytes_that_are_no_text_are_no_json() {
        let failure = Response::new(200).with_body([0xff]).json::<Value>().unwrap_err();
        assert!(failure.message.contains("no UTF-8 text"), "{}", failure.message);
    }
}
