//! SQL: what a cell gets for `stepcell:database/database`.

mod refuse;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use stepcell_core::{
    Json,
    grant::{DatabaseAccess, DatabaseRule},
};
use stepcell_database::{Databases, Error, MAIN, Rule, Transaction};
use stepcell_engine::meter::Resource as Metered;
use wasmtime::component::Resource;

use super::{Session, Spent};
use crate::{
    bindings::stepcell::database::database::{Failure, Host, HostTransaction, Rejection, Rows},
    limits::Bytes,
};

/// Rows of one result where no grant says otherwise. Protects the host's memory.
const ROWS_DEFAULT: u64 = 10_000;
/// Bytes of one result where no grant says otherwise. Protects the host's memory and the cell's.
const BYTES_DEFAULT: u64 = 16 << 20;
/// Transactions that one cell may have open in one database. Each holds a connection that others wait for, and a cell
/// that asks for another would wait for itself where it holds the last one: SQLite has one that writes.
const TRANSACTIONS_MAX: usize = 1;

/// A transaction of one cell. It ends with the cell: what was not committed is rolled back.
#[expect(unreachable_pub, reason = "the generated code hands it on as its own")]
pub struct OpenTransaction {
    /// Its name in the config.
    database: String,
    transaction: Transaction,
    /// Where a grant bounds the time of one statement.
    time: Option<Duration>,
}

/// The transactions of one cell, by the number of its handle.
#[derive(Default)]
pub(crate) struct Transactions {
    open: BTreeMap<u32, OpenTransaction>,
    /// Of the next one: no number comes twice.
    next: u32,
}

impl Transactions {
    fn of(&self, database: &str) -> usize {
        self.open.values().filter(|open| open.database == database).count()
    }
}

/// A call that may be made.
struct Call {
    databases: Databases,
    rule: Rule,
}

impl Session {
    /// How far the step may go with a database. What it wants to do there is for the words of a refusal.
    fn admitted(&mut self, database: &str, statement: Option<&str>) -> Result<Call, Failure> {
        let databases = self.known(database)?;
        let rule = match self.access.database(database) {
            Ok(levels) => rule(levels.iter().map(|(_, rule)| *rule), self.deadline),
            Err(refuser) => {
                let needs = statement.and_then(|statement| databases.needs(database, statement));
                return Err(self.refuse_database(database, refuser, needs.unwrap_or(DatabaseAccess::Read)));
            }
        };
        Ok(Call { databases, rule })
    }

    /// The databases of the config, where this one is among them.
    fn known(&mut self, database: &str) -> Result<Databases, Failure> {
        let databases = self.services.databases.clone();
        let names: Vec<&str> = databases.iter().flat_map(Databases::names).collect();
        if names.contains(&database) {
            return databases.ok_or_else(|| self.unknown_database(database, &[]));
        }
        Err(self.unknown_database(database, &names))
    }

    /// Counts a statement that is about to be run, and reads its parameters.
    fn charge(&mut self, statement: &str, params: String) -> Result<Json, Failure> {
        let (sent, most) = ((statement.len() + params.len()) as u64, self.limits.request.value);
        if sent > most {
            let (sent, most) = (Bytes(sent), Bytes(most));
            let message = format!("the statement has {sent}, of {most} that `limits.request` allows");
            return Err(Failure::Limit(message));
        }
        let params =
            Json::parse(params).map_err(|error| Failure::Invalid(format!("`params` is no JSON: {error}")))?;
        if !params.value().is_array() {
            return Err(Failure::Invalid("`params` is no list of values for `$1`, `$2`, …".to_owned()));
        }
        self.count_request(sent).map_err(spent)?;
        // What it will take is known afterwards; with nothing left it is not run at all.
        let meter = &self.caller.meter;
        if meter.left(Metered::Rows) == 0 {
            meter.take(Metered::Rows, 1).map_err(|exhausted| spent(Spent::Budget(exhausted)))?;
        }
        Ok(params)
    }

    /// Counts what came of a query.
    fn received(
        &mut self,
        database: &str,
        result: Result<stepcell_database::Rows, Error>,
    ) -> Result<Rows, Failure> {
        let rows = result.map_err(|error| self.failed(database, error))?;
        let counted = self.count_rows(rows.count);
        self.count_received(rows.json.len() as u64).and(counted).map_err(spent)?;
        Ok(Rows { rows: rows.json, count: rows.count })
    }

    /// Counts what came of a change.
    fn changed(&mut self, database: &str, result: Result<u64, Error>) -> Result<u64, Failure> {
        let rows = result.map_err(|error| self.failed(database, error))?;
        // It is done, and in a transaction of its own it counts already: the run ends all the same.
        self.count_rows(rows).map_err(spent)?;
        Ok(rows)
    }

    fn failed(&mut self, database: &str, error: Error) -> Failure {
        match error {
            Error::Denied { what, needs, message } => self.refuse_statement(database, &what, needs, message),
            Error::Invalid(message) => Failure::Invalid(message),
            Error::Rejected { code, message } => Failure::Rejected(Rejection { code, message }),
            Error::Conflict(message) => Failure::Conflict(message),
            error @ Error::Unavailable { .. } => Failure::Unavailable(error.to_string()),
            error @ Error::Timeout { .. } => Failure::Timeout(error.to_string()),
            Error::Limit(message) => Failure::Limit(message),
        }
    }

    /// Beside an open transaction of its own a step only reads: SQLite has one writer, and in PostgreSQL it may be the
    /// same row.
    fn waits_for_itself(
        &self,
        databases: &Databases,
        database: &str,
        statement: &str,
    ) -> Result<(), Failure> {
        if self.transactions.of(database) == 0
            || databases.needs(database, statement) == Some(DatabaseAccess::Read)
        {
            return Ok(());
        }
        let message =
            format!("the step has a transaction open in `{database}`: go on in it, or commit it first");
        Err(Failure::Invalid(message))
    }

    /// A transaction, for one statement.
    fn open(
        &mut self,
        handle: &Resource<OpenTransaction>,
    ) -> Result<(&mut OpenTransaction, Instant), Failure> {
        let deadline = self.deadline;
        let open = self.transactions.open.get_mut(&handle.rep()).ok_or_else(over)?;
        let deadline = open.time.map_or(deadline, |time| deadline.min(Instant::now() + time));
        Ok((open, deadline))
    }
}

impl Host for Session {
    async fn query(&mut self, database: String, statement: String, params: String) -> Result<Rows, Failure> {
        let Call { databases, rule } = self.admitted(&database, Some(&statement))?;
        self.waits_for_itself(&databases, &database, &statement)?;
        let params = self.charge(&statement, params)?;
        let work = databases.query(&database, &statement, list(&params), &rule);
        let result = self.ledger.wait_for(&database, work).await;
        self.received(&database, result)
    }

    async fn execute(&mut self, database: String, statement: String, params: String) -> Result<u64, Failure> {
        let Call { databases, rule } = self.admitted(&database, Some(&statement))?;
        self.waits_for_itself(&databases, &database, &statement)?;
        let params = self.charge(&statement, params)?;
        let work = databases.execute(&database, &statement, list(&params), &rule);
        let result = self.ledger.wait_for(&database, work).await;
        self.changed(&database, result)
    }
}

impl HostTransaction for Session {
    async fn begin(&mut self, database: String) -> Result<Resource<OpenTransaction>, Failure> {
        let Call { databases, rule } = self.admitted(&database, None)?;
        if self.transactions.of(&database) >= TRANSACTIONS_MAX {
            let message =
                format!("the step has a transaction open in `{database}` already: commit or drop it first");
            return Err(Failure::Limit(message));
        }
        self.count_request(0).map_err(spent)?;
        let begun = self.ledger.wait_for(&database, databases.begin(&database, &rule)).await;
        let transaction = begun.map_err(|error| self.failed(&database, error))?;
        let time = self
            .access
            .database(&database)
            .ok()
            .and_then(|levels| time(levels.iter().map(|(_, rule)| *rule)));
        let number = self.transactions.next;
        self.transactions.next = number.wrapping_add(1);
        self.transactions.open.insert(number, OpenTransaction { database, transaction, time });
        Ok(Resource::new_own(number))
    }

    async fn query(
        &mut self,
        handle: Resource<OpenTransaction>,
        statement: String,
        params: String,
    ) -> Result<Rows, Failure> {
        let params = self.charge(&statement, params)?;
        let ledger = Arc::clone(&self.ledger);
        let (open, deadline) = self.open(&handle)?;
        let database = open.database.clone();
        let work = open.transaction.query(&statement, list(&params), deadline);
        let result = ledger.wait_for(&database, work).await;
        self.received(&database, result)
    }

    async fn execute(
        &mut self,
        handle: Resource<OpenTransaction>,
        statement: String,
        params: String,
    ) -> Result<u64, Failure> {
        let params = self.charge(&statement, params)?;
        let ledger = Arc::clone(&self.ledger);
        let (open, deadline) = self.open(&handle)?;
        let database = open.database.clone();
        let work = open.transaction.execute(&statement, list(&params), deadline);
        let result = ledger.wait_for(&database, work).await;
        self.changed(&database, result)
    }

    async fn commit(&mut self, handle: Resource<OpenTransaction>) -> Result<(), Failure> {
        let deadline = self.deadline;
        let open = self.transactions.open.remove(&handle.rep()).ok_or_else(over)?;
        let committed = self.ledger.wait_for(&open.database, open.transaction.commit(deadline)).await;
        committed.map_err(|error| self.failed(&open.database, error))
    }

    async fn drop(&mut self, handle: Resource<OpenTransaction>) -> wasmtime::Result<()> {
        // Rolled back, where it was not committed.
        self.transactions.open.remove(&handle.rep());
        Ok(())
    }
}

/// The smallest of what every level says.
fn rule<'a>(levels: impl Iterator<Item = &'a DatabaseRule> + Clone, deadline: Instant) -> Rule {
    let smallest = |of: fn(&DatabaseRule) -> Option<u64>| levels.clone().filter_map(of).min();
    let access = levels.clone().map(|level| level.access).min();
    Rule {
        // There is a level, or nobody would have been admitted.
        access: access.unwrap_or(DatabaseAccess::Read),
        tables: levels.clone().filter_map(|level| level.tables.clone()).collect(),
        rows: smallest(|level| level.rows).unwrap_or(ROWS_DEFAULT),
        bytes: smallest(|level| level.bytes).unwrap_or(BYTES_DEFAULT),
        deadline: time(levels).map_or(deadline, |time| deadline.min(Instant::now() + time)),
    }
}

fn time<'a>(levels: impl Iterator<Item = &'a DatabaseRule>) -> Option<Duration> {
    levels.filter_map(|level| level.time).min()
}

fn list(params: &Json) -> &[Value] {
    params.value().as_array().map(Vec::as_slice).unwrap_or_default()
}

fn spent(spent: Spent) -> Failure {
    Failure::Limit(spent.to_string())
}

fn over() -> Failure {
    Failure::Invalid("the transaction is over".to_owned())
}

#[cfg(test)]
mod tests;
