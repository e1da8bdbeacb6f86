//! Statements that count together or not at all, in both databases.

use serde_json::{Value, json};
use stepcell_tests::{Host, Postgres};

const TYPES: [&str; 2] = ["calls_database", "hoards_transactions"];

/// A host whose guests may do everything in `main` (SQLite) and in `shop` (PostgreSQL), with a table `t` in each.
async fn host(postgres: &Postgres) -> Host {
    postgres.run("CREATE TABLE t (n INTEGER PRIMARY KEY); GRANT ALL ON t TO flows").await;
    let grants =
        TYPES.map(|kind| format!("{kind}: {{ databases: {{ main: schema, shop: write }} }}")).join(", ");
    let builder = TYPES.into_iter().fold(Host::builder(), stepcell_tests::HostBuilder::guest);
    let host = builder
        .config(&format!("databases: {{ shop: {{ url: \"{}\" }} }}", postgres.url("flows")))
        .config(&format!("grants: {{ {grants} }}"))
        .start()
        .await;
    let table = execute("CREATE TABLE t (n INTEGER PRIMARY KEY)");
    let step = call(&host, "main", &[table], None).await;
    assert_eq!(step["status"], "succeeded", "{step:#}");
    host
}

fn execute(statement: &str) -> Value {
    json!({"kind": "execute", "statement": statement})
}

async fn call(host: &Host, database: &str, calls: &[Value], end: Option<&str>) -> Value {
    let mut config = json!({"database": database, "calls": calls});
    if let Some(end) = end {
        config["transaction"] = json!(end);
    }
    host.step("calls_database", config).await
}

async fn count(host: &Host, database: &str) -> Value {
    let step =
        call(host, database, &[json!({"kind": "query", "statement": "SELECT count(*) AS n FROM t"})], None)
            .await;
    step["output"][0]["rows"][0]["n"].clone()
}

#[tokio::test]
async fn they_count_where_they_are_committed_and_not_otherwise() {
    let postgres = Postgres::start();
    let host = host(&postgres).await;
    let both = [execute("INSERT INTO t VALUES (1)"), execute("INSERT INTO t VALUES (2)")];
    for database in ["main", "shop"] {
        for (end, left, status) in [
            ("drop", 0, "succeeded"),
            ("fail", 0, "failed"),
            ("trap", 0, "failed"),
            ("commit", 2, "succeeded"),
        ] {
            let step = call(&host, database, &both, Some(end)).await;
            assert_eq!(step["status"], status, "{database} {end}: {step:#}");
            assert_eq!(count(&host, database).await, left, "{database} {end}");
        }
    }
    postgres.until_idle("flows").await;
}

#[tokio::test]
async fn a_failed_statement_takes_the_whole_with_it() {
    let postgres = Postgres::start();
    let host = host(&postgres).await;
    for database in ["main", "shop"] {
        let calls = [execute("INSERT INTO t VALUES (1)"), execute("INSERT INTO t VALUES (1)")];
        let step = call(&host, database, &calls, Some("fail")).await;
        assert_eq!(step["status"], "failed", "{database}: {step:#}");
        assert_eq!(count(&host, database).await, 0, "{database}");
    }
}

#[tokio::test]
async fn who_hoards_them_gets_no_more_and_others_go_on() {
    let postgres = Postgres::start();
    let host = host(&postgres).await;
    for database in ["main", "shop"] {
        let step = host.step("hoards_transactions", json!({"database": database, "wanted": 1_000})).await;
        assert_eq!(step["status"], "succeeded", "{database}: {step:#}");
        assert_eq!(step["output"]["held"], 1, "{database}: {step:#}");
        assert_eq!(step["output"]["refusal"]["code"], "database_limit", "{database}: {step:#}");
        assert_eq!(count(&host, database).await, 0, "{database}");
    }
    postgres.until_idle("flows").await;
}
