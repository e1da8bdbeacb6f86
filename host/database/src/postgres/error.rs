//! What the server says, sorted by what a step can do about it.

use std::fmt;

use stepcell_core::grant::DatabaseAccess;
use tokio_postgres::{
    Column,
    error::{DbError, SqlState},
};

use super::{stream::MESSAGE_MAX, url::reason, value::Unreadable};
use crate::{Error, Refused};

/// Whose errors they are.
pub(super) struct Origin {
    /// The name in the config.
    pub(super) database: String,
    /// `HOST:PORT`; never with the login.
    pub(super) peer: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the database `{}` at `{}`", self.database, self.peer)
    }
}

impl Origin {
    pub(super) fn unavailable(&self, reason: impl fmt::Display) -> Error {
        Error::Unavailable { peer: self.peer(), reason: reason.to_string() }
    }

    /// The rule's time is over.
    pub(super) fn timeout(&self, doing: &'static str) -> Error {
        Error::Timeout { peer: self.peer(), doing }
    }

    fn peer(&self) -> String {
        format!("{} at {}", self.database, self.peer)
    }

    pub(super) fn invalid(&self, reason: &str) -> Error {
        Error::Invalid(reason.to_owned())
    }

    /// Tables are PostgreSQL's to grant.
    pub(super) fn tables(&self) -> Error {
        Error::Invalid(format!(
            "`tables` of a grant can not hold a statement of {self}, PostgreSQL's own rights do: take `tables` away, give \
             the database a `role` in the config, and GRANT the tables to that role"
        ))
    }

    pub(super) fn too_many_rows(&self, most: u64) -> Error {
        Error::Limit(format!("the result has more than {most} rows, the most that the grant allows"))
    }

    pub(super) fn too_many_bytes(&self, most: u64) -> Error {
        Error::Limit(format!("the result is larger than {most} bytes, the most that the grant allows"))
    }

    /// A single message was too large for the host.
    pub(super) fn flooded(&self) -> Error {
        Error::Limit(format!("{self} sent a row of more than {} MiB", MESSAGE_MAX >> 20))
    }

    pub(super) fn unreadable(&self, problem: &Unreadable, column: &Column) -> Error {
        let name = column.name();
        match problem {
            Unreadable::Unknown(kind) => self.invalid(&format!(
                "the column `{name}` has the type `{kind}`, which has no form in JSON: write `::text` behind it"
            )),
            Unreadable::Deep => Error::Limit(format!("the column `{name}` nests too deep: write `::text` behind it")),
            Unreadable::Malformed => self.stale(),
        }
    }

    /// A statement was prepared for what is not there any more.
    pub(super) fn stale(&self) -> Error {
        Error::Conflict(format!(
            "{self}: a table or type was changed while the statement ran; it may succeed now"
        ))
    }

    /// Of the library: the server's word, or that there is none.
    pub(super) fn refused(&self, error: &tokio_postgres::Error) -> Error {
        match error.as_db_error() {
            Some(said) => self.said(said),
            None => self.unavailable(reason(error)),
        }
    }

    fn denied(&self, said: &DbError) -> Error {
        let message = format!("{self}: {}", words(said));
        if *said.code() == SqlState::INSUFFICIENT_PRIVILEGE {
            return Error::Denied { what: Refused::Table(object(said).to_owned()), needs: None, message };
        }
        // `cannot execute INSERT in a read-only transaction`
        let class =
            said.message().split(' ').filter(|word| word.chars().all(|letter| letter.is_ascii_uppercase()));
        let what = Refused::Statement(class.collect::<Vec<_>>().join(" "));
        Error::Denied { what, needs: Some(DatabaseAccess::Write), message }
    }

    fn said(&self, said: &DbError) -> Error {
        let code = said.code().code();
        let message = words(said);
        match *said.code() {
            SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::LOCK_NOT_AVAILABLE => Error::Conflict(format!("{self}: {message}")),
            SqlState::QUERY_CANCELED => self.timeout("the statement"),
            SqlState::INSUFFICIENT_PRIVILEGE | SqlState::READ_ONLY_SQL_TRANSACTION => self.denied(said),
            _ if ["08", "53", "57P"].iter().any(|class| code.starts_with(class)) => self.unavailable(message),
            _ => match parameter(said) {
                Some(parameter) => self.invalid(&format!("`{parameter}` is refused: {message}")),
                None if is_unspeakable(said) => {
                    self.invalid(&format!("{message}: write `::text` behind the column"))
                }
                None if is_several(said) => self.invalid("a call holds one statement"),
                None => Error::Rejected { code: Some(code.to_owned()), message },
            },
        }
    }
}

/// The name in `permission denied for table orders`: the server sends it nowhere else. In its other languages the
/// name is the last word as well.
fn object(said: &DbError) -> &str {
    let word = said.message().rsplit([' ', '\u{a0}']).next().unwrap_or_default();
    word.trim_matches(|character| "\"'«»„“”".contains(character))
}

/// Whether a statement may have been refused only since it was prepared before a table was changed. What is refused
/// for lack of rights was understood.
pub(super) fn is_stale(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else { return false };
    let is_class = |class| code.code().starts_with(class);
    is_class("42") && *code != SqlState::INSUFFICIENT_PRIVILEGE || is_class("0A") || is_class("26")
}

/// Message and detail.
fn words(said: &DbError) -> String {
    match said.detail() {
        Some(detail) => format!("{} ({detail})", said.message()),
        None => said.message().to_owned(),
    }
}

/// `$1` where the server could not read a parameter's text.
fn parameter(said: &DbError) -> Option<&str> {
    let place = said.where_()?;
    let (_, rest) = place.split_once("portal parameter ")?;
    rest.split([' ', ':']).next()
}

fn is_several(said: &DbError) -> bool {
    *said.code() == SqlState::SYNTAX_ERROR && said.routine() == Some("exec_parse_message")
}

/// Whether a column's type can not be sent in the binary format. In no language are its words the same, but the
/// routine's name is.
fn is_unspeakable(said: &DbError) -> bool {
    *said.code() == SqlState::UNDEFINED_FUNCTION && said.routine() == Some("getTypeBinaryOutputInfo")
}
