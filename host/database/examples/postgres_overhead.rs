//! What a one-row query costs more through `Databases` than with a plain client and a prepared statement, against a
//! server of its own: `cargo run -p stepcell-database --example postgres_overhead`. Calls of both alternate, so that
//! whatever else the machine does meets both.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "it prints figures, and fails where there are none"
)]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::json;
use stepcell_core::grant::DatabaseAccess;
use stepcell_database::{Databases, Named, Rule};
use stepcell_tests::Postgres;
use tokio::runtime::Handle;

const WARM_UP: usize = 500;
const CALLS: usize = 5_000;
/// What the median may be more.
const ADDED_MAX: Duration = Duration::from_micros(200);

const SELECT: &str = "SELECT id, name, price FROM items WHERE id = $1";
const UPDATE: &str = "UPDATE items SET price = price + 1 WHERE id = $1";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let server = Postgres::start();
    server
        .run(
            "CREATE TABLE items (id int PRIMARY KEY, name text, price numeric(10, 2));
             INSERT INTO items SELECT n, 'item ' || n, n FROM generate_series(1, 1000) n;
             GRANT SELECT, UPDATE ON items TO flows_ro, flows;",
        )
        .await;
    let mut named = Named::new(format!("{}?sslmode=disable", server.url("flows")));
    named.role = Some("flows_ro".to_owned());
    let data = tempfile::tempdir().expect("a folder");
    let databases =
        Databases::open(BTreeMap::from([("shop".to_owned(), named)]), data.path(), &Handle::current())
            .expect("the config is right");
    for (what, statement, access) in
        [("read", SELECT, DatabaseAccess::Read), ("write", UPDATE, DatabaseAccess::Write)]
    {
        compare(&server, &databases, what, statement, access).await;
    }
}

async fn compare(
    server: &Postgres,
    databases: &Databases,
    what: &str,
    statement: &str,
    access: DatabaseAccess,
) {
    let client = server.connect("flows").await;
    let prepared = client.prepare(statement).await.expect("the statement is right");
    let (mut plain, mut ours) = (Vec::new(), Vec::new());
    for n in 0..WARM_UP + CALLS {
        let id = i32::try_from(n % 1000 + 1).expect("it is small");
        let started = Instant::now();
        client.query(&prepared, &[&id]).await.expect("the server answers");
        plain.push(started.elapsed());
        let deadline = Instant::now() + Duration::from_secs(10);
        let rule = Rule { access, tables: Vec::new(), rows: 1_000, bytes: 1 << 20, deadline };
        let started = Instant::now();
        databases.query("shop", statement, &[json!(id)], &rule).await.expect("the server answers");
        ours.push(started.elapsed());
    }
    let (plain, ours) = (median(plain), median(ours));
    let (added, ratio) = (ours.saturating_sub(plain), ours.as_secs_f64() / plain.as_secs_f64());
    println!("{what}: plain {plain:?}, ours {ours:?}, added {added:?}, ratio {ratio:.2}");
    assert!(added <= ADDED_MAX, "a {what} adds more than {ADDED_MAX:?}");
}

fn median(times: Vec<Duration>) -> Duration {
    let mut times: Vec<_> = times.into_iter().skip(WARM_UP).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().expect("there are calls")
}
