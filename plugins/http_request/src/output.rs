//! What came back.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use stepcell::{http::Response, prelude::*, serde_json};

#[stepcell::data]
pub(crate) struct Output {
    /// From 200 to 399: others fail the step.
    status_code: u16,
    /// Parsed where the response says that it is JSON and it is; else text.
    #[schemars(with = "Value")]
    body: Box<RawValue>,
    /// `base64` where the body is neither JSON nor UTF-8 text; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<Encoding>,
    /// Names in lower case. Values of a name that repeats are joined by `, `, those of `set-cookie` by line breaks.
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    headers: Map<String, Value>,
}

#[stepcell::data]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Base64,
}

pub(crate) fn of(response: Response) -> Result<Output, Failure> {
    let (status_code, headers) = (response.status(), headers(&response));
    let parsed = response.is_json().then(|| json(response.body())).flatten();
    let (body, encoding) = match parsed {
        Some(body) => (body, None),
        None => text(response.into_body())?,
    };
    Ok(Output { status_code, body, encoding, headers })
}

/// The body as compact JSON, written while it is read: as a tree it would take many times the memory.
/// `None` where the host would not take it for JSON.
fn json(body: &[u8]) -> Option<Box<RawValue>> {
    let mut compact = Vec::with_capacity(body.len());
    let mut reader = serde_json::Deserializer::from_slice(body);
    serde_transcode::transcode(&mut reader, &mut serde_json::Serializer::new(&mut compact)).ok()?;
    reader.end().ok()?;
    RawValue::from_string(String::from_utf8(compact).ok()?).ok()
}

fn text(body: Vec<u8>) -> Result<(Box<RawValue>, Option<Encoding>), Failure> {
    let (text, encoding) = match String::from_utf8(body) {
        Ok(text) => (text, None),
        Err(error) => (STANDARD.encode(error.as_bytes()), Some(Encoding::Base64)),
    };
    Ok((serde_json::value::to_raw_value(&text)?, encoding))
}

fn headers(response: &Response) -> Map<String, Value> {
    let mut joined: Map<String, Value> = Map::new();
    for (name, value) in response.headers() {
        match joined.get_mut(name) {
            Some(Value::String(text)) => {
                text.push_str(if name == "set-cookie" { "\n" } else { ", " });
                text.push_str(value);
            }
            _ => {
                joined.insert(name.clone(), value.clone().into());
            }
        }
    }
    joined
}
