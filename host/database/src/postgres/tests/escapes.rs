//! Ways out of a grant that somebody may try.

use std::time::Duration;

use serde_json::json;
use stepcell_core::grant::DatabaseAccess::{Read, Schema, Write};

use super::support::{Bed, brief, rule, soon, timed, value};
use crate::{Error, Rule};

/// Neither of these may do it.
async fn check_refused(statements: &[&str]) {
    let bed = Bed::with_tables().await;
    for statement in statements {
        for access in [Read, Write, Schema] {
            let result = bed.execute(statement, access).await;
            assert!(result.is_err(), "{statement} with {access}: {result:?}");
        }
    }
    assert_eq!(bed.orders().await, 2);
    assert_eq!(bed.query("SELECT current_user::text AS me").await.unwrap(), json!([{"me": "flows_ro"}]));
}

#[tokio::test]
async fn a_call_holds_one_statement() {
    check_refused(&[
        "SELECT 1; DELETE FROM orders",
        "COMMIT; DROP TABLE orders",
        "SELECT 1; COMMIT; DELETE FROM orders",
        "DELETE FROM orders; COMMIT",
    ])
    .await;
}

#[tokio::test]
async fn a_statement_can_not_end_the_transaction() {
    check_refused(&[
        "COMMIT",
        "ROLLBACK",
        "END",
        "ABORT",
        "BEGIN",
        "COMMIT AND CHAIN",
        "PREPARE TRANSACTION 'x'",
        "SAVEPOINT x",
        "START TRANSACTION READ WRITE",
    ])
    .await;
}

#[tokio::test]
async fn what_runs_programs_or_sets_the_session_is_refused_by_its_class() {
    check_refused(&[
        "DO $$ BEGIN DELETE FROM orders; END $$",
        "COPY orders TO PROGRAM 'cat > /tmp/x'",
        "COPY orders FROM STDIN",
        "COPY orders TO STDOUT",
        "COPY (SELECT 1) TO '/tmp/x'",
        "SET ROLE flows",
        "SET transaction_read_only = off",
        "SET TRANSACTION READ WRITE",
        "RESET ROLE",
        "RESET ALL",
        "SET SESSION AUTHORIZATION postgres",
        "LISTEN x",
        "PREPARE x AS SELECT 1",
        "DEALLOCATE ALL",
        "DISCARD ALL",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "LOAD 'auto_explain'",
        "CREATE EXTENSION hstore",
        "GRANT SELECT ON orders TO flows",
        "CREATE ROLE me",
        "VACUUM",
        "LOCK TABLE orders",
    ])
    .await;
}

#[tokio::test]
async fn functions_that_touch_the_server_are_not_the_user_s() {
    let bed = Bed::with_tables().await;
    for statement in [
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "SELECT lo_export(1, '/tmp/x')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT pg_reload_conf()",
    ] {
        let result = bed.query(statement).await;
        assert!(matches!(result, Err(Error::Denied { .. })), "{statement}: {result:?}");
    }
}

#[tokio::test]
async fn a_read_only_transaction_stays_one() {
    let bed = Bed::with_tables().await;
    for statement in [
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT set_config('transaction_read_only', 'off', false)",
    ] {
        bed.query(statement).await.unwrap_err();
    }
    // Settings that hold for later transactions do not reach them.
    bed.query("SELECT set_config('default_transaction_read_only', 'off', false)").await.unwrap();
    let mut transaction = bed.databases.begin("shop", &rule(Read)).await.unwrap();
    transaction
        .query("SELECT set_config('transaction_read_only', 'off', true)", &[], soon())
        .await
        .unwrap_err();
    drop(transaction);
    let mut transaction = bed.databases.begin("shop", &rule(Read)).await.unwrap();
    let result = transaction.execute("DELETE FROM orders", &[], soon()).await;
    assert!(matches!(result, Err(Error::Denied { .. })), "{result:?}");
    assert_eq!(bed.orders().await, 2);
}

#[tokio::test]
async fn nothing_that_a_read_only_transaction_does_counts() {
    let bed = Bed::with_tables().await;
    let mut transaction = bed.databases.begin("shop", &rule(Read)).await.unwrap();
    // Newer servers refuse it, and then there is nothing to commit.
    let made = transaction.query("SELECT lo_from_bytea(0, 'left')", &[], soon()).await;
    assert_eq!(transaction.commit(soon()).await.is_ok(), made.is_ok());
    assert_eq!(bed.server.count("SELECT count(*) FROM pg_largeobject_metadata").await, 0);
}

#[tokio::test]
async fn who_leaves_the_role_is_nobody_and_only_until_the_statement_ends() {
    let bed = Bed::with_tables().await;
    for local in ["true", "false"] {
        let leave = format!("SELECT set_config('role', 'none', {local}) AS role");
        let mut transaction = bed.databases.begin("shop", &rule(Write)).await.unwrap();
        transaction.query(&leave, &[], soon()).await.unwrap();
        let me = transaction.query("SELECT current_user::text AS me", &[], soon()).await.unwrap();
        assert_eq!(value(&me), json!([{"me": "flows_ro"}]));
        transaction.commit(soon()).await.unwrap();
        bed.databases.query("shop", &leave, &[], &rule(Write)).await.unwrap();
        assert_eq!(bed.query("SELECT current_user::text AS me").await.unwrap(), json!([{"me": "flows_ro"}]));
    }
    // Within the one statement it is out of the role, and has no rights at all: the login user has none.
    let result = bed
        .query(
            "SELECT set_config('role', 'none', true), query_to_xml('SELECT * FROM orders', true, false, '')",
        )
        .await;
    assert!(matches!(result, Err(Error::Denied { .. })), "{result:?}");
}

#[tokio::test]
async fn a_timeout_that_a_statement_takes_away_is_still_held() {
    let bed = Bed::with_tables().await;
    let rule = brief(Read, Duration::from_millis(300));
    let statement = "SELECT set_config('statement_timeout', '0', true), pg_sleep(60)";
    let (took, result) = timed(bed.databases.query("shop", statement, &[], &rule)).await;
    assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    bed.server.until_idle("flows").await;
}

#[tokio::test]
async fn names_mean_what_they_meant_to_the_role_whoever_was_there_before() {
    let bed = Bed::with_tables().await;
    bed.server.run("CREATE SCHEMA mine; GRANT CREATE, USAGE ON SCHEMA mine TO flows_ro").await;
    bed.execute("CREATE TABLE mine.orders (id int)", Schema).await.unwrap();
    bed.execute("SELECT set_config('search_path', 'mine, public', false)", Schema).await.unwrap();
    assert_eq!(bed.query("SELECT count(*) AS n FROM orders").await.unwrap(), json!([{"n": 2}]));
}

#[tokio::test]
async fn floods_end_in_a_limit_or_in_time() {
    let bed = Bed::with_tables().await;
    bed.server
        .run(
            "CREATE FUNCTION shout() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
               FOR n IN 1..100000 LOOP RAISE NOTICE 'x % %', n, repeat('x', 100); END LOOP; RETURN 7; END $$",
        )
        .await;
    assert_eq!(bed.query("SELECT shout() AS v").await.unwrap(), json!([{"v": 7}]));

    let endless = "SELECT generate_series(1, 1000000000)";
    let (took, result) = timed(bed.query(endless)).await;
    assert!(matches!(result, Err(Error::Limit(_))), "{result:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    bed.server.until_idle("flows").await;

    // One value, larger than the host would ever hold.
    let wide = Rule { bytes: u64::MAX, ..rule(Read) };
    let result = bed.databases.query("shop", "SELECT repeat('x', 100000000) AS v", &[], &wide).await;
    let Err(Error::Limit(message)) = result else { panic!("not refused") };
    assert!(message.contains("MiB"), "{message}");
    assert_eq!(bed.query("SELECT 1 AS v").await.unwrap(), json!([{"v": 1}]));
}
