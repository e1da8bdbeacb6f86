//! What the routes work on, and the router of all of them.

use std::sync::Arc;

use axum::{Router, middleware};
use http::{Method, StatusCode, Uri};
use stepcell_engine::{Engine, Plugins, StepRunner};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    guard::{self, Guard},
    limits::{LINES_BODIES_MAX, STREAMS_MAX, UPLOADS_MAX},
    problem::Problem,
    routes,
    transfers::Transfers,
};

/// What an API is made of.
pub struct Options {
    pub engine: Engine,
    /// Only its catalog is used here.
    pub runner: Arc<dyn StepRunner>,
    pub plugins: Arc<dyn Plugins>,
    /// Names besides the loopback ones under which the host may be called, `name` or `name:port`.
    pub hosts: Vec<String>,
}

/// The routes' state. Cheap to clone; all clones are the same API.
#[derive(Clone)]
pub struct Api {
    pub(crate) engine: Engine,
    pub(crate) runner: Arc<dyn StepRunner>,
    pub(crate) plugins: Arc<dyn Plugins>,
    hosts: Arc<[String]>,
    /// Cancelled when the host stops: event streams end and waits are cut short.
    pub(crate) closing: CancellationToken,
    /// One permit for each upload that is held in memory.
    pub(crate) uploads: Arc<Semaphore>,
    /// One permit for each body of many submissions that is held in memory.
    pub(crate) lines: Arc<Semaphore>,
    /// Room for blobs on their way in or out.
    pub(crate) transfers: Transfers,
    /// One permit for each event stream.
    pub(crate) streams: Arc<Semaphore>,
}

impl Api {
    /// Makes the state; nothing is served yet.
    pub fn new(options: Options) -> Self {
        let Options { engine, runner, plugins, hosts } = options;
        Self {
            engine,
            runner,
            plugins,
            hosts: hosts.into(),
            closing: CancellationToken::new(),
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            lines: Arc::new(Semaphore::new(LINES_BODIES_MAX)),
            transfers: Transfers::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        }
    }
}

/// All routes, for a caller that serves them itself, such as a test. Loopback names pass with any port.
pub fn router(api: Api) -> Router {
    router_on(api, None)
}

/// All routes behind the guard of a host that listens on `port`.
pub(crate) fn router_on(api: Api, port: Option<u16>) -> Router {
    let guard = Guard::new(port, &api.hosts);
    let routes = routes::all().into_iter();
    routes
        .fold(Router::new(), |router, route| router.route(route.path, route.handler))
        .method_not_allowed_fallback(no_such_method)
        .fallback(no_such_path)
        .layer(middleware::from_fn_with_state(guard, guard::layer))
        .with_state(api)
}

async fn no_such_path(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(StatusCode::NOT_FOUND, "no_such_path", format!("there is nothing at `{path}`"))
        .with_hint("`GET /api/v1/openapi.json` describes every call".to_owned())
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "no_such_method",
        format!("`{path}` does not take `{method}`"),
    )
    .with_hint("the `Allow` header lists the methods that it takes".to_owned())
}
