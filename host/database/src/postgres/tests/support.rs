//! A server, and what the config may say of it.

use std::{
    collections::BTreeMap,
    future::Future,
    time::{Duration, Instant},
};

use serde_json::Value;
use stepcell_core::grant::DatabaseAccess;
use stepcell_tests::Postgres as Server;
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::{Databases, Error, Named, Rows, Rule};

/// A server that the user `flows` reaches as the role `flows_ro`, under the name `shop`.
pub(super) struct Bed {
    pub(super) server: Server,
    pub(super) databases: Databases,
    /// For SQLite, which is always there.
    _data: TempDir,
}

impl Bed {
    pub(super) async fn start() -> Self {
        let server = Server::start();
        let url = server.url("flows");
        Self::of(server, Named { role: Some("flows_ro".to_owned()), ..Named::new(url) })
    }

    /// With tables: `orders` may be read and written by the role, `secrets` by nobody.
    pub(super) async fn with_tables() -> Self {
        let bed = Self::start().await;
        bed.server
            .run(
                "CREATE TABLE orders (id int PRIMARY KEY, total int NOT NULL DEFAULT 0);
                 INSERT INTO orders VALUES (1, 10), (2, 20);
                 CREATE TABLE secrets (value text);
                 INSERT INTO secrets VALUES ('hidden');
                 GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO flows_ro;",
            )
            .await;
        bed
    }

    /// With a config of its own.
    pub(super) fn of(server: Server, named: Named) -> Self {
        let data = tempfile::tempdir().unwrap();
        let databases = databases(named, &data).unwrap();
        Self { server, databases, _data: data }
    }

    /// What the grant `read` gets.
    pub(super) async fn query(&self, statement: &str) -> Result<Value, Error> {
        self.query_with(statement, &[]).await
    }

    pub(super) async fn query_with(&self, statement: &str, params: &[Value]) -> Result<Value, Error> {
        let rows = self.databases.query("shop", statement, params, &rule(DatabaseAccess::Read)).await?;
        Ok(value(&rows))
    }

    pub(super) async fn execute(&self, statement: &str, access: DatabaseAccess) -> Result<u64, Error> {
        self.databases.execute("shop", statement, &[], &rule(access)).await
    }

    /// How many orders there are, by the superuser's word.
    pub(super) async fn orders(&self) -> i64 {
        self.server.count("SELECT count(*) FROM orders").await
    }
}

pub(super) fn databases(named: Named, data: &TempDir) -> Result<Databases, Error> {
    Databases::open(BTreeMap::from([("shop".to_owned(), named)]), data.path(), &Handle::current())
}

/// With plenty of everything.
pub(super) fn rule(access: DatabaseAccess) -> Rule {
    Rule { access, tables: Vec::new(), rows: 10_000, bytes: 10 << 20, deadline: soon() }
}

/// A deadline that a test never comes near.
pub(super) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// With little time.
pub(super) fn brief(access: DatabaseAccess, time: Duration) -> Rule {
    Rule { deadline: Instant::now() + time, ..rule(access) }
}

pub(super) fn value(rows: &Rows) -> Value {
    let value: Value = serde_json::from_str(&rows.json).unwrap();
    assert_eq!(value.as_array().unwrap().len() as u64, rows.count);
    value
}

/// How long it took, and what came.
pub(super) async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let started = Instant::now();
    let done = work.await;
    (started.elapsed(), done)
}
