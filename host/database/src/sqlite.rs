//! SQLite: what holds a step to its grant, and how its connections are shared.
//!
//! - One connection writes, the others are opened read-only; a call whose rule is `read` gets one of those.
//! - SQLite asks the [`guard`] about each table that a statement touches, also through views, triggers, foreign keys
//!   and subqueries, before it runs.
//! - One statement per call: SQLite says where the first one ends.
//! - Statements run on threads of this module. They stop at their deadline, and where nobody waits for them any
//!   more.
//! - What a statement may take of memory and of the disk has a limit.
//!
//! A parameter is bound by its name, `$1`: to SQLite that is no number. A list or an object is bound as JSON text, a
//! boolean as 0 or 1. A result's integers are exact, in JSON numbers; infinite ones are strings; BLOBs are base64. In
//! columns that are declared BOOLEAN, 0 and 1 are booleans; in those declared JSON, a text that is JSON stands as it
//! is.

mod bind;
mod call;
mod connection;
mod error;
mod guard;
mod location;
mod opened;
mod pool;
mod room;
mod rows;
mod transaction;
mod turn;
mod value;

#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc, time::Instant};

use serde_json::Value;
use stepcell_core::grant::DatabaseAccess;
use tokio::runtime::Handle;

pub(crate) use self::transaction::Transaction;
use self::{
    call::{Call, Outcome},
    connection::{Opener, Role},
    error::Origin,
    location::Location,
    pool::{Lease, Pool},
    turn::Canceller,
};
use crate::{Error, Rows, Rule, statement::Statement};

/// Connections that read, where the config sets no `connections`. Each is a thread while it works, and a cache.
pub(crate) const CONNECTIONS: usize = 4;

/// One database. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sqlite(Arc<Shared>);

struct Shared {
    origin: Arc<Origin>,
    /// One connection: SQLite takes one writer at a time.
    writer: Arc<Pool>,
    /// None where the database is in memory, which is its one connection.
    readers: Option<Arc<Pool>>,
    runtime: Handle,
}

impl Sqlite {
    /// Opens nothing yet. `place` is what stands behind `sqlite:`.
    pub(crate) fn open(
        name: &str,
        place: &str,
        data: &Path,
        connections: usize,
        runtime: Handle,
    ) -> Result<Self, Error> {
        let location = Location::read(place, data).map_err(|reason| {
            Error::Invalid(format!("the URL of the database `{name}` is wrong: {reason}"))
        })?;
        let origin = Arc::new(Origin { database: name.to_owned(), peer: place.to_owned() });
        let pool = |role, size| {
            let opener = Opener { location: location.clone(), role, origin: Arc::clone(&origin) };
            Pool::new(opener, size)
        };
        let readers = location.is_file().then(|| pool(Role::Reader, connections.max(1)));
        let writer = pool(Role::Writer, 1);
        Ok(Self(Arc::new(Shared { origin, writer, readers, runtime })))
    }

    /// Gives the rows of one statement.
    pub(crate) async fn query(
        &self,
        statement: &Statement<'_>,
        params: &[Value],
        rule: &Rule,
    ) -> Result<Rows, Error> {
        Ok(self.0.call(statement, params, rule, true).await?.rows)
    }

    /// Gives how many rows one statement changed.
    pub(crate) async fn execute(
        &self,
        statement: &Statement<'_>,
        params: &[Value],
        rule: &Rule,
    ) -> Result<u64, Error> {
        Ok(self.0.call(statement, params, rule, false).await?.changed)
    }

    pub(crate) async fn begin(&self, rule: &Rule) -> Result<Transaction, Error> {
        Transaction::begin(&self.0, rule).await
    }
}

impl Shared {
    async fn call(
        &self,
        statement: &Statement<'_>,
        params: &[Value],
        rule: &Rule,
        wants_rows: bool,
    ) -> Result<Outcome, Error> {
        let canceller = Canceller::default();
        let call = Call::new(&self.origin, statement, params, rule, wants_rows, &canceller)?;
        let lease = self.lease(statement.needs(), rule.deadline).await?;
        let answer = lease.run(move |slot, lease| {
            let outcome = slot.alone(&call);
            // Before the answer: whoever gets it may ask again at once.
            drop(lease);
            outcome
        });
        self.answer(answer, rule.deadline).await?
    }

    /// A connection that can do as much; waits for one.
    async fn lease(&self, needs: DatabaseAccess, deadline: Instant) -> Result<Lease, Error> {
        let readers = self.readers.as_ref().filter(|_| needs == DatabaseAccess::Read);
        let Some(readers) = readers else {
            let waiting =
                Error::Conflict(format!("{} is being written to by others all the time", self.origin));
            return self.in_time(deadline, self.writer.lease(), waiting).await?;
        };
        self.in_time(deadline, readers.lease(), self.origin.timeout("the wait for a connection")).await?
    }

    /// What a worker answers, until then.
    async fn answer<T>(
        &self,
        answer: tokio::sync::oneshot::Receiver<T>,
        deadline: Instant,
    ) -> Result<T, Error> {
        let answered = self.in_time(deadline, answer, self.origin.timeout("the statement")).await?;
        answered.map_err(|_| self.origin.unavailable("its thread has stopped"))
    }

    /// The host's runtime keeps the time, wherever this is awaited.
    async fn in_time<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = T>,
        late: Error,
    ) -> Result<T, Error> {
        let timer = {
            let _entered = self.runtime.enter();
            tokio::time::sleep_until(deadline.into())
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = timer => Err(late),
        }
    }
}
