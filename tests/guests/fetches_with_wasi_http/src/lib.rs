//! Sends one request by plain `wasi:http`, as the HTTP libraries of other languages do.

use std::collections::BTreeMap;

use stepcell::prelude::*;

mod bindings {
    #![allow(unsafe_code, clippy::allow_attributes_without_reason, reason = "wit-bindgen writes it")]
    wit_bindgen::generate!({ path: "wit", world: "fetch", generate_all });
}

use bindings::wasi::{
    http::{
        outgoing_handler::handle,
        types::{
            ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions,
            Scheme, http_error_code,
        },
    },
    io::streams::StreamError,
};

/// The most that a stream takes in one call.
const CHUNK: usize = 4096;

#[stepcell::data]
struct Config {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    /// How long the first byte may take.
    #[serde(default)]
    timeout_ms: Option<u64>,
}

/// Gives `{status, headers, body}`. A refusal fails with the code `wasi_http` and WASI's own words.
#[stepcell::step(label = "Fetches with wasi:http", icon = "globe", category = "custom")]
fn fetches_with_wasi_http(config: Config) -> Result<Value, Failure> {
    let request = request(&config)?;
    let body = request.body().map_err(|()| misuse("body"))?;
    let options = config.timeout_ms.map(|millis| {
        let options = RequestOptions::new();
        options.set_first_byte_timeout(Some(millis * 1_000_000)).map(|()| options)
    });
    let options = options.transpose().map_err(|()| misuse("timeout"))?;
    let pending = handle(request, options).map_err(|code| refused(&code))?;
    send(body, config.body.as_bytes())?;
    pending.subscribe().block();
    let answer = pending.get().ok_or_else(|| misuse("future"))?.map_err(|()| misuse("future"))?;
    response(&answer.map_err(|code| refused(&code))?)
}

fn get() -> String {
    "GET".to_owned()
}

fn request(config: &Config) -> Result<OutgoingRequest, Failure> {
    let entries: Vec<_> =
        config.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    let headers = Fields::from_list(&entries).map_err(|error| {
        Failure::config(format!("the headers are refused: {error:?}")).code("wasi_http_headers")
    })?;
    let (scheme, rest) = config.url.split_once("://").ok_or_else(|| misuse("url"))?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let request = OutgoingRequest::new(headers);
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let method = match config.method.as_str() {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        other => Method::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| misuse("method"))?;
    request.set_scheme(Some(&scheme)).map_err(|()| misuse("scheme"))?;
    request.set_authority(Some(authority)).map_err(|()| misuse("authority"))?;
    request
        .set_path_with_query(Some(if path.is_empty() { "/" } else { path }))
        .map_err(|()| misuse("path"))?;
    Ok(request)
}

fn send(body: OutgoingBody, bytes: &[u8]) -> Result<(), Failure> {
    let stream = body.write().map_err(|()| misuse("stream"))?;
    for chunk in bytes.chunks(CHUNK) {
        stream.blocking_write_and_flush(chunk).map_err(|error| broken(&error))?;
    }
    drop(stream);
    OutgoingBody::finish(body, None).map_err(|code| refused(&code))
}

fn response(response: &IncomingResponse) -> Result<Value, Failure> {
    let headers: Vec<_> = response.headers().entries();
    let headers: BTreeMap<_, _> =
        headers.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))).collect();
    let body = response.consume().map_err(|()| misuse("response"))?;
    let stream = body.stream().map_err(|()| misuse("stream"))?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(part) => bytes.extend(part),
            Err(StreamError::Closed) => break,
            Err(error) => return Err(broken(&error)),
        }
    }
    Ok(json!({ "status": response.status(), "headers": headers, "body": String::from_utf8_lossy(&bytes) }))
}

fn broken(error: &StreamError) -> Failure {
    match error {
        StreamError::LastOperationFailed(error) => match http_error_code(error) {
            Some(code) => refused(&code),
            None => Failure::failed(error.to_debug_string()).code("wasi_io"),
        },
        StreamError::Closed => Failure::failed("the stream is closed").code("wasi_io"),
    }
}

fn refused(code: &ErrorCode) -> Failure {
    Failure::failed(format!("{code:?}")).code("wasi_http")
}

fn misuse(what: &str) -> Failure {
    Failure::config(format!("`{what}` is refused before it is sent")).code("wasi_http_misuse")
}
