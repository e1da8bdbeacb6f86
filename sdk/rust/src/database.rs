//! SQL databases that the operator named.
//!
//! ```no_run
//! # use stepcell::prelude::*;
//! # fn main() -> Result<(), Failure> {
//! use stepcell::database;
//!
//! #[stepcell::data(open)]
//! struct Order {
//!     id: i64,
//!     total: f64,
//! }
//!
//! let large: Vec<Order> =
//!     database::query("main", "SELECT id, total FROM orders WHERE total > $1", &[100])?.rows()?;
//! # Ok(())
//! # }
//! ```
//!
//! A call holds one statement. Values go into `$1`, `$2`, …, never into the text. Which database, which tables and
//! how much is decided by the operator's grants.

#[cfg(not(target_family = "wasm"))]
mod mock;
mod rows;
mod transaction;
#[cfg(target_family = "wasm")]
mod wire;

use serde::Serialize;

#[cfg(not(target_family = "wasm"))]
pub use crate::mocking::Mock;
#[cfg(not(target_family = "wasm"))]
pub use mock::{Call, mock};
pub use rows::Rows;
pub use transaction::Transaction;

use crate::{
    Failure,
    capability::{self, Why},
};
#[cfg(not(target_family = "wasm"))]
use mock as host;
#[cfg(target_family = "wasm")]
use wire as host;

/// Runs one statement and gives its rows. A statement that gives none, such as an `INSERT` without `RETURNING`, has
/// an empty list of them and counts those that it changed. `params` is a list, a tuple or `()`.
///
/// Fails with the code `database_conflict` where another transaction was in the way, and with `database_rejected`
/// and the database's own code under `code` in the details where the statement is wrong.
pub fn query(database: &str, statement: &str, params: &(impl Serialize + ?Sized)) -> Result<Rows, Failure> {
    host::query(database, statement, &list(params)?)
}

/// Runs one statement and tells how many rows it changed. Otherwise as [`query`].
pub fn execute(database: &str, statement: &str, params: &(impl Serialize + ?Sized)) -> Result<u64, Failure> {
    host::execute(database, statement, &list(params)?)
}

/// The parameters as JSON text.
fn list(params: &(impl Serialize + ?Sized)) -> Result<String, Failure> {
    let invalid = |message: String| capability::failure("database", Why::Invalid, message);
    let text = serde_json::to_string(params)
        .map_err(|error| invalid(format!("the parameters are no JSON: {error}")))?;
    match text.as_str() {
        "null" => Ok("[]".to_owned()),
        list if list.starts_with('[') => Ok(text),
        _ => Err(invalid("the parameters are no list: `$1` is its first value".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(params: impl Serialize, sent: &str) {
        assert_eq!(list(&params).unwrap(), sent);
    }

    #[test]
    fn params_are_lists() {
        check((), "[]");
        check([1, 2], "[1,2]");
        check((1, "a", None::<u8>), r#"[1,"a",null]"#);
        check(json!([{ "a": [1] }]), r#"[{"a":[1]}]"#);
    }

    #[test]
    fn anything_else_is_the_callers_fault() {
        for params in [json!({ "a": 1 }), json!("a"), json!(1), Value::Bool(true)] {
            let failure = list(&params).unwrap_err();
            assert_eq!(failure.code.as_deref(), Some("database_invalid"), "{params}");
        }
    }
}
