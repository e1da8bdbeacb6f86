//! The database that is there without being named.

use serde_json::{Value, json};
use stepcell_tests::{Host, HostBuilder};

fn builder(access: &str) -> HostBuilder {
    Host::builder().config(&format!("grants: {{ database_query: {{ databases: {{ main: {access} }} }} }}"))
}

async fn query(host: &Host, text: &str, params: Value) -> Value {
    host.step("database_query", json!({"query": text, "params": params})).await
}

/// The statement's output.
async fn done(host: &Host, text: &str, params: Value) -> Value {
    let step = query(host, text, params).await;
    assert_eq!(step["status"], "succeeded", "{text}: {step:#}");
    step["output"].clone()
}

#[tokio::test]
async fn rows_are_written_and_read_and_survive_a_kill() {
    let mut host = builder("schema").start().await;
    done(
        &host,
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, total REAL, note TEXT, open BOOLEAN)",
        json!([]),
    )
    .await;
    let insert = "INSERT INTO orders (total, note, open) VALUES ($1, $2, $3)";
    let output = done(&host, insert, json!([9.5, "'; DROP TABLE orders; --", true])).await;
    assert_eq!(output, json!({"rows": [], "count": 1}));
    done(&host, insert, json!([1, null, false])).await;
    host.restart().await;
    let output =
        done(&host, "SELECT id, total, note FROM orders WHERE total > $1 ORDER BY id", json!([0])).await;
    let rows = json!([
        {"id": 1, "total": 9.5, "note": "'; DROP TABLE orders; --"},
        {"id": 2, "total": 1.0, "note": null},
    ]);
    assert_eq!(output, json!({"rows": rows, "count": 2}));
    assert!(host.folder().join("stepcell-data/main.db").is_file(), "it lies in the data folder");
}

#[tokio::test]
async fn values_come_back_as_they_are() {
    let host = builder("read").start().await;
    for (sql, expected) in [
        ("SELECT 9007199254740993 AS v", json!("9007199254740993")),
        ("SELECT -0.5 AS v", json!(-0.5)),
        ("SELECT 'a' || char(0) || 'b' AS v", json!("a\0b")),
        ("SELECT x'00ff' AS v", json!("AP8=")),
        ("SELECT NULL AS v", json!(null)),
        ("SELECT 1e999 AS v", json!("Infinity")),
    ] {
        let output = done(&host, sql, json!([])).await;
        assert_eq!(output["rows"], json!([{ "v": expected }]), "{sql}");
    }
    let twice = done(&host, "SELECT 1 AS a, 2 AS a", json!([])).await;
    assert_eq!(twice["rows"], json!([{"a": 1, "a_2": 2}]));
}

#[tokio::test]
async fn each_grant_goes_as_far_as_its_word() {
    let create = "CREATE TABLE t (n INTEGER)";
    let statements = [
        ("SELECT 1", 0),
        ("INSERT INTO kept VALUES (2)", 1),
        ("UPDATE kept SET n = 3", 1),
        ("DELETE FROM kept WHERE n = 99", 1),
        (create, 2),
        ("CREATE INDEX i ON kept (n)", 2),
        ("WITH x AS (SELECT 1) INSERT INTO kept SELECT * FROM x", 1),
        ("ATTACH DATABASE 'other.db' AS other", 9),
        ("PRAGMA journal_mode = DELETE", 9),
        ("VACUUM INTO 'copy.db'", 9),
        ("SELECT load_extension('x')", 9),
        ("BEGIN", 9),
        ("DROP TABLE kept", 2),
    ];
    for (reach, access) in ["read", "write", "schema"].into_iter().enumerate() {
        let mut host = builder("schema").start().await;
        done(&host, "CREATE TABLE kept (n INTEGER)", json!([])).await;
        host.paste(&format!("grants: {{ database_query: {{ databases: {{ main: {access} }} }} }}")).await;
        for (statement, needed) in statements {
            let step = query(&host, statement, json!([])).await;
            let allowed = needed <= reach;
            assert_eq!(step["status"] == "succeeded", allowed, "{access}: {statement}: {step:#}");
            if !allowed {
                let fault = step["error"]["fault"].as_str().unwrap();
                assert!(["denied", "failed", "config"].contains(&fault), "{access}: {statement}: {step:#}");
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_names_the_table_or_the_class() {
    let mut host = builder("schema").start().await;
    for table in ["orders", "users", "cust_1"] {
        done(&host, &format!("CREATE TABLE {table} (n INTEGER)"), json!([])).await;
    }
    let narrower = "{ access: write, tables: [orders, \"cust_*\"] }";
    host.paste(&format!("grants: {{ database_query: {{ databases: {{ main: {narrower} }} }} }}")).await;
    done(&host, "INSERT INTO cust_1 SELECT n FROM orders", json!([])).await;
    for (statement, named) in [
        ("SELECT * FROM sqlite_master", "sqlite_master"),
        ("DELETE FROM users", "users"),
        ("DROP TABLE orders", "schema"),
    ] {
        let step = query(&host, statement, json!([])).await;
        assert_eq!(step["error"]["code"], "database_denied", "{statement}: {step:#}");
        let text = format!("{} {}", step["error"]["message"], step["error"]["hint"]);
        assert!(text.contains(named), "{statement}: {text}");
    }
}

#[tokio::test]
async fn mistakes_are_the_callers() {
    let host = builder("schema").start().await;
    for (text, params, code) in [
        ("SELECT FROM WHERE", json!([]), "database_rejected"),
        ("SELECT * FROM nowhere", json!([]), "database_rejected"),
        ("SELECT 1; SELECT 2", json!([]), "database_invalid"),
        ("SELECT $1, $2", json!([1]), "database_invalid"),
        ("SELECT $1", json!([1, 2]), "database_invalid"),
    ] {
        let step = query(&host, text, params).await;
        assert_eq!(step["error"]["code"], code, "{text}: {step:#}");
        assert_eq!(step["error"]["retryable"], false, "{text}: {step:#}");
    }
    let step = host.step("database_query", json!({"query": "SELECT 1", "database": "elsewhere"})).await;
    assert_eq!(step["error"]["fault"], "denied", "{step:#}");
    assert!(step["error"]["message"].as_str().unwrap().contains("elsewhere"), "{step:#}");
}

#[tokio::test]
async fn a_template_in_a_statement_is_refused_and_params_are_named() {
    let host = builder("read").start().await;
    let (status, problem) = host
        .post_yaml(
            "/runs",
            "name: t\nsteps: [{ id: a, type: database_query, config: { query: \"SELECT '{{ input.x }}'\" } }]",
        )
        .await;
    assert_eq!(status, 422, "{problem:#}");
    let error = &problem["errors"][0];
    assert!(format!("{} {}", error["message"], error["hint"]).contains("params"), "{problem:#}");
}

#[tokio::test]
async fn a_statement_without_end_is_stopped_and_another_goes_on() {
    let host = builder("{ access: read, time: 300ms }").start().await;
    let endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t";
    let step = query(&host, endless, json!([])).await;
    assert_eq!(step["error"]["code"], "database_timeout", "{step:#}");
    assert!(step["error"]["message"].as_str().unwrap().contains("main"), "{step:#}");
    assert_eq!(done(&host, "SELECT 1 AS n", json!([])).await["count"], 1);
}

#[tokio::test]
async fn a_result_has_a_most() {
    let host = builder("{ access: read, rows: 10, bytes: 2KiB }").start().await;
    let rows = |n: u32| {
        format!(
            "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < {n}) SELECT n FROM t"
        )
    };
    assert_eq!(done(&host, &rows(10), json!([])).await["count"], 10);
    for text in [rows(11).as_str(), "SELECT hex(zeroblob(4000)) AS x"] {
        let step = query(&host, text, json!([])).await;
        assert_eq!(step["error"]["code"], "database_limit", "{text}: {step:#}");
    }
}

#[tokio::test]
async fn a_cancelled_statement_stops() {
    let host = builder("schema").start().await;
    done(&host, "CREATE TABLE t (n INTEGER)", json!([])).await;
    let run = host
        .submit(
            r#"
name: long
steps:
  - id: a
    type: database_query
    config: { query: "INSERT INTO t WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t" }
"#,
        )
        .await;
    host.until_step(&run, "a", "running").await;
    host.post(&format!("/runs/{run}/cancel"), &json!({})).await;
    // The writer is free again, and nothing of it counts.
    done(&host, "INSERT INTO t VALUES (1)", json!([])).await;
    assert_eq!(done(&host, "SELECT count(*) AS n FROM t", json!([])).await["rows"], json!([{"n": 1}]));
}
