use std::collections::BTreeMap;

use serde_json::json;
use stepcell_core::{Budget, Limits};
use stepcell_database::Named;
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::*;
use crate::capability::{Services, testing::Given};

/// The databases `main` and `shop` in a folder of their own, where `shop` has three orders.
struct Shop {
    databases: Databases,
    _folder: TempDir,
}

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let named = BTreeMap::from([("shop".to_owned(), Named::new("sqlite:shop.db"))]);
        let databases = Databases::open(named, folder.path(), &Handle::current()).unwrap();
        let shop = Self { databases, _folder: folder };
        let mut session = shop.granted(json!({"shop": "schema"})).session();
        for statement in [
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, total TEXT)",
            "CREATE TABLE customers (name TEXT)",
            "INSERT INTO orders (total) VALUES ('1.00'), ('2.00'), ('3.00')",
        ] {
            session.run(statement).await.unwrap();
        }
        shop
    }

    fn granted(&self, databases: Value) -> Given {
        let services = Services { databases: Some(self.databases.clone()), ..Services::bare() };
        Given { operator: json!({ "databases": databases }), services, ..Given::default() }
    }
}

const COUNT: &str = "SELECT count(*) AS n FROM orders";

impl Session {
    async fn ask(&mut self, statement: &str) -> Result<Rows, Failure> {
        Host::query(self, "shop".to_owned(), statement.to_owned(), "[]".to_owned()).await
    }

    async fn run(&mut self, statement: &str) -> Result<u64, Failure> {
        Host::execute(self, "shop".to_owned(), statement.to_owned(), "[]".to_owned()).await
    }

    async fn open_one(&mut self) -> Result<Resource<OpenTransaction>, Failure> {
        self.begin("shop".to_owned()).await
    }

    async fn run_in(&mut self, handle: &Resource<OpenTransaction>, statement: &str) -> Result<u64, Failure> {
        let handle = Resource::new_borrow(handle.rep());
        HostTransaction::execute(self, handle, statement.to_owned(), "[]".to_owned()).await
    }
}

#[tokio::test]
async fn rows_come_and_are_counted() {
    let shop = Shop::open().await;
    let mut session = shop.granted(json!({"shop": "read"})).session();
    let statement = "SELECT id, total FROM orders WHERE id > $1 ORDER BY id";
    let rows =
        Host::query(&mut session, "shop".to_owned(), statement.to_owned(), "[1]".to_owned()).await.unwrap();
    assert_eq!(rows.rows, r#"[{"id":2,"total":"2.00"},{"id":3,"total":"3.00"}]"#);
    assert_eq!(rows.count, 2);
    let usage = session.ledger.usage();
    assert_eq!((usage.requests, usage.rows), (1, 2));
    assert_eq!(usage.sent_bytes as usize, statement.len() + 3);
    assert_eq!(usage.received_bytes as usize, rows.rows.len());
    assert_eq!(session.ledger.take_denied(), []);
}

#[tokio::test]
async fn changes_are_counted() {
    let shop = Shop::open().await;
    let mut session = shop.granted(json!({"shop": "write"})).session();
    assert_eq!(session.run("UPDATE orders SET total = '0' WHERE id < 3").await.unwrap(), 2);
    assert_eq!(session.ledger.usage().rows, 2);
}

#[tokio::test]
async fn parameters_are_a_list() {
    let shop = Shop::open().await;
    let mut session = shop.granted(json!({"shop": "read"})).session();
    for params in ["", "{}", "nope", "null", &"[".repeat(200)] {
        let result = Host::query(&mut session, "shop".to_owned(), COUNT.to_owned(), params.to_owned()).await;
        assert!(matches!(result, Err(Failure::Invalid(_))), "{params:.20}: {result:?}");
    }
    assert_eq!(session.ledger.usage().requests, 0);
}

#[track_caller]
fn check_denied<T: std::fmt::Debug>(
    session: &Session,
    result: Result<T, Failure>,
    target: &str,
    reason: &str,
    allow: &str,
) {
    match result {
        Err(Failure::Denied(text)) => assert_eq!(text, format!("`{target}` is refused: {reason}")),
        other => panic!("{other:?}"),
    }
    assert_eq!(session.refusal(), (target.to_owned(), allow.to_owned()));
}

#[tokio::test]
async fn a_database_needs_a_grant() {
    let shop = Shop::open().await;
    let mut session = shop.granted(json!({"main": "schema"})).session();
    let result = session.ask(COUNT).await;
    let line = "grants:\n  my_step: { databases: { main: schema, shop: read } }";
    check_denied(&session, result, "shop", "no grant of `my_step` admits the database `shop`", line);
    assert!(matches!(session.open_one().await, Err(Failure::Denied(_))));
    assert_eq!(session.ledger.usage().requests, 0);
}

#[tokio::test]
async fn the_flow_and_the_step_narrow_it() {
    let shop = Shop::open().await;
    let write = json!({"shop": "write"});
    let narrow = |databases: Value| json!({ "databases": databases });
    let mut session =
        Given { flow: narrow(json!({"main": "read"})), ..shop.granted(write.clone()) }.session();
    let result = session.ask(COUNT).await;
    let reason = "the flow's own `grants` do not admit the database `shop`";
    check_denied(&session, result, "shop", reason, "grants: { databases: { main: read, shop: read } }");

    let mut session = Given { step: narrow(json!({"shop": "read"})), ..shop.granted(write) }.session();
    session.ask(COUNT).await.unwrap();
    let Err(Failure::Denied(text)) = session.run("DELETE FROM orders").await else { panic!() };
    assert!(text.contains("`shop` is `read`"), "{text}");
    assert_eq!(session.refusal().1, "grants: { databases: { shop: write } }");
    assert_eq!(session.ask(COUNT).await.unwrap().rows, r#"[{"n":3}]"#);
}

#[tokio::test]
async fn a_class_of_statements_needs_its_access() {
    let shop = Shop::open().await;
    let rule = json!({"access": "read", "rows": 5});
    let mut session = shop.granted(json!({"shop": rule})).session();
    assert!(matches!(session.run("DROP TABLE orders").await, Err(Failure::Denied(_))));
    let line = "grants:\n  my_step: { databases: { shop: { access: schema, rows: 5 } } }";
    assert_eq!(session.refusal(), ("shop".to_owned(), line.to_owned()));
    // Nothing admits it, so that there is no line.
    assert!(matches!(session.run("PRAGMA journal_mode = DELETE").await, Err(Failure::Denied(_))));
    assert_eq!(session.refusal(), ("shop".to_owned(), String::new()));
}

#[tokio::test]
async fn a_table_that_is_called_like_a_pattern_makes_no_line_for_others() {
    let shop = Shop::open().await;
    let rule = json!({"shop": {"access": "schema", "tables": ["orders"]}});
    for table in ["*", "cust*"] {
        let mut session = shop.granted(rule.clone()).session();
        let result = session.ask(&format!("CREATE TABLE \"{table}\" (a)")).await;
        assert!(matches!(result, Err(Failure::Denied(_))), "{result:?}");
        let line = "grants:\n  my_step: { databases: { shop: { access: schema, tables: [orders] } } }";
        assert_eq!(session.refusal(), (format!("shop.{table}"), line.to_owned()));
    }
}

#[tokio::test]
async fn a_table_needs_to_be_in_every_list() {
    let shop = Shop::open().await;
    let rule = json!({"shop": {"access": "read", "tables": ["orders", "cust_*"]}});
    let mut session = shop.granted(rule.clone()).session();
    session.ask(COUNT).await.unwrap();
    assert!(matches!(session.ask("SELECT * FROM customers").await, Err(Failure::Denied(_))));
    let line = "grants:\n  my_step: { databases: { shop: { access: read, tables: [orders, \"cust_*\", customers] } } }";
    assert_eq!(session.refusal(), ("shop.customers".to_owned(), line.to_owned()));

    let flow = json!({"databases": {"shop": {"access": "read", "tables": ["customers"]}}});
    let mut session = Given { flow, ..shop.granted(rule) }.session();
    assert!(matches!(session.ask(COUNT).await, Err(Failure::Denied(_))));
    let line = "grants: { databases: { shop: { access: read, tables: [customers, orders] } } }";
    assert_eq!(session.refusal(), ("shop.orders".to_owned(), line.to_owned()));
}

#[tokio::test]
async fn an_unknown_database_names_those_that_are_there() {
    let shop = Shop::open().await;
    let mut session = shop.granted(json!({"stock": "read"})).session();
    let result = Host::query(&mut session, "stock".to_owned(), COUNT.to_owned(), "[]".to_owned()).await;
    let reason = "there is no such database; the config has `main`, `shop`";
    let line = "databases:\n  stock: { url: \"postgres://USER:PASSWORD@HOST/NAME\" }";
    check_denied(&session, result, "stock", reason, line);
    // What is no name never comes near a line of the config.
    let name = "x: {}\n  evil".to_owned();
    let result = Host::query(&mut session, name, COUNT.to_owned(), "[]".to_owned()).await;
    assert!(matches!(result, Err(Failure::Invalid(_))), "{result:?}");
}

#[tokio::test]
async fn the_smallest_limit_holds() {
    let shop = Shop::open().await;
    let flow = json!({"databases": {"shop": {"access": "write", "rows": 2}}});
    let own = json!({"shop": {"access": "write", "rows": 100}});
    let mut session = Given { flow, ..shop.granted(own) }.session();
    assert!(matches!(session.ask("SELECT * FROM orders").await, Err(Failure::Limit(_))));
    session.ask("SELECT * FROM orders LIMIT 2").await.unwrap();
    let own = json!({"shop": {"access": "read", "bytes": 20}});
    let mut session = shop.granted(own).session();
    assert!(matches!(session.ask("SELECT * FROM orders").await, Err(Failure::Limit(_))));
}

const SLOW: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) \
                    SELECT count(*) FROM n";

#[tokio::test]
async fn a_slow_statement_ends_in_its_time() {
    let shop = Shop::open().await;
    let mut session = shop.granted(json!({"shop": {"access": "read", "time": "50ms"}})).session();
    let result = session.ask(SLOW).await;
    assert!(matches!(result, Err(Failure::Timeout(_))), "{result:?}");
    // And with the step.
    let mut session = shop.granted(json!({"shop": "read"})).session();
    session.deadline = Instant::now() + Duration::from_millis(50);
    let result = session.ask(SLOW).await;
    assert!(matches!(result, Err(Failure::Timeout(_))), "{result:?}");
}

#[tokio::test]
async fn statements_are_bounded() {
    let shop = Shop::open().await;
    let limits = Limits { request: 64, requests: 2, ..Limits::default() };
    let mut session = Given { limits, ..shop.granted(json!({"shop": "read"})) }.session();
    let long = format!("{COUNT} -- {}", "x".repeat(64));
    assert!(matches!(session.ask(&long).await, Err(Failure::Limit(_))));
    session.ask(COUNT).await.unwrap();
    session.ask(COUNT).await.unwrap();
    let Err(Failure::Limit(text)) = session.ask(COUNT).await else { panic!() };
    assert!(text.contains("`limits.requests`"), "{text}");
}

#[tokio::test]
async fn the_runs_budget_ends_it() {
    let shop = Shop::open().await;
    let budget = Budget { rows: Some(4), ..Budget::default() };
    let mut session = Given { budget, ..shop.granted(json!({"shop": "write"})) }.session();
    session.ask("SELECT * FROM orders").await.unwrap();
    session.run("UPDATE orders SET total = '0' WHERE id = 1").await.unwrap();
    // Nothing is left, so that nothing more is run.
    let Err(Failure::Limit(text)) = session.run("DELETE FROM orders").await else { panic!() };
    assert_eq!(text, "the run's budget of 4 for rows is used up");
    assert!(session.caller.meter.overdrawn().is_some());
    let mut other = shop.granted(json!({"shop": "read"})).session();
    assert_eq!(other.ask(COUNT).await.unwrap().rows, r#"[{"n":3}]"#);
}

#[tokio::test]
async fn what_the_database_says_comes_through() {
    let shop = Shop::open().await;
    let mut session = shop.granted(json!({"shop": "write"})).session();
    let result = session.run("INSERT INTO orders (id) VALUES (1)").await;
    let Err(Failure::Rejected(rejection)) = result else { panic!("{result:?}") };
    assert!(rejection.code.unwrap().starts_with("SQLITE_CONSTRAINT"), "{}", rejection.message);
    let result = session.ask("SELECT 1; SELECT 2").await;
    assert!(matches!(result, Err(Failure::Invalid(_))), "{result:?}");
}

#[tokio::test]
async fn a_transaction_counts_when_it_is_committed() {
    let shop = Shop::open().await;
    let mut session = shop.granted(json!({"shop": "write"})).session();
    let open = session.open_one().await.unwrap();
    session.run_in(&open, "DELETE FROM orders WHERE id = 1").await.unwrap();
    session.run_in(&open, "DELETE FROM orders WHERE id = 2").await.unwrap();
    session.commit(open).await.unwrap();
    assert_eq!(session.ask(COUNT).await.unwrap().rows, r#"[{"n":1}]"#);
    assert_eq!(session.ledger.usage().rows, 3);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_never_was() {
    let shop = Shop::open().await;
    let mut session = shop.granted(json!({"shop": "write"})).session();
    let open = session.open_one().await.unwrap();
    session.run_in(&open, "DELETE FROM orders").await.unwrap();
    HostTransaction::drop(&mut session, open).await.unwrap();
    assert_eq!(session.ask(COUNT).await.unwrap().rows, r#"[{"n":3}]"#);
    // With its cell too.
    let open = session.open_one().await.unwrap();
    session.run_in(&open, "DELETE FROM orders").await.unwrap();
    drop(session);
    let mut other = shop.granted(json!({"shop": "write"})).session();
    assert_eq!(other.ask(COUNT).await.unwrap().rows, r#"[{"n":3}]"#);
    assert_eq!(other.run("DELETE FROM orders").await.unwrap(), 3);
}

#[tokio::test]
async fn a_cell_has_so_many_transactions() {
    let shop = Shop::open().await;
    let mut session = shop.granted(json!({"shop": "read"})).session();
    let mut open = Vec::new();
    for _ in 0..TRANSACTIONS_MAX {
        open.push(session.open_one().await.unwrap());
    }
    assert!(matches!(session.open_one().await, Err(Failure::Limit(_))));
    HostTransaction::drop(&mut session, open.remove(0)).await.unwrap();
    session.open_one().await.unwrap();
}

#[tokio::test]
async fn a_cell_does_not_wait_for_itself() {
    let shop = Shop::open().await;
    let mut session = shop.granted(json!({"shop": "write"})).session();
    let open = session.open_one().await.unwrap();
    assert!(matches!(session.open_one().await, Err(Failure::Limit(_))));
    HostTransaction::drop(&mut session, open).await.unwrap();
    session.open_one().await.unwrap();
}

#[tokio::test]
async fn a_refusal_in_a_transaction_names_its_database() {
    let shop = Shop::open().await;
    let mut session = shop.granted(json!({"shop": "read"})).session();
    let open = session.open_one().await.unwrap();
    assert!(matches!(session.run_in(&open, "DELETE FROM orders").await, Err(Failure::Denied(_))));
    assert_eq!(session.refusal().1, "grants:\n  my_step: { databases: { shop: write } }");
}
