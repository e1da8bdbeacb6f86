//! Bytes by their digest: send and fetch.

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, VARY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::json;
use stepcell_core::{Digest, ids::InvalidId};
use stepcell_engine::MAX_BLOB_BYTES;

use crate::{
    api::Api,
    body,
    limits::{BLOB_CHUNK_BYTES, INLINE_PARSE_BYTES},
    operation::{Operation, schema},
    problem::{Problem, Result},
    query::Segments,
    route::Route,
    transfers::Room,
};

pub(super) fn routes() -> Vec<Route> {
    let bytes = json!({"type": "string", "format": "binary"});
    let put = Operation::new(
        "blobs",
        "putBlob",
        "Keeps bytes, for an input to refer to as `{\"$blob\": {\"sha256\": id}}`",
    )
    .body(true, &[("*/*", bytes.clone())])
    .json(
        201,
        "Kept until `expires_at`, and longer where a run refers to it; `Location` is its address",
        schema("Blob"),
    )
    .json(200, "The same bytes were there already, and are kept as above", schema("Blob"))
    .problems(&[400, 408, 413, 415, 503, 507]);
    let get = Operation::new("blobs", "getBlob", "The bytes of a blob")
        .header(
            "If-None-Match",
            json!({"type": "string"}),
            "The `ETag` of an answer that the caller has kept",
        )
        .answer(
            200,
            "The bytes; as JSON where they are and the caller accepts it",
            &[("application/octet-stream", bytes), ("application/json", json!({}))],
        )
        .answer(304, "The caller has them already", &[])
        .problems(&[404, 503]);
    vec![Route::post("/api/v1/blobs", put_blob, put), Route::get("/api/v1/blobs/{id}", get_blob, get)]
}

/// Takes any content type: bytes are bytes. A page of another origin does not get here, see `guard`.
async fn put_blob(State(api): State<Api>, headers: HeaderMap, body: Body) -> Result<Response> {
    let mut room = api.transfers.room(announced(&headers)).await?;
    let bytes = body::read(body, &headers, MAX_BLOB_BYTES).await?;
    room.shrink(bytes.len());
    let upload = api.engine.put_blob(bytes).await?;
    let status = if upload.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, location(upload.id), Json(upload)).into_response())
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

async fn get_blob(
    State(api): State<Api>,
    Segments(Named { id }): Segments<Named>,
    headers: HeaderMap,
) -> Result<Response> {
    let id: Digest = id.parse().map_err(|error: InvalidId| no_such_blob(error.to_string()))?;
    let missing = || no_such_blob(format!("there is no blob `{id}`"));
    let common = [
        (ETAG, etag(id)),
        // The address is made of the bytes, so that what is there never changes.
        (CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable")),
        (VARY, HeaderValue::from_static("accept")),
        // It may look like anything; a browser is not to guess.
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    if has_already(&headers, id) {
        return if api.engine.has_blob(id).await? {
            Ok((StatusCode::NOT_MODIFIED, common).into_response())
        } else {
            Err(missing())
        };
    }
    let mut room = api.transfers.room(None).await?;
    let bytes = api.engine.blob(id).await?.ok_or_else(missing)?;
    room.shrink(bytes.len());
    let kind = if accepts_json(&headers) && is_json(&bytes).await {
        HeaderValue::from_static("application/json")
    } else {
        HeaderValue::from_static("application/octet-stream")
    };
    let length = [(CONTENT_LENGTH, HeaderValue::from(bytes.len())), (CONTENT_TYPE, kind)];
    Ok((common, length, in_chunks(bytes, room)).into_response())
}

/// What a client says that it will send. Who says too little is cut off there by the HTTP of the connection.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn location(id: Digest) -> Option<[(HeaderName, HeaderValue); 1]> {
    Some([(LOCATION, HeaderValue::try_from(format!("/api/v1/blobs/{id}")).ok()?)])
}

fn etag(id: Digest) -> HeaderValue {
    // Hexadecimal digits in quotes are a header's value in any case.
    HeaderValue::try_from(format!("\"{id}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

fn has_already(headers: &HeaderMap, id: Digest) -> bool {
    let tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let mut tags = tags.flat_map(|tags| tags.split(','));
    let own = format!("\"{id}\"");
    tags.any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own
    })
}

/// Whether JSON is named: who takes anything gets the bytes as they are.
fn accepts_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|kinds| kinds.to_str().ok());
    let mut kinds = accepted.flat_map(|kinds| kinds.split(','));
    kinds.any(|kind| {
        let essence = kind.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    })
}

async fn is_json(bytes: &Bytes) -> bool {
    if bytes.len() <= INLINE_PARSE_BYTES {
        return serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
    }
    let bytes = bytes.clone();
    let parse = move || serde_json::from_slice::<IgnoredAny>(&bytes).is_ok();
    tokio::task::spawn_blocking(parse).await.unwrap_or(false)
}

/// A body that gives its room back when the last chunk is on its way.
fn in_chunks(bytes: Bytes, room: Room) -> Body {
    let chunks = stream::unfold((bytes, room), |(mut left, room)| async move {
        if left.is_empty() {
            return None;
        }
        let chunk = left.split_to(left.len().min(BLOB_CHUNK_BYTES));
        Some((Ok::<_, std::convert::Infallible>(chunk), (left, room)))
    });
    Body::from_stream(chunks)
}

fn no_such_blob(detail: String) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_such_blob", detail)
        .with_hint("`POST /api/v1/blobs` keeps bytes; they go when no run refers to them any more".to_owned())
}
