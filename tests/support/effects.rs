use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;

/// An HTTP server on loopback that counts what steps do to the world.
pub struct Effects {
    address: SocketAddr,
    done: Done,
}

/// One request that a step made.
#[derive(Debug, Clone)]
pub struct Effect {
    /// The last part of the path: who did it.
    pub label: String,
    pub idempotency_key: String,
    /// When it had been read.
    pub at: SystemTime,
}

type Done = Arc<Mutex<Vec<Effect>>>;

impl Effects {
    /// Starts the server on a free port.
    pub async fn start() -> Self {
        let done = Done::default();
        let app = Router::new()
            .route("/do/{label}", post(well))
            .route("/fail-once/{label}", post(fail_once))
            .with_state(Arc::clone(&done));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, done }
    }

    /// `http://127.0.0.1:PORT`. `POST /do/LABEL` is answered with `{"done": LABEL}`, and so is `POST
    /// /fail-once/LABEL`, from the second time on.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The config that lets `http_request` reach the server.
    pub fn grant(&self) -> String {
        format!("grants:\n  http_request: {{ http: [\"{}\"] }}\n", self.url())
    }

    /// Everything that was done so far, in order.
    pub fn done(&self) -> Vec<Effect> {
        self.done.lock().expect("no test panics with it").clone()
    }
}

async fn well(State(done): State<Done>, Path(label): Path<String>, headers: HeaderMap) -> Response {
    note(&done, &label, &headers);
    Json(json!({ "done": label })).into_response()
}

async fn fail_once(State(done): State<Done>, Path(label): Path<String>, headers: HeaderMap) -> Response {
    match note(&done, &label, &headers) {
        1 => (StatusCode::SERVICE_UNAVAILABLE, "not yet").into_response(),
        _ => Json(json!({ "done": label })).into_response(),
    }
}

/// Counts the request; gives how many of this label there were.
fn note(done: &Done, label: &str, headers: &HeaderMap) -> usize {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
    let effect = Effect { label: label.to_owned(), idempotency_key: key.to_owned(), at: SystemTime::now() };
    let mut done = done.lock().expect("no test panics with it");
    done.push(effect);
    done.iter().filter(|effect| effect.label == label).count()
}
