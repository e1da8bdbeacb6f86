//! Against real SQLite, through the crate's own front.

mod calls;
mod guard;
mod sharing;
mod transactions;
mod types;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stepcell_core::grant::{
    DatabaseAccess::{self, Read, Schema, Write},
    TablePattern,
};
use tempfile::TempDir;

use crate::{Databases, Error, Named, Refused, Rows, Rule};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// A data folder with databases, some of them in it.
struct Host {
    databases: Databases,
    data: TempDir,
}

impl Host {
    fn start() -> Self {
        Self::with(BTreeMap::new())
    }

    fn with(mut named: BTreeMap<String, Named>) -> Self {
        let data = TempDir::new().unwrap();
        named.insert("memory".to_owned(), Named::new("sqlite::memory:"));
        let databases = Databases::open(named, data.path(), &tokio::runtime::Handle::current()).unwrap();
        Self { databases, data }
    }

    /// With two tables, a view over both, and a row in each.
    async fn shop() -> Self {
        let host = Self::start();
        for statement in [
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, total REAL)",
            "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
            "CREATE VIEW names AS SELECT name FROM customers",
            "INSERT INTO orders VALUES (1, 9.5)",
            "INSERT INTO customers VALUES (1, 'Ada')",
        ] {
            host.execute(statement, json!([]), &rule(Schema)).await.unwrap();
        }
        host
    }

    async fn query(&self, statement: &str, params: Value, rule: &Rule) -> Result<Rows, Error> {
        self.databases.query("main", statement, params.as_array().unwrap(), rule).await
    }

    async fn execute(&self, statement: &str, params: Value, rule: &Rule) -> Result<u64, Error> {
        self.databases.execute("main", statement, params.as_array().unwrap(), rule).await
    }

    /// The rows as JSON.
    async fn rows(&self, statement: &str, params: Value) -> Value {
        let rows = self.query(statement, params, &rule(Schema)).await;
        let rows = rows.unwrap_or_else(|error| panic!("{statement}: {error}"));
        let json: Value = serde_json::from_str(&rows.json).unwrap();
        assert_eq!(json.as_array().unwrap().len() as u64, rows.count);
        json
    }
}

fn rule(access: DatabaseAccess) -> Rule {
    let deadline = Instant::now() + LONG;
    Rule { access, tables: Vec::new(), rows: 1_000_000, bytes: 16 << 20, deadline }
}

fn tables(access: DatabaseAccess, tables: &[&str]) -> Rule {
    let tables = tables.iter().map(|table| TablePattern::parse(table).unwrap()).collect();
    Rule { tables: vec![tables], ..rule(access) }
}

fn soon(access: DatabaseAccess) -> Rule {
    Rule { deadline: Instant::now() + Duration::from_millis(200), ..rule(access) }
}

const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
