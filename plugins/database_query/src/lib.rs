//! `database_query`: runs one statement, whatever it is. What it may be is for the grants to say and for the database
//! to hold, so nothing here looks into the text.

use stepcell::{database, prelude::*};

#[stepcell::data]
struct Config {
    /// One SQL statement, taken as it is: values go into `params`.
    query: String,
    /// The values of `$1`, `$2` and so on.
    #[serde(default)]
    #[schemars(with = "Vec<Value>")]
    params: Vec<Box<RawValue>>,
    /// A name in the operator's config.
    #[serde(default = "main")]
    database: String,
}

#[stepcell::data]
struct Output {
    /// Column to value, one object for each row; empty for a statement that gives no rows.
    #[schemars(with = "Vec<Map<String, Value>>")]
    rows: Box<RawValue>,
    /// How many rows there are or, where the statement gives none, how many it changed.
    count: u64,
}

/// Runs one SQL statement. A statement that the database refuses fails with the code `database_rejected`.
#[stepcell::step(
    label = "Database Query",
    icon = "database",
    category = "data",
    context_fields = ["rows", "count"],
    literal(query = "params"),
    examples = "examples.json"
)]
fn database_query(config: Config) -> Result<Output, Failure> {
    let Config { query, params, database } = config;
    if query.trim().is_empty() {
        return Err(Failure::config("`config.query` is empty").code("config_invalid"));
    }
    let rows = database::query(&database, &query, &params)?;
    Ok(Output { count: rows.count(), rows: rows.into_raw()? })
}

/// The database that is there without being named.
fn main() -> String {
    "main".to_owned()
}

#[cfg(test)]
mod tests;
