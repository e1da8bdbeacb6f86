//! One server that speaks the published formats of several providers of language models, and refuses what they
//! would refuse: a missing header, an unknown key, a role that they do not have.

mod anthropic;
mod google;
mod openai;

use std::{
    collections::VecDeque,
    future, io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use futures_util::stream;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What the model always says.
pub const ANSWER: &str = "Ada Lovelace wrote the first program.";
/// What it counts as the tokens of every prompt and of every answer.
pub const PROMPT_TOKENS: u64 = 21;
pub const ANSWER_TOKENS: u64 = 9;

/// A server on loopback with one key, the same for all providers.
pub struct Llm {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// How a request is answered that is right in itself.
#[derive(Debug, Clone, Copy)]
pub enum Mood {
    /// With this status, as the provider words it, and the seconds of `Retry-After`.
    Refuse(u16, Option<u32>),
    /// With half an answer; then the connection is closed.
    Truncated,
    /// With JSON that no provider sends.
    OtherShape,
    /// Not at all.
    Silent,
}

/// A request that the server took for right.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub body: Value,
}

#[derive(Default)]
struct Shared {
    key: String,
    /// For the requests to come, one each; without one a request is answered well.
    moods: Mutex<VecDeque<Mood>>,
    asked: Mutex<Vec<Asked>>,
    /// Why requests were refused.
    wrong: Mutex<Vec<String>>,
}

/// Why a request is refused.
struct Wrong {
    status: StatusCode,
    message: String,
}

/// How one provider writes.
trait Dialect {
    /// Checks headers, path and body as the provider does; gives the model.
    fn read(key: &str, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<String, Wrong>;
    fn answer(model: &str) -> Value;
    fn error(status: StatusCode, message: &str) -> Value;
}

impl Llm {
    /// Starts the server on a free port; `key` is the only one it takes.
    pub async fn start(key: &str) -> Self {
        let shared = Arc::new(Shared { key: key.to_owned(), ..Shared::default() });
        let app = Router::new()
            .route("/v1/messages", post(serve::<anthropic::Anthropic>))
            .route("/v1/chat/completions", post(serve::<openai::OpenAi>))
            .route("/{version}/models/{call}", post(serve_google))
            .with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, shared }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Decides about the next request that nobody has decided about.
    pub fn next(&self, mood: Mood) {
        lock(&self.shared.moods).push_back(mood);
    }

    /// The requests that were right, whatever they were answered.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// What was wrong with the others.
    pub fn wrong(&self) -> Vec<String> {
        lock(&self.shared.wrong).clone()
    }
}

impl Wrong {
    fn unauthorized(message: &str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, message: message.to_owned() }
    }

    fn request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }
}

async fn serve_google(
    shared: State<Arc<Shared>>,
    Path((version, call)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    respond::<google::Google>(&shared, &format!("/{version}/models/{call}"), &headers, &body).await
}

async fn serve<D: Dialect>(
    shared: State<Arc<Shared>>,
    request: axum::http::Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    respond::<D>(&shared, request.path(), &headers, &body).await
}

async fn respond<D: Dialect>(shared: &Shared, path: &str, headers: &HeaderMap, body: &[u8]) -> Response {
    let model = match D::read(&shared.key, path, headers, body) {
        Ok(model) => model,
        Err(Wrong { status, message }) => {
            let answer = (status, axum::Json(D::error(status, &message))).into_response();
            lock(&shared.wrong).push(message);
            return answer;
        }
    };
    let body = serde_json::from_slice(body).unwrap_or_default();
    lock(&shared.asked).push(Asked { path: path.to_owned(), body });
    let mood = lock(&shared.moods).pop_front();
    let answer = D::answer(&model);
    match mood {
        None => axum::Json(answer).into_response(),
        Some(Mood::Refuse(status, retry_after)) => refusal::<D>(status, retry_after),
        Some(Mood::Truncated) => truncated(&answer),
        Some(Mood::OtherShape) => axum::Json(json!({ "result": { "text": ANSWER } })).into_response(),
        Some(Mood::Silent) => future::pending().await,
    }
}

fn refusal<D: Dialect>(status: u16, retry_after: Option<u32>) -> Response {
    let status = StatusCode::from_u16(status).expect("the test names a status");
    let mut response = (status, axum::Json(D::error(status, "come back another day"))).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert("retry-after", HeaderValue::from(seconds));
    }
    response
}

/// The head and half of the body; then the connection breaks.
fn truncated(answer: &Value) -> Response {
    let mut half = answer.to_string().into_bytes();
    half.truncate(half.len() / 2);
    let chunks = [Ok(Bytes::from(half)), Err(io::Error::other("the test asked for it"))];
    ([("content-type", "application/json")], Body::from_stream(stream::iter(chunks))).into_response()
}

/// A body of exactly this shape: an unknown key is an error with all three providers.
fn shape<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Wrong> {
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next() != Some("application/json") {
        return Err(Wrong::request(format!("the content type is `{kind}`, not application/json")));
    }
    serde_json::from_slice(body).map_err(|error| Wrong::request(error.to_string()))
}

fn within(name: &str, value: Option<f64>, highest: f64) -> Result<(), Wrong> {
    match value {
        Some(value) if !(0.0..=highest).contains(&value) => {
            Err(Wrong::request(format!("{name}: {value} is not from 0 to {highest}")))
        }
        _ => Ok(()),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A test that panicked with the lock has failed already.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
