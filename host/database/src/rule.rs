//! What one caller may do, and what it gets.

use std::time::Instant;

use stepcell_core::grant::{DatabaseAccess, TablePattern};

/// How far a call may go: already the smallest of what operator, flow and step allow.
#[derive(Debug, Clone)]
pub struct Rule {
    pub access: DatabaseAccess,
    /// Each list has to admit each table; none at all admits every table. SQLite only: in PostgreSQL the role's
    /// GRANTs decide.
    pub tables: Vec<Vec<TablePattern>>,
    /// Most rows of one result.
    pub rows: u64,
    /// Most bytes of one result, as JSON.
    pub bytes: u64,
    /// When the call has to be over, the wait for a connection included.
    pub deadline: Instant,
}

/// The largest integer up to which a 64-bit float, which is what most readers of JSON make of a number, holds every
/// one. What is past it comes back as text, from every database.
pub(crate) const EXACT_INTEGER_MAX: u64 = 1 << 53;

/// What a query gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// `[{column: value}, …]`. A column whose name is there already gets `_2`, `_3` and so on.
    pub json: String,
    /// How many rows; where the statement has no columns, how many it changed.
    pub count: u64,
}
