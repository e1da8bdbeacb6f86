//! Accepts connections and serves them, within limits, until told to stop.

use std::{io, pin::pin, sync::Arc};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::{Api, router_on},
    limits::{ACCEPT_PAUSE, CONNECTIONS_MAX, HEADER_BYTES_MAX, HEADER_READ_TIME, SHUTDOWN_TIME},
};

/// Serves until `shutdown` is done; then lets open requests end within [`SHUTDOWN_TIME`], event streams at once.
///
/// HTTP/1.1 alone: browsers speak nothing newer without TLS, and each protocol is one more thing to bound.
pub async fn serve(listener: TcpListener, api: Api, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let closing = api.closing.clone();
    let server = Server {
        router: router_on(api, Some(listener.local_addr()?.port())),
        closing: closing.clone(),
        aborting: CancellationToken::new(),
        tasks: TaskTracker::new(),
        places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
    };
    tokio::select! {
        () = server.accept(&listener) => {}
        () = shutdown => {}
    }
    drop(listener);
    closing.cancel();
    server.tasks.close();
    if timeout(SHUTDOWN_TIME, server.tasks.wait()).await.is_err() {
        tracing::warn!(connections = server.tasks.len(), "closing connections that did not end in time");
        server.aborting.cancel();
        server.tasks.wait().await;
    }
    Ok(())
}

struct Server {
    router: Router,
    /// Connections end after the request under way.
    closing: CancellationToken,
    /// Connections end now.
    aborting: CancellationToken,
    tasks: TaskTracker,
    places: Arc<Semaphore>,
}

impl Server {
    async fn accept(&self, listener: &TcpListener) {
        // The semaphore is never closed, so that this ends only by being dropped.
        while let Ok(place) = self.places.clone().acquire_owned().await {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => {
                    tracing::warn!(error = %error, "accepting a connection failed");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let connection = connection(stream, self.router.clone(), self.closing.clone());
            let aborting = self.aborting.clone();
            self.tasks.spawn(async move {
                let _place = place;
                tokio::select! {
                    () = connection => {}
                    () = aborting.cancelled() => {}
                }
            });
        }
    }
}

async fn connection(stream: TcpStream, router: Router, closing: CancellationToken) {
    // Answers are written whole, so that waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIME).max_buf_size(HEADER_BYTES_MAX);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "connection ended early");
    }
}

/// Errors that say nothing about the listener itself.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
