use super::*;

#[track_caller]
fn denied<T: std::fmt::Debug>(result: Result<T, Error>) -> (Refused, Option<DatabaseAccess>, String) {
    match result {
        Err(Error::Denied { what, needs, message }) => (what, needs, message),
        other => panic!("{other:?}"),
    }
}

/// Refused for this table.
async fn no_table(host: &Host, statement: &str, rule: &Rule, table: &str) {
    let (what, ..) = denied(host.query(statement, json!([]), rule).await);
    assert_eq!(what, Refused::Table(table.to_owned()), "{statement}");
}

/// Refused since it needs more.
async fn needs(host: &Host, statement: &str, access: DatabaseAccess, needed: DatabaseAccess) {
    let (_, needs, message) = denied(host.query(statement, json!([]), &rule(access)).await);
    assert_eq!(needs, Some(needed), "{statement}: {message}");
}

/// Refused however far a grant goes.
async fn never(host: &Host, statement: &str) {
    let (_, needs, message) = denied(host.query(statement, json!([]), &rule(Schema)).await);
    assert_eq!(needs, None, "{statement}: {message}");
}

async fn works(host: &Host, statement: &str, rule: &Rule) {
    if let Err(error) = host.query(statement, json!([]), rule).await {
        panic!("{statement}: {error}");
    }
}

#[tokio::test]
async fn each_access_goes_as_far_as_its_name() {
    let host = Host::shop().await;
    needs(&host, "INSERT INTO orders VALUES (2, 1)", Read, Write).await;
    needs(&host, "DELETE FROM orders RETURNING id", Read, Write).await;
    needs(&host, "CREATE TABLE t (a)", Read, Schema).await;
    needs(&host, "CREATE TABLE t (a)", Write, Schema).await;
    needs(&host, "DROP TABLE orders", Write, Schema).await;
    needs(&host, "ALTER TABLE orders ADD x", Write, Schema).await;
    for statement in [
        "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b)",
        "INSERT INTO t (b) VALUES (1)",
        "CREATE TABLE u AS SELECT * FROM t",
        "CREATE INDEX i ON t (b)",
        "CREATE UNIQUE INDEX j ON t (lower(b)) WHERE b > 1",
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET b = 2; END",
        "CREATE VIEW v AS SELECT * FROM t",
        "ALTER TABLE t ADD COLUMN c DEFAULT 1",
        "ALTER TABLE t RENAME COLUMN c TO d",
        "ALTER TABLE t DROP COLUMN d",
        "ALTER TABLE t RENAME TO s",
        "ANALYZE",
        "REINDEX",
        "DROP VIEW v",
        "DROP TRIGGER g",
        "DROP INDEX i",
        "DROP TABLE s",
        "SELECT name FROM sqlite_schema",
        "SELECT name FROM pragma_table_info('orders')",
        "SELECT name FROM pragma_table_list",
    ] {
        works(&host, statement, &rule(Schema)).await;
    }
}

#[tokio::test]
async fn tables_hold_however_deep_they_are_touched() {
    let host = Host::shop().await;
    let orders = tables(Schema, &["orders", "names", "o_*"]);
    for statement in [
        "SELECT * FROM customers",
        "SELECT count(*) FROM customers",
        "SELECT 1 FROM orders WHERE EXISTS (SELECT 1 FROM customers)",
        "WITH c AS (SELECT name FROM customers) SELECT * FROM orders, c",
        "SELECT (SELECT name FROM main.Customers) AS n",
        "INSERT INTO orders SELECT id, 1 FROM customers",
        "INSERT INTO customers VALUES (9, 'x')",
        "DELETE FROM customers",
        "CREATE TABLE o_copy AS SELECT * FROM customers",
        "DROP TABLE customers",
        "ALTER TABLE customers ADD x",
        "CREATE INDEX o_i ON customers (name)",
        "CREATE TRIGGER o_t AFTER INSERT ON customers BEGIN SELECT 1; END",
        "SELECT * FROM names",
        "SELECT * FROM pragma_table_info('customers')",
    ] {
        let (what, ..) = denied(host.query(statement, json!([]), &orders).await);
        match what {
            Refused::Table(table) => assert!(table.eq_ignore_ascii_case("customers"), "{statement}: {table}"),
            other => panic!("{statement}: {other:?}"),
        }
    }
    let (.., message) = denied(host.query("SELECT * FROM names", json!([]), &orders).await);
    let told =
        "the tables granted of `main` do not hold `customers`, which this statement touches through `names`";
    assert_eq!(message, told);
    no_table(&host, "CREATE TABLE other (a)", &orders, "other").await;
    no_table(&host, "ALTER TABLE orders RENAME TO p", &tables(Schema, &["customers"]), "orders").await;
    no_table(&host, "SELECT * FROM names", &tables(Read, &["customers"]), "names").await;
    works(&host, "SELECT * FROM orders, json_each('[1]')", &orders).await;
    works(&host, "SELECT name FROM pragma_table_info('orders')", &orders).await;
    works(&host, "CREATE TABLE o_new (a INTEGER PRIMARY KEY AUTOINCREMENT)", &orders).await;
    works(&host, "ALTER TABLE o_new ADD b", &orders).await;
    works(&host, "DROP TABLE o_new", &orders).await;
    works(&host, "SELECT * FROM names", &tables(Read, &["names", "customers"])).await;
}

#[tokio::test]
async fn each_list_of_tables_has_to_hold_one() {
    let host = Host::shop().await;
    let list = |names: &[&str]| names.iter().map(|name| TablePattern::parse(name).unwrap()).collect();
    let both = Rule { tables: vec![list(&["*"]), list(&["orders"])], ..rule(Read) };
    works(&host, "SELECT * FROM orders", &both).await;
    no_table(&host, "SELECT * FROM customers", &both, "customers").await;
    let none = Rule { tables: vec![Vec::new()], ..rule(Read) };
    no_table(&host, "SELECT * FROM orders", &none, "orders").await;
    works(&host, "SELECT 1", &none).await;
}

#[tokio::test]
async fn the_names_of_other_tables_are_not_told() {
    let host = Host::shop().await;
    let orders = tables(Schema, &["orders", "o_*"]);
    for statement in [
        "SELECT name FROM sqlite_master",
        "SELECT sql FROM sqlite_schema",
        "CREATE TABLE o_x AS SELECT sql FROM sqlite_master",
        "SELECT name FROM dbstat",
    ] {
        let (what, ..) = denied(host.query(statement, json!([]), &orders).await);
        assert!(matches!(what, Refused::Table(_)), "{statement}: {what:?}");
    }
    denied(host.query("SELECT name FROM pragma_table_list", json!([]), &orders).await);
}

#[tokio::test]
async fn a_trigger_goes_no_further_than_who_sets_it_off() {
    let host = Host::shop().await;
    let trigger = "CREATE TRIGGER t AFTER INSERT ON orders BEGIN DELETE FROM customers; END";
    works(&host, trigger, &rule(Schema)).await;
    let orders = tables(Write, &["orders"]);
    let (what, _, message) = denied(host.query("INSERT INTO orders VALUES (5, 1)", json!([]), &orders).await);
    assert_eq!(what, Refused::Table("customers".to_owned()));
    assert!(message.ends_with("through `t`"), "{message}");
    works(&host, "INSERT INTO orders VALUES (5, 1)", &rule(Write)).await;
}

#[tokio::test]
async fn a_foreign_key_goes_no_further_either() {
    let host = Host::shop().await;
    let child = "CREATE TABLE lines (o INTEGER REFERENCES orders (id) ON DELETE CASCADE)";
    works(&host, child, &rule(Schema)).await;
    works(&host, "INSERT INTO lines VALUES (1)", &rule(Write)).await;
    no_table(&host, "DELETE FROM orders", &tables(Write, &["orders"]), "lines").await;
    works(&host, "DELETE FROM orders", &tables(Write, &["orders", "lines"])).await;
    assert_eq!(host.rows("SELECT * FROM lines", json!([])).await, json!([]));
    let orphan = host.query("INSERT INTO lines VALUES (77)", json!([]), &rule(Write)).await;
    assert!(
        matches!(orphan, Err(Error::Rejected { code: Some(code), .. }) if code == "SQLITE_CONSTRAINT_FOREIGNKEY")
    );
}

#[tokio::test]
async fn what_reaches_past_the_database_is_refused() {
    let host = Host::shop().await;
    for statement in [
        "ATTACH '/tmp/other.db' AS other",
        "DETACH main",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = DELETE",
        "VACUUM INTO '/tmp/copy.db'",
        "BEGIN",
        "SELECT load_extension('/tmp/x.so')",
        "SELECT fts3_tokenizer('simple')",
        "INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 1, '')",
        "UPDATE sqlite_schema SET sql = 'x'",
        "DELETE FROM sqlite_master",
        "CREATE TEMP TABLE t (a)",
        "CREATE TEMP VIEW t AS SELECT 1",
        "CREATE TABLE temp.t (a)",
        "SELECT * FROM pragma_journal_mode",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM pragma_hard_heap_limit",
        "CREATE VIRTUAL TABLE t USING dbstat",
    ] {
        match host.query(statement, json!([]), &rule(Schema)).await {
            Err(Error::Denied { needs: None, .. }) => {}
            // What is not compiled in, or what SQLite itself holds.
            Err(Error::Rejected { message, .. }) => {
                assert!(
                    message.contains("no such") || message.contains("may not be modified"),
                    "{statement}: {message}"
                );
            }
            other => panic!("{statement}: {other:?}"),
        }
    }
    never(&host, "SELECT load_extension('x')").await;
    never(&host, "CREATE TEMP TABLE t (a)").await;
    assert_eq!(host.rows("SELECT count(*) AS n FROM orders", json!([])).await, json!([{ "n": 1 }]));
}

#[tokio::test]
async fn text_indexes_work_and_their_tables_are_named() {
    let host = Host::start();
    works(&host, "CREATE VIRTUAL TABLE notes USING fts5(body)", &rule(Schema)).await;
    works(&host, "INSERT INTO notes VALUES ('hello world')", &rule(Write)).await;
    let search = "SELECT body FROM notes WHERE notes MATCH 'hello'";
    works(&host, search, &rule(Read)).await;
    works(&host, search, &tables(Read, &["notes*"])).await;
    works(&host, "DROP TABLE notes", &rule(Schema)).await;
}

#[tokio::test]
async fn another_caller_s_prepared_statement_is_judged_again() {
    let host = Host::shop().await;
    let select = "SELECT * FROM customers";
    for _ in 0..3 {
        works(&host, select, &rule(Read)).await;
        no_table(&host, select, &tables(Read, &["orders"]), "customers").await;
    }
    let insert = "INSERT INTO customers (name) SELECT NULL WHERE 0";
    for _ in 0..3 {
        works(&host, insert, &rule(Write)).await;
        no_table(&host, insert, &tables(Write, &["orders"]), "customers").await;
        needs(&host, insert, Read, Write).await;
    }
}

#[tokio::test]
async fn a_view_that_comes_to_reach_further_is_judged_again() {
    let host = Host::shop().await;
    let rule_of_view = tables(Schema, &["v", "orders"]);
    works(&host, "CREATE VIEW v AS SELECT id FROM orders", &rule(Schema)).await;
    works(&host, "SELECT * FROM v", &tables(Read, &["v", "orders"])).await;
    works(&host, "DROP VIEW v", &rule_of_view).await;
    // Whoever may make views of that name gains nothing by one over a table that is not granted.
    works(&host, "CREATE VIEW v AS SELECT name FROM customers", &rule_of_view).await;
    no_table(&host, "SELECT * FROM v", &tables(Read, &["v", "orders"]), "customers").await;
}

#[tokio::test]
async fn what_sqlite_finds_by_itself_is_held_too() {
    let host = Host::shop().await;
    let own = tables(Schema, &["orders", "v", "copy", "notes*"]);
    works(&host, "CREATE TABLE copy (id INTEGER PRIMARY KEY, name TEXT UNIQUE)", &own).await;
    for statement in [
        "SELECT id FROM orders FULL JOIN customers USING (id)",
        "SELECT 1 FROM orders NATURAL LEFT JOIN customers",
        "WITH guess (id) AS (VALUES (1), (2)) SELECT id FROM guess JOIN customers USING (id)",
        "INSERT INTO copy SELECT * FROM customers",
        "UPDATE orders SET total = 0 WHERE id IN (SELECT id FROM orders JOIN customers USING (id))",
        "CREATE TABLE notes AS SELECT id FROM orders FULL JOIN customers USING (id)",
    ] {
        no_table(&host, statement, &own, "customers").await;
    }
    works(&host, "CREATE VIEW v AS SELECT id FROM orders FULL JOIN customers USING (id)", &rule(Schema))
        .await;
    no_table(&host, "SELECT * FROM v", &own, "customers").await;
    // Where both are granted, or all are, nothing stands in the way.
    let join = "SELECT id FROM orders JOIN customers USING (id)";
    works(&host, join, &tables(Read, &["orders", "customers"])).await;
    works(&host, join, &rule(Read)).await;
    works(&host, "SELECT orders.id FROM orders JOIN copy ON copy.id = orders.id", &own).await;
    works(&host, "EXPLAIN SELECT id FROM orders", &own).await;
}

#[tokio::test]
async fn what_a_text_index_keeps_prepared_is_judged_again_for_the_next_caller() {
    let host = Host::start();
    for statement in [
        "CREATE TABLE hidden (a)",
        "INSERT INTO hidden VALUES ('x')",
        "CREATE VIRTUAL TABLE notes USING fts5(a, content='hidden')",
    ] {
        works(&host, statement, &rule(Schema)).await;
    }
    let notes = Rule { tables: vec![vec![TablePattern::parse("notes*").unwrap()]], ..rule(Read) };
    // All readers have the index's own statement prepared, for somebody with more rights.
    for _ in 0..8 {
        works(&host, "SELECT * FROM notes", &rule(Read)).await;
    }
    no_table(&host, "SELECT * FROM notes", &notes, "hidden").await;
}
