//! Connections shared by all steps, never more than the config says.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool::{
    Runtime,
    managed::{self, Object, PoolConfig, PoolError, QueueMode, TimeoutType, Timeouts},
};
use tokio::runtime::Handle;

use super::{dialer::Dialer, error::Origin, session::Session};
use crate::Error;

/// For one connection, name, TLS and login included: a peer that takes connections and says nothing should leave a
/// step time to try again.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(15);

/// For what has to be done before a connection may be used again; it is closed after that.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Pool {
    pool: managed::Pool<Dialer>,
    runtime: Handle,
    origin: Arc<Origin>,
}

/// A connection of one call. Where it is not settled it is cleaned, or closed, by a task of its own, which holds its
/// place in the pool as long: so the server never has more sessions than the config says.
pub(super) struct Lease {
    session: Arc<Object<Dialer>>,
    runtime: Handle,
    is_settled: bool,
    is_busy: AtomicBool,
}

impl Pool {
    pub(super) fn new(
        dialer: Dialer,
        connections: usize,
        runtime: Handle,
        origin: Arc<Origin>,
    ) -> Result<Self, Error> {
        let mut config = PoolConfig::new(connections);
        // The one used last knows most statements, and what a quiet time leaves over is left alone.
        config.queue_mode = QueueMode::Lifo;
        let pool = managed::Pool::builder(dialer).config(config).runtime(Runtime::Tokio1).build();
        let pool = pool.map_err(|error| Error::Invalid(format!("{origin} has no pool: {error}")))?;
        Ok(Self { pool, runtime, origin })
    }

    /// Waits for a connection until then; opens one where all that are open are in use and one more is allowed.
    pub(super) async fn lease(&self, deadline: Instant) -> Result<Lease, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeouts = Timeouts { wait: Some(left), create: Some(left.min(LOGIN_TIMEOUT)), recycle: None };
        match self.pool.timeout_get(&timeouts).await {
            Ok(session) => {
                session.set_clean(false);
                Ok(Lease {
                    session: Arc::new(session),
                    runtime: self.runtime.clone(),
                    is_settled: false,
                    is_busy: AtomicBool::new(true),
                })
            }
            Err(PoolError::Timeout(TimeoutType::Wait)) => {
                Err(self.origin.timeout("the wait for a connection of its pool"))
            }
            Err(PoolError::Timeout(_)) if left < LOGIN_TIMEOUT => Err(self.origin.timeout("the connecting")),
            Err(PoolError::Timeout(_)) => {
                Err(self.origin.unavailable(format!("no answer within {} s", LOGIN_TIMEOUT.as_secs())))
            }
            Err(PoolError::Backend(reason)) => Err(self.origin.unavailable(reason)),
            Err(error) => Err(self.origin.unavailable(error.to_string())),
        }
    }
}

impl Lease {
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Whether a statement may be under way, so that the server has to be told to stop it.
    pub(super) fn set_busy(&self, is_busy: bool) {
        self.is_busy.store(is_busy, Ordering::Relaxed);
    }

    /// The transaction ended and nothing is left of it: the connection is good for the next call.
    pub(super) fn settle(mut self) {
        self.session.set_clean(true);
        self.is_settled = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let (session, is_busy) = (Arc::clone(&self.session), self.is_busy.load(Ordering::Relaxed));
        self.runtime.spawn(async move {
            let recovery = tokio::time::timeout(RECOVERY_TIMEOUT, session.recover(is_busy));
            match recovery.await {
                Ok(Ok(())) => session.set_clean(true),
                Ok(Err(reason)) => {
                    tracing::debug!(%reason, "closing a database connection that can not be cleaned");
                    session.close();
                }
                Err(_) => session.close(),
            }
        });
    }
}
