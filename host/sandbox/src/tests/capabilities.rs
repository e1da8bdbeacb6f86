//! Capabilities from within a cell: what a component imports, and what ends with it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stepcell_core::{Fault, event::Receipt, grant::Level};
use stepcell_database::Databases;
use tokio::runtime::Handle;

use super::*;

/// A statement that would take minutes.
const SLOW: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) \
                    SELECT count(*) AS n FROM n";

/// Runs its config as a statement on `main`, within a transaction that it never commits where `open` is set, and
/// returns the rows, or else the number of the failure.
fn asks(kind: &str, open: bool) -> Guest {
    const IMPORTS: &str = r#"
  (import "stepcell:database/database@0.1.0" "query"
    (func $query (param i32 i32 i32 i32 i32 i32 i32)))
  (import "stepcell:database/database@0.1.0" "[static]transaction.begin"
    (func $begin (param i32 i32 i32)))
  (import "stepcell:database/database@0.1.0" "[method]transaction.query"
    (func $query_in (param i32 i32 i32 i32 i32 i32)))"#;
    let ask = if open {
        "(call $begin (i32.const 512) (i32.const 4) (i32.const 600))
        (call $query_in (i32.load (i32.const 604)) (local.get $config) (local.get $config_len)
            (i32.const 520) (i32.const 2) (i32.const 640))"
    } else {
        "(call $query (i32.const 512) (i32.const 4) (local.get $config) (local.get $config_len)
            (i32.const 520) (i32.const 2) (i32.const 640))"
    };
    // "main" and "[]".
    let execute = format!(
        "(i32.store (i32.const 512) (i32.const 0x6e69616d)) (i32.store (i32.const 520) (i32.const 0x5d5b))
        {ask}
        (if (result i32) (i32.eqz (i32.load8_u (i32.const 640)))
            (then (call $ok (i32.load (i32.const 648)) (i32.load (i32.const 652))))
            (else
                (i32.store8 (i32.const 700) (i32.add (i32.const 48) (i32.load8_u (i32.const 648))))
                (call $ok (i32.const 700) (i32.const 1))))"
    );
    Guest::new(kind, &execute).importing(IMPORTS, "import stepcell:database/database@0.1.0;")
}

/// A host with these types, each of which gets these databases.
async fn host_of(kinds: &[(&str, bool)], databases: Value) -> Host {
    let names: Vec<String> = kinds.iter().map(|(kind, _)| format!("{kind}.wasm")).collect();
    let components = kinds.iter().map(|(kind, open)| asks(kind, *open).component());
    let files: Vec<_> = names.iter().map(String::as_str).zip(components).collect();
    Host::with(&files, |options| {
        let data = options.cache.with_file_name("data");
        fs::create_dir(&data).unwrap();
        options.databases = Some(Databases::open(BTreeMap::new(), &data, &Handle::current()).unwrap());
        let (grant, problems) = Grant::read(&json!({ "databases": databases }), Level::Operator);
        assert_eq!(problems, []);
        options.grants.extend(kinds.iter().map(|(kind, _)| ((*kind).to_owned(), grant.clone())));
    })
    .await
}

/// With the type `t` alone.
async fn host(databases: Value) -> Host {
    host_of(&[("t", false)], databases).await
}

#[tokio::test]
async fn a_component_gets_what_it_imports_and_is_granted() {
    let host = host(json!({"main": "schema"})).await;
    assert_eq!(done(host.run("t", "CREATE TABLE n (i)").await), "[]");
    let completion = host.run("t", "INSERT INTO n VALUES (7) RETURNING i").await;
    let Receipt { requests, rows, sent_bytes, received_bytes, .. } = completion.receipt;
    assert_eq!((requests, rows, sent_bytes, received_bytes), (1, 1, 38, 9));
    assert_eq!(done(completion), r#"[{"i":7}]"#);
    let info = host.info("t.wasm").unwrap();
    assert_eq!(info.capabilities, ["database"]);
    assert!(!host.provider("t").unwrap().pure_step);
}

#[tokio::test]
async fn a_refusal_is_on_the_completion() {
    let host = host(json!({"main": "read"})).await;
    let completion = host.run("t", "CREATE TABLE n (i)").await;
    assert_eq!(completion.denied[0].allow, "grants:\n  t: { databases: { main: schema } }");
    // `denied`
    assert_eq!(done(completion), "0");
}

#[tokio::test]
async fn every_interface_is_there() {
    let world = "import stepcell:http/http@0.1.0; import stepcell:database/database@0.1.0;
        import stepcell:secrets/secrets@0.1.0; import stepcell:email/email@0.1.0;
        import stepcell:blobs/blobs@0.1.0;";
    let imports = r#"
  (import "stepcell:http/http@0.1.0" "send"
    (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "stepcell:database/database@0.1.0" "execute" (func (param i32 i32 i32 i32 i32 i32 i32)))
  (import "stepcell:secrets/secrets@0.1.0" "placeholder" (func (param i32 i32 i32)))
  (import "stepcell:email/email@0.1.0" "send"
    (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "stepcell:blobs/blobs@0.1.0" "get" (func (param i32 i32 i32)))"#;
    let host = Host::of(&Guest::echo("t").importing(imports, world)).await;
    let info = host.info("guest.wasm").unwrap();
    assert_eq!(info.capabilities, ["blobs", "database", "email", "http", "secrets"], "{:?}", info.state);
    assert_eq!(done(host.run("t", "{}").await), "{}");
}

#[tokio::test]
async fn a_statement_ends_with_its_cell() {
    let host = host(json!({"main": "schema"})).await;
    let limits = LimitsRequest { time: Some(Duration::from_millis(200)), ..LimitsRequest::default() };
    let completion = host.sandbox.run(Call { config: SLOW.to_owned(), limits, ..host.call("t") }).await;
    let failure = completion.result.unwrap_err();
    assert_eq!((failure.fault, failure.code.as_deref()), (Fault::Limit, Some("time_exceeded")));
    assert!(completion.receipt.host_us >= 100_000, "{:?}", completion.receipt);
    // Whoever comes next waits for nothing.
    let limits = LimitsRequest { time: Some(Duration::from_secs(5)), ..LimitsRequest::default() };
    let config = "CREATE TABLE n (i)".to_owned();
    assert_eq!(done(host.sandbox.run(Call { config, limits, ..host.call("t") }).await), "[]");
}

#[tokio::test]
async fn a_transaction_ends_with_its_cell() {
    let host = host_of(&[("t", false), ("open", true)], json!({"main": "schema"})).await;
    assert_eq!(done(host.run("t", "CREATE TABLE n (i)").await), "[]");
    let inserted = done(host.run("open", "INSERT INTO n VALUES (7) RETURNING i").await);
    assert_eq!(inserted, r#"[{"i":7}]"#);
    // It was not committed, and nothing of it is in the way.
    assert_eq!(done(host.run("t", "INSERT INTO n VALUES (8) RETURNING i").await), r#"[{"i":8}]"#);
    assert_eq!(done(host.run("t", "SELECT count(*) AS n FROM n").await), r#"[{"n":1}]"#);
}
