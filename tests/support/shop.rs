use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::sync::watch;

/// What a piece of work takes: long enough that others begin meanwhile.
const WORK: Duration = Duration::from_millis(20);

/// An HTTP server on loopback that steps may call; it remembers what it was asked.
pub struct Shop {
    pub address: SocketAddr,
    till: Arc<Till>,
}

/// What the shop knows.
struct Till {
    seen: Mutex<Vec<Seen>>,
    /// Whether `/gate` answers.
    gate: watch::Sender<bool>,
    at_work: AtomicUsize,
    most_at_work: AtomicUsize,
}

/// A request that the shop got.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Shop {
    /// Starts the server on a free port.
    pub async fn start() -> Self {
        let till = Arc::new(Till {
            seen: Mutex::default(),
            gate: watch::Sender::new(false),
            at_work: AtomicUsize::new(0),
            most_at_work: AtomicUsize::new(0),
        });
        let app = Router::new().fallback(answer).with_state(till.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, till }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The config that lets `http_request` call the shop.
    pub fn grant(&self) -> String {
        format!("grants:\n  http_request: {{ http: [\"{}\"] }}\n", self.url())
    }

    /// Everything that was asked so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.till.seen.lock().expect("no test panics with it").clone()
    }

    /// How often each idempotency key came.
    pub fn keys(&self) -> BTreeMap<String, usize> {
        let mut keys = BTreeMap::new();
        for seen in self.seen() {
            *keys.entry(seen.header("idempotency-key").unwrap_or_default().to_owned()).or_default() += 1;
        }
        keys
    }

    /// Waits until so many requests came.
    pub async fn until_seen(&self, count: usize) {
        crate::eventually(&format!("the shop is asked {count} times"), || async {
            (self.seen().len() >= count).then_some(())
        })
        .await;
    }

    /// Lets `/gate` answer, whoever waits there and whoever comes.
    pub fn open(&self) {
        self.till.gate.send_replace(true);
    }

    /// The most requests to `/work` that there were at a time.
    pub fn most_at_work(&self) -> usize {
        self.till.most_at_work.load(SeqCst)
    }
}

impl Till {
    /// Counts who is at work, which takes a moment.
    async fn work(&self) {
        let at_work = self.at_work.fetch_add(1, SeqCst) + 1;
        self.most_at_work.fetch_max(at_work, SeqCst);
        let _leaves = Leaves(&self.at_work);
        tokio::time::sleep(WORK).await;
    }
}

/// Counts somebody out, also one whose client went away.
struct Leaves<'a>(&'a AtomicUsize);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// What each path answers is named by the path.
async fn answer(State(till): State<Arc<Till>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let path = parts.uri.to_string();
    let earlier = {
        let mut seen = till.seen.lock().expect("no test panics with it");
        let earlier = seen.iter().filter(|seen| seen.path == path).count();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        seen.push(Seen {
            method: parts.method.to_string(),
            path: path.clone(),
            headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
        });
        earlier
    };
    match parts.uri.path() {
        "/orders/7" => axum::Json(json!({"id": "7", "total": 250, "customer": "Ada"})).into_response(),
        "/echo" => echo(&parts, &body),
        "/work" => {
            till.work().await;
            echo(&parts, &body)
        }
        "/gate" => {
            // The sender lives in the till.
            let _ = till.gate.subscribe().wait_for(|open| *open).await;
            echo(&parts, &body)
        }
        "/busy" if earlier == 0 => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")]).into_response(),
        "/busy" => echo(&parts, &body),
        "/text" => "plain words".into_response(),
        "/flaky" if earlier < 2 => (StatusCode::SERVICE_UNAVAILABLE, "not yet").into_response(),
        "/flaky" => axum::Json(json!({"attempt": earlier + 1})).into_response(),
        "/broken" => (StatusCode::INTERNAL_SERVER_ERROR, "broken").into_response(),
        "/big" => "x".repeat(300_000).into_response(),
        // Hands back all that came, for the tests of what must not come back.
        "/mirror" => mirror(&parts, &body),
        // To wherever the query says, percent-encoded.
        "/go" => go(parts.uri.query().unwrap_or_default()),
        "/away" => (StatusCode::FOUND, [("location", "http://127.0.0.1:9/")]).into_response(),
        "/never" => std::future::pending().await,
        _ => (StatusCode::NOT_FOUND, "nothing here").into_response(),
    }
}

fn echo(parts: &axum::http::request::Parts, body: &[u8]) -> Response {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    axum::Json(json!({"method": parts.method.as_str(), "body": body})).into_response()
}

fn mirror(parts: &axum::http::request::Parts, body: &[u8]) -> Response {
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    let text = format!("{}\n{}\n{}", parts.uri, headers.collect::<String>(), String::from_utf8_lossy(body));
    let back = parts.headers.get("authorization").cloned();
    let mut response = text.into_response();
    if let Some(back) = back {
        response.headers_mut().insert("x-back", back);
    }
    response
}

fn go(query: &str) -> Response {
    let to = query.strip_prefix("to=").unwrap_or_default();
    match HeaderValue::from_bytes(&decoded(to)) {
        Ok(location) => (StatusCode::TEMPORARY_REDIRECT, [("location", location)]).into_response(),
        Err(_) => (StatusCode::BAD_REQUEST, "no header holds that").into_response(),
    }
}

/// Of percent-encoding.
fn decoded(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).expect("the test encodes as it should"));
        bytes.extend(rest.bytes());
    }
    bytes
}
