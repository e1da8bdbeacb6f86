//! Why there is no result.

use stepcell_core::grant::DatabaseAccess;

/// Which thing, why, and what to do now. Never holds a password or a parameter's value of ours; what the database
/// itself says about a row may hold a value of the row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The rule does not admit it. Nothing was changed.
    #[error("{message}")]
    Denied {
        what: Refused,
        /// How far a grant would have to go; `None` where no access admits it, or where it is about a table.
        needs: Option<DatabaseAccess>,
        message: String,
    },
    /// The call is wrong: no such database or parameter, more than one statement.
    #[error("{0}")]
    Invalid(String),
    /// The database says no: syntax, constraint, type.
    #[error("{message}")]
    Rejected {
        /// SQLSTATE in PostgreSQL, the name of the result code in SQLite.
        code: Option<String>,
        message: String,
    },
    /// Another transaction was in the way: the same may succeed later.
    #[error("{0}")]
    Conflict(String),
    /// No connection, or it broke.
    #[error("`{peer}` is not available: {reason}")]
    Unavailable {
        /// `HOST:PORT`, or the file as the config names it.
        peer: String,
        reason: String,
    },
    /// The statement was stopped.
    #[error("`{peer}` took too long: no end of {doing} within its time")]
    Timeout {
        /// As in [`Self::Unavailable`].
        peer: String,
        doing: &'static str,
    },
    /// More than the rule, or the host, allows.
    #[error("{0}")]
    Limit(String),
}

/// What a rule does not admit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// A table or a view, by the name that a grant has to hold.
    Table(String),
    /// A class of statements, by its first words: `INSERT`, `PRAGMA`, `CREATE TABLE`.
    Statement(String),
}
