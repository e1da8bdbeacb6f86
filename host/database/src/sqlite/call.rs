//! One statement on one connection.

use std::sync::Arc;

use rusqlite::{Statement as Prepared, types::Value as Sql};
use serde_json::Value;
use stepcell_core::grant::DatabaseAccess;

use super::{
    bind,
    connection::{Connection, Slot},
    error::Origin,
    guard::{Kind, Scope},
    rows::{self, Stopped},
    turn::{Canceller, Stop},
};
use crate::{Error, Rows, Rule, statement::Statement};

/// The longest text of a statement that a connection keeps prepared. Protects memory.
const KEPT_BYTES_MAX: usize = 4 << 10;

/// A statement with its parameters, on its way to a connection.
pub(super) struct Call {
    text: String,
    values: Vec<Sql>,
    needs: DatabaseAccess,
    scope: Arc<Scope>,
    pub(super) rows: u64,
    bytes: u64,
    /// Else rows are counted and dropped.
    pub(super) wants_rows: bool,
    stop: Stop,
    pub(super) origin: Arc<Origin>,
}

/// What a statement gave.
pub(super) struct Outcome {
    pub(super) rows: Rows,
    pub(super) changed: u64,
}

impl Call {
    pub(super) fn new(
        origin: &Arc<Origin>,
        statement: &Statement<'_>,
        params: &[Value],
        rule: &Rule,
        wants_rows: bool,
        canceller: &Canceller,
    ) -> Result<Self, Error> {
        let needs = statement.needs();
        let kind = Kind::of(needs, statement.verb());
        Ok(Self {
            text: statement.text().to_owned(),
            values: bind::values(params)?,
            needs,
            scope: Arc::new(Scope { access: rule.access, tables: rule.tables.clone(), kind }),
            rows: rule.rows,
            bytes: rule.bytes,
            wants_rows,
            stop: canceller.stop(rule.deadline),
            origin: Arc::clone(origin),
        })
    }

    pub(super) fn too_many_rows(&self) -> Error {
        let (origin, most) = (&self.origin, self.rows);
        Error::Limit(format!("the result of {origin} has more than the {most} rows that `rows` allows"))
    }

    pub(super) fn check_bytes(&self, bytes: usize) -> Result<(), Stopped> {
        if u64::try_from(bytes).is_ok_and(|bytes| bytes <= self.bytes) {
            return Ok(());
        }
        let (origin, most) = (&self.origin, self.bytes);
        let message = format!("the result of {origin} is larger than the {most} bytes that `bytes` allows");
        Err(Stopped::Ours(Error::Limit(message)))
    }

    fn writes(&self) -> bool {
        self.needs > DatabaseAccess::Read
    }
}

impl Slot {
    /// Runs it in a transaction of its own.
    pub(super) fn alone(&mut self, call: &Call) -> Result<Outcome, Error> {
        let connection = self.open(call.stop.clone())?;
        let result = connection.alone(call);
        connection.undo();
        self.keep_if(&result);
        result
    }

    /// Runs it in the transaction that is open.
    pub(super) fn within(&mut self, call: &Call) -> Result<Outcome, Error> {
        let connection = self.open(call.stop.clone())?;
        let result = connection.run(call, false);
        connection.turn.lock().finish();
        self.keep_if(&result);
        result
    }

    /// A connection whose file is in trouble is closed: the next one may fare better.
    fn keep_if<T>(&mut self, result: &Result<T, Error>) {
        if matches!(result, Err(Error::Unavailable { .. })) {
            self.discard();
        }
    }
}

impl Connection {
    fn alone(&mut self, call: &Call) -> Result<Outcome, Error> {
        let outcome = self.run(call, call.writes() && call.wants_rows)?;
        if !self.is_clean() {
            self.commit()?;
        }
        Ok(outcome)
    }

    /// Begins a transaction; one that may write has the lock from its beginning, so that it never fails midway for
    /// want of it.
    pub(super) fn begin(&mut self, access: DatabaseAccess) -> Result<(), Error> {
        let begin = if access > DatabaseAccess::Read { "BEGIN IMMEDIATE" } else { "BEGIN" };
        self.own(begin).map_err(|error| self.refused(error, access))
    }

    pub(super) fn commit(&mut self) -> Result<(), Error> {
        self.own("COMMIT").map_err(|error| self.refused(error, DatabaseAccess::Write))
    }

    /// `begins`: in a transaction of its own, which is left open. A statement that changes rows has changed all of
    /// them before it gives the first one: where the rule's limits end it after that, it must not count.
    fn run(&mut self, call: &Call, begins: bool) -> Result<Outcome, Error> {
        if call.writes() && self.room.as_ref().is_some_and(|room| !room.is_left()) {
            return Err(self.origin.disk_full());
        }
        if begins {
            self.begin(call.scope.access)?;
        }
        self.enter(&call.scope, call.writes()).map_err(|error| self.refused(error, call.scope.access))?;
        let stopped = match self.prepared(call) {
            Ok(outcome) => return Ok(outcome),
            Err(stopped) => stopped,
        };
        Err(match stopped {
            Stopped::Ours(error) => error,
            Stopped::Refused(error) => self.refused(error, call.scope.access),
        })
    }

    fn prepared(&self, call: &Call) -> Result<Outcome, Stopped> {
        self.check_opened(&call.text, &call.scope)?;
        let rows = if call.text.len() <= KEPT_BYTES_MAX {
            answer(&mut *self.sqlite.prepare_cached(&call.text)?, call)?
        } else {
            answer(&mut self.sqlite.prepare(&call.text)?, call)?
        };
        // SQLite's own count is of the last statement that changed rows, however long ago.
        let changed = if call.needs == DatabaseAccess::Write { self.sqlite.changes() } else { 0 };
        let rows = rows.unwrap_or(Rows { json: "[]".to_owned(), count: changed });
        Ok(Outcome { rows, changed })
    }

    fn refused(&self, error: rusqlite::Error, access: DatabaseAccess) -> Error {
        self.origin.refused(error, &mut self.turn.lock(), access)
    }
}

/// The rows; none where the statement has no columns.
fn answer(statement: &mut Prepared<'_>, call: &Call) -> Result<Option<Rows>, Stopped> {
    // The guard holds it already; this is what SQLite itself makes of the statement.
    if call.scope.access == DatabaseAccess::Read && !statement.readonly() {
        let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
        return Err(Stopped::Refused(rusqlite::Error::SqliteFailure(error, None)));
    }
    bind::bind(statement, &call.values)?;
    if statement.column_count() == 0 {
        statement.raw_execute()?;
        return Ok(None);
    }
    rows::read(statement, call).map(Some)
}
