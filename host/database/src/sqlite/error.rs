//! What SQLite says, sorted by what a step can do about it.

use std::fmt;

use rusqlite::ffi;
use stepcell_core::grant::DatabaseAccess;

use super::{connection::VALUE_BYTES_MAX, turn::Turn};
use crate::{Error, Refused};

/// Whose errors they are.
#[derive(Debug)]
pub(super) struct Origin {
    /// The name in the config.
    pub(super) database: String,
    /// The file as the config names it.
    pub(super) peer: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the database `{}`", self.database)
    }
}

impl Origin {
    pub(super) fn unavailable(&self, reason: &str) -> Error {
        Error::Unavailable { peer: self.peer.clone(), reason: reason.to_owned() }
    }

    pub(super) fn timeout(&self, doing: &'static str) -> Error {
        Error::Timeout { peer: self.peer.clone(), doing }
    }

    pub(super) fn disk_full(&self) -> Error {
        self.unavailable("the disk is almost full")
    }

    /// Of the library: what it says, and what our hooks know of it.
    pub(super) fn refused(&self, error: rusqlite::Error, turn: &mut Turn, access: DatabaseAccess) -> Error {
        if let Some(refusal) = turn.take_refusal() {
            return refusal.into_error(self, access);
        }
        let (code, message) = match error {
            rusqlite::Error::SqliteFailure(code, message) => (code, message),
            rusqlite::Error::SqlInputError { error, msg, .. } => (error, Some(msg)),
            rusqlite::Error::MultipleStatement => {
                return Error::Invalid("there is more than one statement: a call takes one".to_owned());
            }
            error => return Error::Rejected { code: None, message: error.to_string() },
        };
        let message = message.unwrap_or_else(|| ffi::code_to_str(code.extended_code).to_owned());
        match code.extended_code & 0xff {
            ffi::SQLITE_INTERRUPT if turn.is_disk_full() => self.disk_full(),
            ffi::SQLITE_INTERRUPT => self.timeout("the statement"),
            ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => {
                Error::Conflict(format!("{self} is being written to by another process: {message}"))
            }
            ffi::SQLITE_NOMEM => Error::Limit(format!("{self} has no memory left for this statement")),
            ffi::SQLITE_TOOBIG => Error::Limit(format!(
                "{self} takes and gives no value, and no row, of more than {VALUE_BYTES_MAX} bytes"
            )),
            ffi::SQLITE_READONLY if access == DatabaseAccess::Read => {
                let message = format!("the access to `{}` is `read`: {message}", self.database);
                let what = Refused::Statement(message.clone());
                Error::Denied { what, needs: Some(DatabaseAccess::Write), message }
            }
            ffi::SQLITE_FULL
            | ffi::SQLITE_IOERR
            | ffi::SQLITE_CANTOPEN
            | ffi::SQLITE_CORRUPT
            | ffi::SQLITE_NOTADB
            | ffi::SQLITE_READONLY
            | ffi::SQLITE_PERM
            | ffi::SQLITE_PROTOCOL
            | ffi::SQLITE_NOLFS => {
                // SQLite's words may hold the path, which is nobody's business but the operator's.
                tracing::warn!(database = self.database, message, "a database is not available");
                self.unavailable(ffi::code_to_str(code.extended_code))
            }
            _ => Error::Rejected { code: Some(name(code.extended_code)), message },
        }
    }
}

/// As SQLite's own headers name it.
fn name(extended: i32) -> String {
    let constraint = match extended {
        ffi::SQLITE_CONSTRAINT_CHECK => "_CHECK",
        ffi::SQLITE_CONSTRAINT_COMMITHOOK => "_COMMITHOOK",
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "_FOREIGNKEY",
        ffi::SQLITE_CONSTRAINT_FUNCTION => "_FUNCTION",
        ffi::SQLITE_CONSTRAINT_NOTNULL => "_NOTNULL",
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY => "_PRIMARYKEY",
        ffi::SQLITE_CONSTRAINT_TRIGGER => "_TRIGGER",
        ffi::SQLITE_CONSTRAINT_UNIQUE => "_UNIQUE",
        ffi::SQLITE_CONSTRAINT_VTAB => "_VTAB",
        ffi::SQLITE_CONSTRAINT_ROWID => "_ROWID",
        ffi::SQLITE_CONSTRAINT_PINNED => "_PINNED",
        ffi::SQLITE_CONSTRAINT_DATATYPE => "_DATATYPE",
        _ => "",
    };
    let primary = match extended & 0xff {
        ffi::SQLITE_CONSTRAINT => "SQLITE_CONSTRAINT",
        ffi::SQLITE_MISMATCH => "SQLITE_MISMATCH",
        ffi::SQLITE_RANGE => "SQLITE_RANGE",
        ffi::SQLITE_SCHEMA => "SQLITE_SCHEMA",
        ffi::SQLITE_ABORT => "SQLITE_ABORT",
        ffi::SQLITE_AUTH => "SQLITE_AUTH",
        ffi::SQLITE_MISUSE => "SQLITE_MISUSE",
        ffi::SQLITE_ERROR => "SQLITE_ERROR",
        other => return format!("SQLITE_{other}"),
    };
    format!("{primary}{constraint}")
}
