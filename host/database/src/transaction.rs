//! Several statements that count together.

use std::{sync::Arc, time::Instant};

use serde_json::Value;
use stepcell_core::grant::DatabaseAccess;

use crate::{Error, Rows, backend::Open, databases::Database, statement::Statement};

/// Several statements that count together or not at all. Dropped without [`Self::commit`], it is rolled back, and
/// its connection is clean before anybody else gets it.
///
/// A statement that the database refuses, or that is stopped, ends the transaction: nothing more can be done in it
/// and nothing of it counts, in every kind of database. A statement that was not admitted changes nothing.
pub struct Transaction {
    database: Arc<Database>,
    open: Open,
    access: DatabaseAccess,
}

impl Transaction {
    pub(crate) fn new(database: Arc<Database>, open: Open, access: DatabaseAccess) -> Self {
        Self { database, open, access }
    }

    /// Runs one statement and gives its rows.
    pub async fn query(
        &mut self,
        statement: &str,
        params: &[Value],
        deadline: Instant,
    ) -> Result<Rows, Error> {
        let statement = Statement::read(statement, self.database.dialect())?;
        statement.check(self.access, &self.database.name)?;
        self.open.query(&statement, params, self.database.deadline(deadline)).await
    }

    /// Runs one statement and tells how many rows it changed.
    pub async fn execute(
        &mut self,
        statement: &str,
        params: &[Value],
        deadline: Instant,
    ) -> Result<u64, Error> {
        let statement = Statement::read(statement, self.database.dialect())?;
        statement.check(self.access, &self.database.name)?;
        self.open.execute(&statement, params, self.database.deadline(deadline)).await
    }

    /// Makes it count. Where the future is dropped, or the connection breaks, nobody knows whether it does.
    pub async fn commit(self, deadline: Instant) -> Result<(), Error> {
        self.open.commit(self.database.deadline(deadline)).await
    }
}
