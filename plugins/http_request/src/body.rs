//! What is sent.

use stepcell::{http::Request, prelude::*, serde_json};

/// Text goes out as text. Any other value goes out as the JSON that it is, without being parsed again.
pub(crate) fn add(request: Request, value: &RawValue) -> Result<Request, Failure> {
    if value.get().starts_with('"') {
        return Ok(request.text(serde_json::from_str::<String>(value.get())?));
    }
    Ok(request.json(value))
}
