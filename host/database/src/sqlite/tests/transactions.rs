use super::*;

async fn count(host: &Host) -> u64 {
    host.rows("SELECT count(*) AS n FROM orders", json!([])).await[0]["n"].as_u64().unwrap()
}

fn deadline() -> Instant {
    Instant::now() + LONG
}

#[tokio::test]
async fn statements_count_together_after_the_commit() {
    let host = Host::shop().await;
    let mut transaction = host.databases.begin("main", &rule(Write)).await.unwrap();
    for id in 2..5 {
        let changed =
            transaction.execute("INSERT INTO orders VALUES ($1, 1)", &[json!(id)], deadline()).await;
        assert_eq!(changed, Ok(1));
    }
    let seen = transaction.query("SELECT count(*) AS n FROM orders", &[], deadline()).await.unwrap();
    assert_eq!(seen.json, r#"[{"n":4}]"#);
    // Others read on meanwhile.
    assert_eq!(count(&host).await, 1);
    transaction.commit(deadline()).await.unwrap();
    assert_eq!(count(&host).await, 4);
}

#[tokio::test]
async fn a_dropped_transaction_did_nothing() {
    for name in ["main", "memory"] {
        let host = Host::start();
        let databases = &host.databases;
        databases.execute(name, "CREATE TABLE t (a)", &[], &rule(Schema)).await.unwrap();
        let mut transaction = databases.begin(name, &rule(Write)).await.unwrap();
        transaction.execute("INSERT INTO t VALUES (1)", &[], deadline()).await.unwrap();
        drop(transaction);
        databases.execute(name, "INSERT INTO t VALUES (2)", &[], &rule(Write)).await.unwrap();
        let rows = databases.query(name, "SELECT a FROM t", &[], &rule(Read)).await.unwrap();
        assert_eq!(rows.json, r#"[{"a":2}]"#, "{name}");
    }
}

#[tokio::test]
async fn a_failed_statement_ends_the_transaction() {
    let host = Host::shop().await;
    let mut transaction = host.databases.begin("main", &rule(Write)).await.unwrap();
    transaction.execute("INSERT INTO orders VALUES (2, 1)", &[], deadline()).await.unwrap();
    let again = transaction.execute("INSERT INTO orders VALUES (2, 1)", &[], deadline()).await;
    assert!(matches!(again, Err(Error::Rejected { .. })), "{again:?}");
    let after = transaction.query("SELECT 1", &[], deadline()).await;
    assert!(
        matches!(after, Err(Error::Rejected { code: Some(code), .. }) if code == "SQLITE_ABORT_ROLLBACK")
    );
    let commit = transaction.commit(deadline()).await;
    assert!(matches!(commit, Err(Error::Rejected { .. })), "{commit:?}");
    assert_eq!(count(&host).await, 1);
}

#[tokio::test]
async fn a_statement_that_is_not_admitted_leaves_the_transaction_open() {
    let host = Host::shop().await;
    let mut transaction = host.databases.begin("main", &rule(Write)).await.unwrap();
    transaction.execute("INSERT INTO orders VALUES (2, 1)", &[], deadline()).await.unwrap();
    for refused in ["COMMIT", "DROP TABLE orders", "SELECT 1; SELECT 2"] {
        transaction.execute(refused, &[], deadline()).await.unwrap_err();
    }
    transaction.commit(deadline()).await.unwrap();
    assert_eq!(count(&host).await, 2);
}

#[tokio::test]
async fn a_late_statement_takes_the_transaction_with_it() {
    let host = Host::shop().await;
    let mut transaction = host.databases.begin("main", &rule(Write)).await.unwrap();
    transaction.execute("INSERT INTO orders VALUES (2, 1)", &[], deadline()).await.unwrap();
    let late = transaction.query(ENDLESS, &[], Instant::now() + Duration::from_millis(100)).await;
    assert!(matches!(late, Err(Error::Timeout { .. })), "{late:?}");
    drop(transaction);
    host.execute("INSERT INTO orders VALUES (3, 1)", json!([]), &rule(Write)).await.unwrap();
    assert_eq!(host.rows("SELECT id FROM orders", json!([])).await, json!([{ "id": 1 }, { "id": 3 }]));
}

#[tokio::test]
async fn a_transaction_that_only_reads_sees_one_state() {
    let host = Host::shop().await;
    let mut reading = host.databases.begin("main", &rule(Read)).await.unwrap();
    let n = "SELECT count(*) AS n FROM orders";
    assert_eq!(reading.query(n, &[], deadline()).await.unwrap().json, r#"[{"n":1}]"#);
    host.execute("INSERT INTO orders VALUES (2, 1)", json!([]), &rule(Write)).await.unwrap();
    assert_eq!(reading.query(n, &[], deadline()).await.unwrap().json, r#"[{"n":1}]"#);
    let refused = reading.execute("DELETE FROM orders", &[], deadline()).await;
    assert!(matches!(refused, Err(Error::Denied { needs: Some(Write), .. })), "{refused:?}");
    reading.commit(deadline()).await.unwrap();
    assert_eq!(count(&host).await, 2);
}

#[tokio::test]
async fn who_waits_for_the_writer_too_long_is_told_of_the_conflict() {
    let host = Host::shop().await;
    let open = host.databases.begin("main", &rule(Write)).await.unwrap();
    let waited = host.execute("INSERT INTO orders VALUES (2, 1)", json!([]), &soon(Write)).await;
    assert!(matches!(waited, Err(Error::Conflict(_))), "{waited:?}");
    drop(open);
    host.execute("INSERT INTO orders VALUES (2, 1)", json!([]), &rule(Write)).await.unwrap();
}

#[tokio::test]
async fn another_process_s_lock_is_waited_for_and_then_a_conflict() {
    let host = Host::shop().await;
    // Another connection past the pool stands for the other process: SQLite makes no difference.
    let other = rusqlite::Connection::open(host.data.path().join("main.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for statement in ["INSERT INTO orders VALUES (2, 1)", "INSERT INTO orders VALUES (2, 1) RETURNING id"] {
        let refused = host.query(statement, json!([]), &soon(Write)).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    }
    let begun = host.databases.begin("main", &soon(Write)).await.map(|_| ());
    assert!(matches!(begun, Err(Error::Conflict(_))), "{begun:?}");
    let write = rule(Write);
    let waiting = host.execute("INSERT INTO orders VALUES (2, 1)", json!([]), &write);
    let release = async {
        tokio::task::yield_now().await;
        other.execute_batch("COMMIT").unwrap();
    };
    let (waited, ()) = tokio::join!(waiting, release);
    assert_eq!(waited, Ok(1));
}
