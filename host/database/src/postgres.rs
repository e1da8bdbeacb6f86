//! PostgreSQL: what is asked of it, and what holds a step to its grant.
//!
//! - `read`: the transaction is read-only, which no statement can take back.
//! - `write` and `schema`: the rights of the role that the config names. That a statement is of a class that the
//!   grant admits is found out by reading its text, which a function called in it does not show: the operator's
//!   GRANTs decide.
//! - Tables: GRANTs as well. A statement can leave the role again, since `set_config` is an ordinary function: so
//!   the login user must have no rights but through the role. Where it has, [`Postgres::warnings`] says so.
//! - One statement per call: PostgreSQL prepares no text that holds two.
//! - What a step leaves behind in the session (settings, locks, temporary tables, cursors) is undone before the
//!   next one gets it.

mod call;
mod dialer;
mod error;
mod lease;
mod params;
mod rights;
mod rows;
mod runtime;
mod session;
mod stream;
mod tls;
mod transaction;
mod url;
mod value;

#[cfg(test)]
mod tests;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::pki_types::CertificateDer;
use serde_json::Value;
use stepcell_core::grant::DatabaseAccess;
use tokio::{runtime::Handle, sync::OnceCell};

pub(crate) use self::transaction::Transaction;
use self::{
    call::{Call, Ended, Failed, Outcome},
    dialer::Dialer,
    error::Origin,
    lease::{Lease, Pool},
    runtime::within,
    session::Session,
    url::Address,
};
use crate::{Error, Rows, Rule};

/// Connections to one database, where the config sets no `connections`: as many as a small server takes from one of
/// several clients. Protects the server, whose connections are processes.
pub(crate) const CONNECTIONS: usize = 8;

/// For finding out about the login's rights, once.
const RIGHTS_TIMEOUT: Duration = Duration::from_secs(5);

/// What the config says of a database.
pub(crate) struct Settings {
    /// `postgres://USER:PASSWORD@HOST/DATABASE`
    pub(crate) url: String,
    /// What the user becomes before each statement.
    pub(crate) role: Option<String>,
    pub(crate) connections: usize,
    /// Beside the platform's.
    pub(crate) authorities: Vec<CertificateDer<'static>>,
}

/// One database. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Postgres(Arc<Shared>);

struct Shared {
    pool: Pool,
    origin: Arc<Origin>,
    role: Option<String>,
    runtime: Handle,
    /// Of the login's rights; found out with the first connection.
    warnings: OnceCell<Vec<String>>,
    /// Of the way there; known from the URL.
    insecure: Option<String>,
}

impl Postgres {
    /// Connects to nothing yet. `runtime` does the network's work, wherever a call is awaited.
    pub(crate) fn open(name: &str, settings: Settings, runtime: Handle) -> Result<Self, Error> {
        let Settings { url, role, connections, authorities } = settings;
        let address = Address::read(&url, !authorities.is_empty()).map_err(|reason| {
            Error::Invalid(format!("the URL of the database `{name}` is wrong: {reason}"))
        })?;
        if let Some(role) = role.as_deref().filter(|role| *role == "none" || role.contains('\0')) {
            return Err(Error::Invalid(format!("the role `{role}` of the database `{name}` can be none's")));
        }
        let origin = Arc::new(Origin { database: name.to_owned(), peer: address.peer() });
        let insecure = insecure(&address, !authorities.is_empty());
        let dialer = Dialer::new(address, authorities);
        let pool = Pool::new(dialer, connections, runtime.clone(), Arc::clone(&origin))?;
        let warnings = OnceCell::new();
        Ok(Self(Arc::new(Shared { pool, origin, role, runtime, warnings, insecure })))
    }

    /// Gives the rows of one statement.
    pub(crate) async fn query(&self, statement: &str, params: &[Value], rule: &Rule) -> Result<Rows, Error> {
        Ok(self.0.call(statement, params, rule, true).await?.rows)
    }

    /// Gives how many rows one statement changed.
    pub(crate) async fn execute(&self, statement: &str, params: &[Value], rule: &Rule) -> Result<u64, Error> {
        Ok(self.0.call(statement, params, rule, false).await?.affected)
    }

    pub(crate) async fn begin(&self, rule: &Rule) -> Result<Transaction, Error> {
        Transaction::begin(&self.0, rule).await
    }

    /// What of the config leaves a step more than it is granted, or somebody on the way. What only the server knows
    /// is among it after the first connection.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.0.warnings.get().into_iter().flatten().chain(&self.0.insecure).cloned().collect()
    }
}

impl Shared {
    async fn call(
        &self,
        text: &str,
        params: &[Value],
        rule: &Rule,
        wants_rows: bool,
    ) -> Result<Outcome, Error> {
        self.check(rule)?;
        let call = Call { text, params, rule, wants_rows, role: self.role.as_deref(), origin: &self.origin };
        let attempts = async {
            match self.attempt(&call).await {
                Err(Stopped::Stale) => self.attempt(&call).await,
                ended => ended,
            }
        };
        let ended = self.in_time(rule.deadline, async { Ok(attempts.await) }).await?;
        ended.map_err(|stopped| self.told(stopped))
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Outcome, Stopped> {
        let lease = self.lease(call.rule).await.map_err(Stopped::For)?;
        let session = lease.session();
        let Ended { result, is_clean, was_known } = call.alone(session).await;
        let result = result.map_err(|failed| self.stopped(session, call.text, failed, was_known));
        if is_clean {
            forget_types(session, call.rule);
            lease.settle();
        }
        result
    }

    fn stopped(&self, session: &Session, text: &str, failed: Failed, was_known: bool) -> Stopped {
        match failed {
            _ if session.was_flooded() => Stopped::For(self.origin.flooded()),
            Failed::Refused(refusal) if error::is_stale(&refusal) => {
                session.statements.lock().forget(text);
                if was_known { Stopped::Stale } else { Stopped::For(self.origin.refused(&refusal)) }
            }
            failed => Stopped::For(self.error(failed)),
        }
    }

    fn told(&self, stopped: Stopped) -> Error {
        match stopped {
            Stopped::For(error) => error,
            Stopped::Stale => self.origin.stale(),
        }
    }

    async fn lease(&self, rule: &Rule) -> Result<Lease, Error> {
        let lease = self.pool.lease(rule.deadline).await?;
        let found = self.warnings.get_or_try_init(|| Box::pin(self.rights(&lease))).await;
        if let Err(reason) = found {
            tracing::debug!(
                database = self.origin.database,
                reason,
                "can not find out what the login may do"
            );
        }
        Ok(lease)
    }

    async fn rights(&self, lease: &Lease) -> Result<Vec<String>, String> {
        let asking = rights::warnings(&lease.session().client, self.role.as_deref());
        let warnings = match tokio::time::timeout(RIGHTS_TIMEOUT, asking).await {
            Ok(found) => found.map_err(|error| url::reason(&error))?,
            Err(_) => return Err("it takes too long".to_owned()),
        };
        for warning in &warnings {
            tracing::warn!(database = self.origin.database, "the database {warning}");
        }
        Ok(warnings)
    }

    /// On the host's runtime.
    fn in_time<'a, T: 'a>(
        &'a self,
        deadline: Instant,
        work: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> impl Future<Output = Result<T, Error>> + Send + 'a {
        within(&self.runtime, async move {
            match tokio::time::timeout_at(deadline.into(), work).await {
                Ok(done) => done,
                Err(_) => Err(self.origin.timeout("the statement")),
            }
        })
    }

    fn check(&self, rule: &Rule) -> Result<(), Error> {
        if rule.tables.is_empty() { Ok(()) } else { Err(self.origin.tables()) }
    }

    fn error(&self, failed: Failed) -> Error {
        match failed {
            Failed::Refused(refusal) => self.origin.refused(&refusal),
            Failed::Ours(error) => error,
        }
    }
}

/// Why an attempt gave nothing.
enum Stopped {
    For(Error),
    /// What the connection knew of the statement may be old; it has forgotten it.
    Stale,
}

/// Statements and types that were known before tables were changed.
fn forget_types(session: &Session, rule: &Rule) {
    if rule.access == DatabaseAccess::Schema {
        session.statements.lock().clear();
        session.client.clear_type_cache();
    }
}

fn insecure(address: &Address, has_authorities: bool) -> Option<String> {
    use url::Security;
    let is_checked = match address.security {
        Security::Disable | Security::Prefer => false,
        Security::Require => has_authorities,
        Security::VerifyCa | Security::VerifyFull => true,
    };
    (!is_checked && !address.is_local()).then(|| {
        "is reached without checking who answers: add `?sslmode=verify-full` to its URL, and `ca` where its certificate \
         is signed by an authority of your own"
            .to_owned()
    })
}
