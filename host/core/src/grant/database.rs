//! What may be done with a database.

use std::time::Duration;

/// How far a step may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DatabaseAccess {
    Read,
    /// Rows: insert, update, delete. Reading included.
    Write,
    /// Tables and views as well.
    Schema,
}

/// `read`, or `{access: read, tables: [orders, "cust_*"], rows: 1000, bytes: 1MiB, time: 5s}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseRule {
    pub access: DatabaseAccess,
    /// `None`: all. Only where the database is SQLite: in PostgreSQL the role's GRANTs decide.
    pub tables: Option<Vec<TablePattern>>,
    /// Rows of one result.
    pub rows: Option<u64>,
    /// Bytes of one result, as JSON.
    pub bytes: Option<u64>,
    /// Of one statement.
    pub time: Option<Duration>,
}

impl DatabaseRule {
    /// Without limits of its own.
    pub fn new(access: DatabaseAccess) -> Self {
        Self { access, tables: None, rows: None, bytes: None, time: None }
    }
}

/// A table's name, or its beginning where the last character is `*`. Compared without regard to ASCII case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePattern(pub(super) String);

impl TablePattern {
    /// Whether the pattern stands for this table.
    pub fn admits(&self, table: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => {
                table.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
            }
            None => self.0.eq_ignore_ascii_case(table),
        }
    }
}

impl std::fmt::Display for DatabaseAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Schema => "schema",
        })
    }
}

impl std::fmt::Display for TablePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
