//! What each access admits, and what the server's rights do.

use serde_json::json;
use stepcell_core::grant::{
    DatabaseAccess,
    DatabaseAccess::{Read, Schema, Write},
    TablePattern,
};
use stepcell_tests::Postgres as Server;

use super::support::{Bed, rule, value};
use crate::{Error, Named, Refused, Rule};

/// Refused, and nothing of it happened.
async fn check_denied(bed: &Bed, statement: &str, access: DatabaseAccess) -> Refused {
    let before = bed.orders().await;
    let result = bed.execute(statement, access).await;
    let Err(Error::Denied { what, .. }) = result else { panic!("{statement}: {result:?}") };
    assert_eq!(bed.orders().await, before, "{statement}");
    what
}

#[tokio::test]
async fn a_read_reads_and_changes_nothing() {
    let bed = Bed::with_tables().await;
    assert_eq!(
        bed.query("SELECT id, total FROM orders ORDER BY id").await.unwrap(),
        json!([{"id": 1, "total": 10}, {"id": 2, "total": 20}])
    );
    for statement in [
        "INSERT INTO orders VALUES (3, 30)",
        "UPDATE orders SET total = 0",
        "DELETE FROM orders",
        "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone",
        "TRUNCATE orders",
        "DROP TABLE orders",
    ] {
        check_denied(&bed, statement, Read).await;
    }
}

#[tokio::test]
async fn a_write_changes_rows_and_no_tables() {
    let bed = Bed::with_tables().await;
    assert_eq!(bed.execute("INSERT INTO orders VALUES (3, 30), (4, 40)", Write).await.unwrap(), 2);
    assert_eq!(bed.execute("UPDATE orders SET total = 1 WHERE id > 2", Write).await.unwrap(), 2);
    assert_eq!(bed.execute("DELETE FROM orders WHERE id = 4", Write).await.unwrap(), 1);
    let insert = "INSERT INTO orders VALUES (9, 9) RETURNING id";
    let rows = bed.databases.query("shop", insert, &[], &rule(Write)).await.unwrap();
    assert_eq!(value(&rows), json!([{"id": 9}]));
    assert_eq!(bed.orders().await, 4);
    for statement in ["DROP TABLE orders", "CREATE TABLE more (id int)", "ALTER TABLE orders ADD more int"] {
        check_denied(&bed, statement, Write).await;
    }
}

#[tokio::test]
async fn a_schema_grant_makes_tables_where_the_role_may() {
    let bed = Bed::with_tables().await;
    let result = bed.execute("CREATE TABLE more (id int)", Schema).await;
    let Err(Error::Denied { what: Refused::Table(what), .. }) = result else { panic!("{result:?}") };
    assert_eq!(what, "public");
    bed.server.run("GRANT CREATE ON SCHEMA public TO flows_ro").await;
    bed.execute("CREATE TABLE more (id int)", Schema).await.unwrap();
    bed.execute("INSERT INTO more VALUES (7)", Schema).await.unwrap();
    bed.execute("ALTER TABLE more ADD note text DEFAULT 'x'", Schema).await.unwrap();
    assert_eq!(bed.query("SELECT * FROM more").await.unwrap(), json!([{"id": 7, "note": "x"}]));
}

#[tokio::test]
async fn a_table_that_the_role_may_not_read_is_named() {
    let bed = Bed::with_tables().await;
    for (statement, access) in [("SELECT * FROM secrets", Read), ("INSERT INTO secrets VALUES ('x')", Write)]
    {
        let what = check_denied(&bed, statement, access).await;
        assert_eq!(what, Refused::Table("secrets".to_owned()));
    }
}

#[tokio::test]
async fn what_a_view_or_a_function_reaches_is_the_server_s_to_say() {
    let bed = Bed::with_tables().await;
    bed.server
        .run(
            "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'INSERT INTO orders VALUES (7) RETURNING id';
             CREATE VIEW peek AS SELECT count(*) FROM secrets; GRANT SELECT ON peek TO flows_ro;
             CREATE FUNCTION spy() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM secrets';
             CREATE SEQUENCE numbers; GRANT USAGE ON SEQUENCE numbers TO flows_ro;",
        )
        .await;
    // The operator granted the view, and with it what it shows.
    assert_eq!(bed.query("SELECT * FROM peek").await.unwrap(), json!([{"count": 1}]));
    for statement in ["SELECT more()", "SELECT spy()", "SELECT nextval('numbers')"] {
        check_denied(&bed, statement, Read).await;
    }
    let before = bed.orders().await;
    assert_eq!(bed.execute("SELECT more()", Write).await.unwrap(), 0, "what it did is the function's");
    assert_eq!(bed.orders().await, before + 1);
}

#[tokio::test]
async fn tables_of_a_grant_are_refused_by_pointing_to_the_role() {
    let bed = Bed::with_tables().await;
    let tables = vec![vec![TablePattern::parse("orders").unwrap()]];
    let rule = Rule { tables, ..rule(Read) };
    let result = bed.databases.query("shop", "SELECT * FROM orders", &[], &rule).await;
    let Err(Error::Invalid(message)) = result else { panic!("{result:?}") };
    assert!(message.contains("`role`") && message.contains("GRANT"), "{message}");
}

#[tokio::test]
async fn a_statement_over_its_rows_or_bytes_does_not_count() {
    let bed = Bed::with_tables().await;
    let few = Rule { rows: 2, ..rule(Write) };
    let insert = "INSERT INTO orders SELECT n FROM generate_series(10, 12) n RETURNING id";
    let result = bed.databases.query("shop", insert, &[], &few).await;
    let Err(Error::Limit(message)) = result else { panic!("{result:?}") };
    assert!(message.contains("2 rows"), "{message}");
    bed.server.until_idle("flows").await;
    assert_eq!(bed.orders().await, 2);

    let small = Rule { bytes: 1_000, ..rule(Read) };
    let result = bed.databases.query("shop", "SELECT repeat('x', 1000) AS v", &[], &small).await;
    let Err(Error::Limit(message)) = result else { panic!("{result:?}") };
    assert!(message.contains("1000 bytes"), "{message}");
    let exactly = Rule { rows: 2, bytes: r#"[{"id":1},{"id":2}]"#.len() as u64, ..rule(Read) };
    bed.databases.query("shop", "SELECT id FROM orders", &[], &exactly).await.unwrap();
}

#[tokio::test]
async fn an_error_of_the_server_keeps_its_code_and_words() {
    let bed = Bed::with_tables().await;
    for (statement, code, words) in [
        ("INSERT INTO orders VALUES (1)", "23505", "Key (id)=(1) already exists."),
        ("SELECT * FROM nothing", "42P01", "nothing"),
        ("SELECT 1 / 0", "22012", "division by zero"),
    ] {
        let result = bed.execute(statement, Write).await;
        let Err(Error::Rejected { code: found, message }) = result else { panic!("{statement}: {result:?}") };
        assert_eq!(found.as_deref(), Some(code));
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn a_constraint_that_is_checked_at_the_end_is_an_error_of_the_statement() {
    let bed = Bed::with_tables().await;
    bed.server
        .run(
            "CREATE TABLE items (\"order\" int REFERENCES orders DEFERRABLE INITIALLY DEFERRED);
             GRANT INSERT ON items TO flows_ro;",
        )
        .await;
    for statement in ["INSERT INTO items VALUES (99)", "INSERT INTO items VALUES (99) RETURNING 1"] {
        let result = bed.execute(statement, Write).await;
        let Err(Error::Rejected { code, .. }) = result else { panic!("{result:?}") };
        assert_eq!(code.as_deref(), Some("23503"));
    }
    assert_eq!(bed.server.count("SELECT count(*) FROM items").await, 0);
}

#[tokio::test]
async fn a_login_that_can_do_more_than_the_role_is_warned_of() {
    let bed = Bed::with_tables().await;
    bed.query("SELECT 1").await.unwrap();
    assert_eq!(warnings(&bed), Vec::<String>::new());

    let server = Server::start();
    let url = server.url("postgres");
    let bed = Bed::of(server, Named { role: Some("flows_ro".to_owned()), ..Named::new(url) });
    bed.query("SELECT 1").await.unwrap();
    let warnings_ = warnings(&bed);
    assert!(warnings_.iter().any(|warning| warning.contains("superuser `postgres`")), "{warnings_:?}");

    let server = Server::start();
    server.run("CREATE TABLE private (id int); GRANT SELECT ON private TO flows; GRANT pg_read_server_files TO flows").await;
    let url = server.url("flows");
    let bed = Bed::of(server, Named { role: Some("flows_ro".to_owned()), ..Named::new(url) });
    bed.query("SELECT 1").await.unwrap();
    let warnings_ = warnings(&bed);
    for part in ["`private`", "`pg_read_server_files`"] {
        assert!(warnings_.iter().any(|warning| warning.contains(part)), "{warnings_:?}");
    }
}

fn warnings(bed: &Bed) -> Vec<String> {
    bed.databases.warnings().into_iter().map(|(_, warning)| warning).collect()
}

#[tokio::test]
async fn a_role_that_the_user_may_not_become_is_an_error_and_nothing_runs() {
    let server = Server::start();
    server.run("CREATE ROLE others; CREATE TABLE orders (id int); GRANT INSERT ON orders TO flows").await;
    for role in ["others", "nobody's \\"] {
        let named = Named { role: Some(role.to_owned()), ..Named::new(server.url("flows")) };
        let data = tempfile::tempdir().unwrap();
        let databases = super::support::databases(named, &data).unwrap();
        let result = databases.execute("shop", "INSERT INTO orders VALUES (1)", &[], &rule(Write)).await;
        let error = result.unwrap_err().to_string();
        assert!(error.contains(role), "{error}");
    }
    assert_eq!(server.count("SELECT count(*) FROM orders").await, 0);
}
