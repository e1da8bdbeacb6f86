//! SQL databases that the operator named, behind one interface: SQLite in the data folder and PostgreSQL.
//!
//! A statement is sorted by its first words before anything else happens ([`statement`]): only classes that are
//! known to leave nothing behind are taken. What holds a grant after that is the database itself.
//!
//! Read in this order.

mod backend;
mod databases;
mod error;
mod named;
mod postgres;
mod rule;
mod sqlite;
mod statement;
mod transaction;

pub use databases::{Databases, MAIN};
pub use error::{Error, Refused};
pub use named::Named;
pub use rule::{Rows, Rule};
pub use transaction::Transaction;
