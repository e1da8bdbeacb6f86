//! Statements that count together or not at all.

use serde::Serialize;

use super::{Rows, host, list};
use crate::Failure;

/// Statements that count together or not at all. Dropped without [`Transaction::commit`], nothing of them counts:
/// a `?` on the way is enough.
///
/// ```no_run
/// # use stepcell::prelude::*;
/// # fn main() -> Result<(), Failure> {
/// use stepcell::database::Transaction;
///
/// let transaction = Transaction::begin("main")?;
/// transaction.execute("UPDATE stock SET count = count - $1 WHERE sku = $2", &(3, "A-1"))?;
/// transaction.execute("INSERT INTO shipped (sku, count) VALUES ($1, $2)", &("A-1", 3))?;
/// transaction.commit()?;
/// # Ok(())
/// # }
/// ```
pub struct Transaction(host::Transaction);

impl Transaction {
    /// Opens one. It ends with the step at the latest.
    pub fn begin(database: &str) -> Result<Self, Failure> {
        host::Transaction::begin(database).map(Self)
    }

    /// As [`query`](super::query), within the transaction.
    pub fn query(&self, statement: &str, params: &(impl Serialize + ?Sized)) -> Result<Rows, Failure> {
        self.0.query(statement, &list(params)?)
    }

    /// As [`execute`](super::execute), within the transaction.
    pub fn execute(&self, statement: &str, params: &(impl Serialize + ?Sized)) -> Result<u64, Failure> {
        self.0.execute(statement, &list(params)?)
    }

    /// Makes it count.
    pub fn commit(self) -> Result<(), Failure> {
        self.0.commit()
    }
}
