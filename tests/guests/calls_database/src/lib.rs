//! Does with a database what it is told, alone or in a transaction that ends as it is told.

use stepcell::{
    database::{self, Rows, Transaction},
    prelude::*,
};

#[stepcell::data]
struct Config {
    database: String,
    calls: Vec<Call>,
    /// In a transaction, with this end.
    #[serde(default)]
    transaction: Option<End>,
}

#[stepcell::data]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Call {
    Query {
        statement: String,
        #[serde(default)]
        params: Vec<Value>,
    },
    Execute {
        statement: String,
        #[serde(default)]
        params: Vec<Value>,
    },
}

#[stepcell::data]
#[serde(rename_all = "snake_case")]
enum End {
    Commit,
    /// The transaction is dropped, and the step succeeds.
    Drop,
    /// The transaction is left behind by a step that fails.
    Fail,
    /// The transaction is left behind by a step that traps.
    Trap,
}

/// Gives `{rows, count}` of each query and `{changed}` of each other statement.
#[stepcell::step(label = "Calls a database", icon = "database", category = "custom")]
fn calls_database(config: Config) -> Result<Vec<Value>, Failure> {
    let Config { database, calls, transaction } = config;
    let Some(end) = transaction else {
        return calls.into_iter().map(|call| alone(&database, call)).collect();
    };
    let transaction = Transaction::begin(&database)?;
    let results = calls.into_iter().map(|call| within(&transaction, call)).collect();
    match end {
        End::Commit => transaction.commit()?,
        End::Drop => drop(transaction),
        End::Fail => return Err(Failure::failed("it was asked to fail").code("asked")),
        #[expect(clippy::panic, reason = "that is what it is for")]
        End::Trap => panic!("it was asked to trap"),
    }
    results
}

fn alone(database: &str, call: Call) -> Result<Value, Failure> {
    match call {
        Call::Query { statement, params } => found(database::query(database, &statement, &params)?),
        Call::Execute { statement, params } => Ok(changed(database::execute(database, &statement, &params)?)),
    }
}

fn within(transaction: &Transaction, call: Call) -> Result<Value, Failure> {
    match call {
        Call::Query { statement, params } => found(transaction.query(&statement, &params)?),
        Call::Execute { statement, params } => Ok(changed(transaction.execute(&statement, &params)?)),
    }
}

fn found(rows: Rows) -> Result<Value, Failure> {
    Ok(json!({ "rows": rows.rows::<Value>()?, "count": rows.count() }))
}

fn changed(count: u64) -> Value {
    json!({ "changed": count })
}
