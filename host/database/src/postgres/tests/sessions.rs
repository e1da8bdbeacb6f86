//! What one call leaves behind, and transactions.

use std::time::Duration;

use serde_json::json;
use stepcell_core::grant::DatabaseAccess::{Read, Schema, Write};

use super::support::{Bed, brief, rule, soon, value};
use crate::{Error, Named};

/// With one connection, so that the next call gets the same session.
async fn single() -> Bed {
    let bed = Bed::with_tables().await;
    let named = Named {
        role: Some("flows_ro".to_owned()),
        connections: Some(1),
        ..Named::new(bed.server.url("flows"))
    };
    Bed::of(bed.server, named)
}

/// The session's number: the same as long as it is the same connection.
async fn backend(bed: &Bed) -> serde_json::Value {
    bed.query("SELECT pg_backend_pid() AS v").await.unwrap()
}

#[tokio::test]
async fn nothing_of_a_session_reaches_the_next_call() {
    let bed = single().await;
    bed.server
        .run(
            "CREATE FUNCTION scratch() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
               CREATE TEMP TABLE orders (id int); PERFORM set_config('x.y', 'left', false); RETURN 1; END $$;
             CREATE SEQUENCE numbers; GRANT USAGE, SELECT ON SEQUENCE numbers TO flows_ro;",
        )
        .await;
    let session = backend(&bed).await;
    let leftovers = "SELECT (SELECT count(*) FROM orders) AS orders, current_setting('x.y', true) AS setting,
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS locks, current_setting('search_path') AS path";
    let clean = json!([{"orders": 2, "setting": "", "locks": 0, "path": "\"$user\", public"}]);
    for (statement, access) in [
        ("SELECT scratch()", Write),
        ("SELECT set_config('x.y', 'left', false)", Write),
        ("SELECT set_config('x.y', 'left', false)", Read),
        ("SELECT set_config('search_path', 'pg_catalog', false)", Write),
        ("SELECT pg_advisory_lock(7)", Write),
        ("SELECT pg_advisory_lock(7)", Read),
        ("CREATE TEMP TABLE orders (id int)", Schema),
        ("SELECT nextval('numbers')", Write),
    ] {
        let result = bed.execute(statement, access).await;
        assert!(result.is_ok() || statement.starts_with("CREATE TEMP"), "{statement}: {result:?}");
        let mut found = bed.query(leftovers).await.unwrap();
        if found[0]["setting"].is_null() {
            found[0]["setting"] = json!("");
        }
        assert_eq!(found, clean, "after {statement}");
        assert_eq!(backend(&bed).await, session, "after {statement}");
    }
    let result = bed.query("SELECT currval('numbers')").await;
    assert!(matches!(result, Err(Error::Rejected { .. })), "{result:?}");
}

#[tokio::test]
async fn a_session_is_used_again_after_an_error_a_limit_and_a_timeout() {
    let bed = single().await;
    let session = backend(&bed).await;
    bed.query("SELECT 1 / 0").await.unwrap_err();
    assert_eq!(backend(&bed).await, session);
    bed.query("SELECT generate_series(1, 1000000000)").await.unwrap_err();
    assert_eq!(backend(&bed).await, session);
    let rule = brief(Read, Duration::from_millis(200));
    bed.databases
        .query("shop", "SELECT set_config('statement_timeout', '0', true), pg_sleep(60)", &[], &rule)
        .await
        .unwrap_err();
    assert_eq!(backend(&bed).await, session);
    bed.query_with("SELECT $1::int4", &[json!("x")]).await.unwrap_err();
    assert_eq!(backend(&bed).await, session);
}

#[tokio::test]
async fn a_dropped_call_stops_its_statement_and_gives_the_connection_back() {
    let bed = single().await;
    let session = backend(&bed).await;
    for access in [Read, Write] {
        let rule = rule(access);
        let sleeping = bed.databases.query("shop", "SELECT pg_sleep(600), 'mark'", &[], &rule);
        tokio::select! {
            _ = sleeping => panic!("it sleeps"),
            () = until_running(&bed) => {}
        }
        bed.server.until_idle("flows").await;
        assert_eq!(backend(&bed).await, session);
    }
}

async fn until_running(bed: &Bed) {
    stepcell_tests::eventually("the statement runs", || async {
        let running = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'flows' AND state = 'active' AND query LIKE '%mark%'";
        (bed.server.count(running).await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_cancel_that_comes_late_hits_nobody_else() {
    let bed = single().await;
    for _ in 0..200 {
        let rule = rule(Read);
        let call = bed.databases.query("shop", "SELECT 1 AS v", &[], &rule);
        // Gives up at once, wherever the call has come to.
        let _ = tokio::time::timeout(Duration::from_micros(300), call).await;
        assert_eq!(bed.query("SELECT 2 AS v").await.unwrap(), json!([{"v": 2}]));
    }
}

#[tokio::test]
async fn a_transaction_counts_as_a_whole_or_not_at_all() {
    let bed = single().await;
    let mut transaction = bed.databases.begin("shop", &rule(Write)).await.unwrap();
    assert_eq!(transaction.execute("INSERT INTO orders VALUES (3, 30)", &[], soon()).await.unwrap(), 1);
    let rows = transaction.query("SELECT count(*) AS n FROM orders", &[], soon()).await.unwrap();
    assert_eq!(value(&rows), json!([{"n": 3}]));
    assert_eq!(bed.orders().await, 2, "nobody else sees it yet");
    transaction.commit(soon()).await.unwrap();
    assert_eq!(bed.orders().await, 3);

    let mut transaction = bed.databases.begin("shop", &rule(Write)).await.unwrap();
    transaction.execute("DELETE FROM orders", &[], soon()).await.unwrap();
    drop(transaction);
    bed.server.until_idle("flows").await;
    assert_eq!(bed.orders().await, 3);
    assert_eq!(bed.query("SELECT count(*) AS n FROM orders").await.unwrap(), json!([{"n": 3}]));
}

#[tokio::test]
async fn a_transaction_with_a_refused_statement_does_not_count() {
    let bed = single().await;
    let mut transaction = bed.databases.begin("shop", &rule(Write)).await.unwrap();
    transaction.execute("INSERT INTO orders VALUES (3, 30)", &[], soon()).await.unwrap();
    // A wrong parameter reaches nobody.
    transaction.query("SELECT $1::int4", &[json!("x"), json!("y")], soon()).await.unwrap_err();
    transaction.execute("INSERT INTO orders VALUES (4, 40)", &[], soon()).await.unwrap();
    transaction.execute("INSERT INTO orders VALUES (1, 10)", &[], soon()).await.unwrap_err();
    let result = transaction.execute("INSERT INTO orders VALUES (5, 50)", &[], soon()).await;
    assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
    transaction.commit(soon()).await.unwrap_err();
    assert_eq!(bed.query("SELECT 1 AS v").await.unwrap(), json!([{"v": 1}]));
    assert_eq!(bed.orders().await, 2);
}

#[tokio::test]
async fn a_transaction_ends_with_a_call_that_did_not() {
    let bed = single().await;
    let mut transaction = bed.databases.begin("shop", &rule(Write)).await.unwrap();
    transaction.execute("INSERT INTO orders VALUES (3, 30)", &[], soon()).await.unwrap();
    tokio::select! {
        _ = transaction.query("SELECT pg_sleep(600), 'mark'", &[], soon()) => panic!("it sleeps"),
        () = until_running(&bed) => {}
    }
    bed.server.until_idle("flows").await;
    let result = transaction.query("SELECT 1", &[], soon()).await;
    assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
    assert!(transaction.commit(soon()).await.is_err());
    assert_eq!(bed.orders().await, 2);
    assert_eq!(bed.query("SELECT 1 AS v").await.unwrap(), json!([{"v": 1}]));
}

#[tokio::test]
async fn transactions_in_each_other_s_way_are_a_conflict() {
    let bed = Bed::with_tables().await;
    let mut first = bed.databases.begin("shop", &rule(Write)).await.unwrap();
    let mut second = bed.databases.begin("shop", &rule(Write)).await.unwrap();
    first.execute("UPDATE orders SET total = 1 WHERE id = 1", &[], soon()).await.unwrap();
    second.execute("UPDATE orders SET total = 2 WHERE id = 2", &[], soon()).await.unwrap();
    let (one, two) = tokio::join!(
        first.execute("UPDATE orders SET total = 1 WHERE id = 2", &[], soon()),
        second.execute("UPDATE orders SET total = 2 WHERE id = 1", &[], soon()),
    );
    let conflicts = [one, two].into_iter().filter(|result| matches!(result, Err(Error::Conflict(_)))).count();
    assert_eq!(conflicts, 1);
}

#[tokio::test]
async fn a_statement_that_was_prepared_before_a_table_changed_still_runs() {
    let bed = single().await;
    bed.server
        .run("CREATE TABLE things (id int); INSERT INTO things VALUES (1); GRANT ALL ON things TO flows_ro")
        .await;
    assert_eq!(bed.query("SELECT * FROM things").await.unwrap(), json!([{"id": 1}]));
    assert_eq!(
        bed.query_with("SELECT * FROM things WHERE id = $1", &[json!(1)]).await.unwrap(),
        json!([{"id": 1}])
    );
    bed.server.run("ALTER TABLE things ADD note text DEFAULT 'x'").await;
    assert_eq!(bed.query("SELECT * FROM things").await.unwrap(), json!([{"id": 1, "note": "x"}]));
    bed.server.run("ALTER TABLE things ALTER id TYPE text").await;
    let rows = bed.query_with("SELECT * FROM things WHERE id = $1", &[json!("1")]).await.unwrap();
    assert_eq!(rows, json!([{"id": "1", "note": "x"}]));
    let mut transaction = bed.databases.begin("shop", &rule(Read)).await.unwrap();
    bed.server.run("ALTER TABLE things DROP note").await;
    let result = transaction.query("SELECT * FROM things", &[], soon()).await;
    assert!(matches!(result, Err(Error::Conflict(_))), "{result:?}");
    drop(transaction);
    assert_eq!(bed.query("SELECT * FROM things").await.unwrap(), json!([{"id": "1"}]));
}

#[tokio::test]
async fn a_connection_keeps_only_so_many_statements() {
    let bed = single().await;
    for n in 0..200 {
        bed.query(&format!("SELECT {n} AS v")).await.unwrap();
    }
    let kept = bed.query("SELECT count(*) AS n FROM pg_prepared_statements").await.unwrap();
    let kept = kept[0]["n"].as_u64().unwrap();
    assert!((32..=80).contains(&kept), "{kept}");
}
