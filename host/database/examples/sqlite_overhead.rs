//! Prints what the front, its threads and its guard add to a one-row query of bare SQLite.
//!
//! `cargo run -p stepcell-database --example sqlite_overhead`

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement, run by hand"
)]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::json;
use stepcell_core::grant::{DatabaseAccess, TablePattern};
use stepcell_database::{Databases, MAIN, Rule};

const CALLS: usize = 20_000;
const SELECT: &str = "SELECT id, total, note FROM orders WHERE id = $1";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let data = tempfile::tempdir().unwrap();
    let databases = Databases::open(BTreeMap::new(), data.path(), runtime.handle()).unwrap();
    runtime.block_on(fill(&databases));
    // The first round warms up.
    for round in 0..4 {
        let bare = median(bare(&data.path().join("main.db")));
        let ours = median(runtime.block_on(ours(&databases)));
        let ratio = ours.as_secs_f64() / bare.as_secs_f64();
        if round > 0 {
            println!("one row: bare {bare:?}, ours {ours:?} (p50), {ratio:.1} times, {:?} more", ours - bare);
        }
    }
}

async fn fill(databases: &Databases) {
    let create = "CREATE TABLE orders (id INTEGER PRIMARY KEY, total REAL, note TEXT)";
    databases.execute(MAIN, create, &[], &rule(DatabaseAccess::Schema)).await.unwrap();
    let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) \
                  INSERT INTO orders SELECT i, i * 1.5, 'note ' || i FROM n";
    databases.execute(MAIN, insert, &[], &rule(DatabaseAccess::Write)).await.unwrap();
}

fn bare(file: &std::path::Path) -> Vec<Duration> {
    let sqlite = rusqlite::Connection::open(file).unwrap();
    let call = |id: usize| {
        let started = Instant::now();
        let mut select = sqlite.prepare_cached(SELECT).unwrap();
        let row = select.query_row([id as i64], |row| {
            let (id, total, note): (i64, f64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(json!([{ "id": id, "total": total, "note": note }]).to_string())
        });
        assert!(!row.unwrap().is_empty());
        started.elapsed()
    };
    (0..CALLS).map(|nth| call(nth % 1000 + 1)).collect()
}

async fn ours(databases: &Databases) -> Vec<Duration> {
    let mut times = Vec::with_capacity(CALLS);
    for nth in 0..CALLS {
        let (params, rule) = ([json!(nth % 1000 + 1)], rule(DatabaseAccess::Read));
        let started = Instant::now();
        let rows = databases.query(MAIN, SELECT, &params, &rule).await.unwrap();
        times.push(started.elapsed());
        assert_eq!(rows.count, 1);
    }
    times
}

fn rule(access: DatabaseAccess) -> Rule {
    let tables = vec![vec![TablePattern::parse("o*").unwrap()]];
    Rule { access, tables, rows: 1000, bytes: 1 << 20, deadline: Instant::now() + Duration::from_secs(60) }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
