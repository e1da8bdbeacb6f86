//! One connection: how it is opened, and what it may take of the machine.

use std::{
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    sync::{Arc, Once},
};

use parking_lot::Mutex;
use rusqlite::{Connection as Sqlite, OpenFlags, config::DbConfig, limits::Limit};
use stepcell_core::grant::DatabaseAccess;

use super::{
    error::Origin,
    guard::Scope,
    location::Location,
    room::Room,
    turn::{Stop, Turn},
};
use crate::{Error, statement::STATEMENT_BYTES_MAX};

/// Memory of all SQLite connections of the process, those of databases in memory included. Protects the host: a sort
/// or an aggregate takes what it needs, and none of it goes to the disk.
const HEAP_BYTES_MAX: u64 = 512 << 20;

/// Statements that a connection keeps prepared.
const STATEMENTS_KEPT: usize = 64;

/// Instructions of SQLite's machine between two looks at the clock: some ten microseconds.
const OPS_PER_LOOK: i32 = 1_000;

/// Bytes of one value, and of one row. What some functions do with two values takes as long as their lengths
/// multiplied, and nothing stops it: at this size seconds, and for `trim` with a long list of characters minutes, of
/// one thread. More belongs into blobs.
pub(super) const VALUE_BYTES_MAX: i32 = 1 << 20;

/// Bytes of a pattern of `LIKE`. To match one takes as long as text and pattern multiplied, at a stretch.
const PATTERN_BYTES_MAX: i32 = 1_000;

/// What the log is cut to after it was larger.
const LOG_BYTES_KEPT: u64 = 16 << 20;

/// How to get one.
pub(super) struct Opener {
    pub(super) location: Location,
    pub(super) role: Role,
    pub(super) origin: Arc<Origin>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Reader,
    /// Reads as well.
    Writer,
}

/// A thread's place for its connection.
pub(super) struct Slot {
    opener: Arc<Opener>,
    connection: Option<Connection>,
}

pub(super) struct Connection {
    pub(super) sqlite: Sqlite,
    pub(super) turn: Arc<Mutex<Turn>>,
    pub(super) origin: Arc<Origin>,
    /// Where a file grows; None where nothing is written to a disk.
    pub(super) room: Option<Room>,
    /// Whose statements are kept prepared: they were judged by it.
    scope: Option<Arc<Scope>>,
}

impl Slot {
    pub(super) fn new(opener: Arc<Opener>) -> Self {
        Self { opener, connection: None }
    }

    /// The connection, which works for this call from now on.
    pub(super) fn open(&mut self, stop: Stop) -> Result<&mut Connection, Error> {
        let connection = match self.connection.take() {
            Some(connection) => {
                connection.turn.lock().begin(stop);
                connection
            }
            None => self.opener.open(stop)?,
        };
        Ok(self.connection.insert(connection))
    }

    /// The connection, where there is one.
    pub(super) fn opened(&mut self) -> Option<&mut Connection> {
        self.connection.as_mut()
    }

    /// Closes it; the next call gets a new one.
    pub(super) fn discard(&mut self) {
        self.connection = None;
    }
}

impl Opener {
    fn open(&self, stop: Stop) -> Result<Connection, Error> {
        let turn = Arc::new(Mutex::new(Turn::default()));
        turn.lock().begin(stop);
        let opened = self.connect(self.role, &turn);
        let sqlite =
            opened.map_err(|error| self.origin.refused(error, &mut turn.lock(), DatabaseAccess::Read))?;
        let room = match &self.location {
            Location::File(file) if self.role == Role::Writer => file.parent().map(Room::of),
            Location::File(_) | Location::Memory => None,
        };
        Ok(Connection { sqlite, turn, origin: Arc::clone(&self.origin), room, scope: None })
    }

    fn connect(&self, role: Role, turn: &Arc<Mutex<Turn>>) -> Result<Sqlite, rusqlite::Error> {
        // One thread at a time has it, so that SQLite need not lock.
        let always = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let writes = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut sqlite = match (&self.location, role) {
            (Location::Memory, _) => Sqlite::open_in_memory_with_flags(always | writes)?,
            (Location::File(file), Role::Writer) => {
                make_folder_of(file);
                Sqlite::open_with_flags(file, always | writes)?
            }
            (Location::File(file), Role::Reader) => {
                if !file.exists() {
                    // Who reads can not make it.
                    self.connect(Role::Writer, turn)?;
                }
                Sqlite::open_with_flags(file, always | OpenFlags::SQLITE_OPEN_READ_ONLY)?
            }
        };
        hook(&mut sqlite, turn)?;
        confine(&sqlite)?;
        set_up(&sqlite, role)?;
        Ok(sqlite)
    }
}

/// A command that runs one flow has no store, which would have made the data folder. Where it can not be made,
/// opening the file says so.
fn make_folder_of(file: &Path) {
    let Some(folder) = file.parent() else { return };
    let mut builder = std::fs::DirBuilder::new();
    // As the store makes it: what lies in it is nobody else's business.
    builder.recursive(true).mode(0o700);
    if let Err(error) = builder.create(folder) {
        tracing::warn!(folder = %folder.display(), %error, "the folder of a database can not be made");
    }
}

impl Connection {
    /// From now on it works for a caller with these rights.
    pub(super) fn enter(&mut self, scope: &Arc<Scope>, writes: bool) -> Result<(), rusqlite::Error> {
        let has_same_rights =
            |known: &Arc<Scope>| known.access == scope.access && known.tables == scope.tables;
        if !self.scope.as_ref().is_some_and(has_same_rights) {
            // A text index keeps statements of its own prepared, which it would run with the rights of before.
            judge(&mut self.sqlite, &self.turn)?;
            self.sqlite.flush_prepared_statement_cache();
            self.scope = Some(Arc::clone(scope));
        }
        let room = if writes { self.room.clone() } else { None };
        self.turn.lock().enter(Arc::clone(scope), room);
        Ok(())
    }

    /// A statement of the host's own.
    pub(super) fn own(&mut self, statement: &str) -> Result<(), rusqlite::Error> {
        self.turn.lock().leave();
        self.sqlite.prepare_cached(statement)?.raw_execute().map(|_| ())
    }

    /// Undoes what is open, however long it takes.
    pub(super) fn undo(&mut self) {
        self.turn.lock().finish();
        if self.sqlite.is_autocommit() {
            return;
        }
        if let Err(error) = self.own("ROLLBACK") {
            tracing::warn!(%error, database = self.origin.database, "a transaction could not be rolled back");
        }
    }

    /// Whether nothing is open.
    pub(super) fn is_clean(&self) -> bool {
        self.sqlite.is_autocommit()
    }
}

/// Lets SQLite ask what it may do, and whether it may go on.
fn hook(sqlite: &mut Sqlite, turn: &Arc<Mutex<Turn>>) -> Result<(), rusqlite::Error> {
    judge(sqlite, turn)?;
    let clock = Arc::clone(turn);
    sqlite.progress_handler(OPS_PER_LOOK, Some(move || clock.lock().is_over()))?;
    let waiter = Arc::clone(turn);
    sqlite.busy_handler(Some(move |_| waiter.lock().wait()))
}

/// Every statement that is prepared by now is judged again before its next step, also those that a virtual table
/// keeps for itself: SQLite expires them all when it gets an authoriser.
fn judge(sqlite: &mut Sqlite, turn: &Arc<Mutex<Turn>>) -> Result<(), rusqlite::Error> {
    let judge = Arc::clone(turn);
    sqlite.authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| judge.lock().authorize(&context)))
}

/// What no statement may change.
fn confine(sqlite: &Sqlite) -> Result<(), rusqlite::Error> {
    use DbConfig as Is;
    sqlite.set_db_config(Is::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    for off in [
        Is::SQLITE_DBCONFIG_TRUSTED_SCHEMA,
        Is::SQLITE_DBCONFIG_WRITABLE_SCHEMA,
        Is::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER,
        Is::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE,
        Is::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE,
        // A misspelt name in double quotes is an error, not a string.
        Is::SQLITE_DBCONFIG_DQS_DML,
        Is::SQLITE_DBCONFIG_DQS_DDL,
    ] {
        sqlite.set_db_config(off, false)?;
    }
    let text = i32::try_from(STATEMENT_BYTES_MAX).unwrap_or(i32::MAX);
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, text),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_BYTES_MAX),
    ] {
        sqlite.set_limit(limit, most)?;
    }
    Ok(())
}

fn set_up(sqlite: &Sqlite, role: Role) -> Result<(), rusqlite::Error> {
    static HEAP: Once = Once::new();
    let mut limited = Ok(());
    HEAP.call_once(|| limited = set(sqlite, "hard_heap_limit", &HEAP_BYTES_MAX.to_string()));
    limited?;
    // What a query keeps for a while counts as memory, and has a limit there.
    set(sqlite, "temp_store", "MEMORY")?;
    match role {
        Role::Reader => set(sqlite, "query_only", "ON")?,
        Role::Writer if !sqlite.is_readonly("main")? => {
            // Readers and the writer do not wait for each other. A disk that can not do that keeps its way.
            set(sqlite, "journal_mode", "WAL")?;
            // A step that succeeded is on the disk.
            set(sqlite, "synchronous", "FULL")?;
            set(sqlite, "journal_size_limit", &LOG_BYTES_KEPT.to_string())?;
        }
        // The file is write-protected, which each statement that writes is told.
        Role::Writer => {}
    }
    sqlite.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(())
}

fn set(sqlite: &Sqlite, pragma: &str, value: &str) -> Result<(), rusqlite::Error> {
    sqlite.pragma_update(None, pragma, value)
}
