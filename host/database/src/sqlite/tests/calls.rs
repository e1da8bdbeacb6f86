use std::sync::Arc;

use super::{
    super::{
        call::Call,
        connection::{Opener, Role, Slot, VALUE_BYTES_MAX},
        error::Origin,
        location::Location,
        room::Room,
        turn::Canceller,
    },
    *,
};
use crate::statement::{Dialect, Statement};

#[track_caller]
fn limit<T: std::fmt::Debug>(result: Result<T, Error>, name: &str) {
    match result {
        Err(Error::Limit(message)) => assert!(message.contains(name), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_a_statement_changes_is_counted() {
    let host = Host::shop().await;
    let write = rule(Write);
    assert_eq!(host.execute("INSERT INTO orders VALUES (2, 1), (3, 1)", json!([]), &write).await, Ok(2));
    assert_eq!(host.execute("UPDATE orders SET total = 0", json!([]), &write).await, Ok(3));
    let changed = host.query("DELETE FROM orders WHERE id > $1", json!([1]), &write).await.unwrap();
    assert_eq!(changed, Rows { json: "[]".to_owned(), count: 2 });
    let created = host.query("CREATE TABLE t (a)", json!([]), &rule(Schema)).await.unwrap();
    assert_eq!(created.count, 0);
    let returned =
        host.query("INSERT INTO orders VALUES (7, 1) RETURNING id", json!([]), &write).await.unwrap();
    assert_eq!(returned, Rows { json: r#"[{"id":7}]"#.to_owned(), count: 1 });
    assert_eq!(host.execute("INSERT INTO orders VALUES (8, 1) RETURNING id", json!([]), &write).await, Ok(1));
    assert_eq!(host.execute("SELECT * FROM orders", json!([]), &write).await, Ok(0));
}

#[tokio::test]
async fn the_database_s_no_has_the_name_of_its_code() {
    let host = Host::shop().await;
    for (statement, name) in [
        ("INSERT INTO customers VALUES (2, 'Ada')", "SQLITE_CONSTRAINT_UNIQUE"),
        ("INSERT INTO orders VALUES (1, 1)", "SQLITE_CONSTRAINT_PRIMARYKEY"),
        ("INSERT INTO orders VALUES ('x', 1)", "SQLITE_MISMATCH"),
        ("SELECT * FROM nowhere", "SQLITE_ERROR"),
        ("SELECT \"no column\" FROM orders", "SQLITE_ERROR"),
        ("SELECT 1 FROM", "SQLITE_ERROR"),
    ] {
        match host.execute(statement, json!([]), &rule(Write)).await {
            Err(Error::Rejected { code, .. }) => assert_eq!(code.as_deref(), Some(name), "{statement}"),
            other => panic!("{statement}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_result_stays_within_its_rows_and_bytes() {
    let host = Host::start();
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    limit(host.query(many, json!([]), &Rule { rows: 1000, ..rule(Read) }).await, "1000 rows");
    let ten = format!("{many} LIMIT 10");
    assert_eq!(host.query(&ten, json!([]), &Rule { rows: 10, ..rule(Read) }).await.unwrap().count, 10);
    let exact = r#"[{"a":"xxxx"}]"#;
    let fits = Rule { bytes: exact.len() as u64, ..rule(Read) };
    assert_eq!(host.query("SELECT 'xxxx' AS a", json!([]), &fits).await.unwrap().json, exact);
    limit(host.query("SELECT 'xxxxx' AS a", json!([]), &fits).await, "`bytes`");
    limit(host.query(many, json!([]), &Rule { bytes: 4096, ..rule(Read) }).await, "4096 bytes");
    limit(
        host.query("SELECT zeroblob(1000)", json!([]), &Rule { bytes: 1000, ..rule(Read) }).await,
        "`bytes`",
    );
}

#[tokio::test]
async fn a_value_has_a_largest_size() {
    let host = Host::start();
    let most = usize::try_from(VALUE_BYTES_MAX).unwrap();
    let (fits, over) = (json!(["a".repeat(most)]), json!(["a".repeat(most + 1)]));
    let length = "SELECT length($1) AS n";
    assert!(host.query(length, fits.clone(), &rule(Read)).await.is_ok());
    limit(host.query(length, over, &rule(Read)).await, "no value");
    limit(host.query("SELECT randomblob(1000000000)", json!([]), &rule(Read)).await, "no value");
    let grown = "SELECT group_concat($1) AS g FROM json_each('[1,2]')";
    limit(host.query(grown, fits, &rule(Read)).await, "no value");
}

#[tokio::test]
async fn rows_that_are_too_many_were_not_written() {
    let host = Host::shop().await;
    let insert = "INSERT INTO orders VALUES (10, 1), (11, 1) RETURNING id";
    limit(host.query(insert, json!([]), &Rule { rows: 1, ..rule(Write) }).await, "rows");
    assert_eq!(host.rows("SELECT count(*) AS n FROM orders", json!([])).await, json!([{ "n": 1 }]));
}

#[tokio::test]
async fn memory_has_a_limit() {
    let host = Host::start();
    let sort = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000) \
                SELECT length(b) FROM (SELECT randomblob(900000) AS b FROM n ORDER BY b)";
    limit(host.query(sort, json!([]), &rule(Read)).await, "memory");
    assert_eq!(host.rows("SELECT 1 AS a", json!([])).await, json!([{ "a": 1 }]));
}

#[tokio::test]
async fn an_endless_statement_ends_at_its_deadline() {
    let host = Host::start();
    let started = Instant::now();
    match host.query(ENDLESS, json!([]), &soon(Read)).await {
        Err(Error::Timeout { peer, .. }) => assert_eq!(peer, "main.db"),
        other => panic!("{other:?}"),
    }
    assert!(started.elapsed() < LONG / 2);
    let insert = format!("CREATE TABLE t AS {ENDLESS}");
    assert!(matches!(host.execute(&insert, json!([]), &soon(Schema)).await, Err(Error::Timeout { .. })));
    // The one connection that writes is free again.
    host.execute("CREATE TABLE t (a)", json!([]), &rule(Schema)).await.unwrap();
}

#[tokio::test]
async fn the_config_s_time_holds_as_well() {
    let main = Named { statement_time: Some(Duration::from_millis(100)), ..Named::new("sqlite:main.db") };
    let host = Host::with(BTreeMap::from([("main".to_owned(), main)]));
    assert!(matches!(host.query(ENDLESS, json!([]), &rule(Read)).await, Err(Error::Timeout { .. })));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told() {
    let host = Host::start();
    let error = host.databases.query("shop", "SELECT 1", &[], &rule(Read)).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no database `shop`; the config names `main`, `memory`");
}

#[tokio::test]
async fn a_file_that_can_not_be_opened_is_unavailable_by_its_name() {
    let named = Named::new("sqlite:plain/lost.db");
    let host = Host::with(BTreeMap::from([("lost".to_owned(), named)]));
    std::fs::write(host.data.path().join("plain"), "no folder").unwrap();
    for access in [Read, Write] {
        match host.databases.query("lost", "SELECT 1", &[], &rule(access)).await {
            Err(Error::Unavailable { peer, reason }) => {
                assert_eq!(peer, "plain/lost.db");
                assert!(!reason.contains('/'), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_file_that_is_nodatabase_is_unavailable() {
    let data = TempDir::new().unwrap();
    std::fs::write(
        data.path().join("main.db"),
        "not a database at all, but long enough for a header".repeat(9),
    )
    .unwrap();
    let runtime = tokio::runtime::Handle::current();
    let databases = Databases::open(BTreeMap::new(), data.path(), &runtime).unwrap();
    let result = databases.query("main", "SELECT 1", &[], &rule(Read)).await;
    assert!(matches!(result, Err(Error::Unavailable { .. })), "{result:?}");
    // As soon as the operator has put things right it is there.
    std::fs::remove_file(data.path().join("main.db")).unwrap();
    databases.query("main", "SELECT 1", &[], &rule(Read)).await.unwrap();
}

/// The connection that writes, on a disk that has to have so much free.
fn on_disk(least: impl Fn(&std::path::Path) -> u64, statement: &str) -> Result<u64, Error> {
    let data = TempDir::new().unwrap();
    let origin = Arc::new(Origin { database: "main".to_owned(), peer: "main.db".to_owned() });
    let location = Location::File(data.path().join("main.db"));
    let mut slot = Slot::new(Arc::new(Opener { location, role: Role::Writer, origin: Arc::clone(&origin) }));
    let (canceller, rule) = (Canceller::default(), rule(Schema));
    slot.open(canceller.stop(rule.deadline))?.room = Some(Room::with_least(data.path(), least(data.path())));
    let statement = Statement::read(statement, Dialect::Sqlite)?;
    let call = Call::new(&origin, &statement, &[], &rule, false, &canceller)?;
    slot.alone(&call).map(|outcome| outcome.changed)
}

#[track_caller]
fn check_full(result: Result<u64, Error>) {
    match result {
        Err(Error::Unavailable { reason, .. }) => assert_eq!(reason, "the disk is almost full"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_written_where_the_disk_is_almost_full() {
    check_full(on_disk(|_| u64::MAX, "CREATE TABLE t (a)"));
    assert_eq!(on_disk(|_| u64::MAX, "SELECT 1"), Ok(0));
    assert_eq!(on_disk(|_| 0, "CREATE TABLE t (a)"), Ok(0));
}

#[test]
fn a_statement_that_fills_the_disk_is_stopped() {
    // Little is to be left over what is free now: the statement takes it within a second.
    let least = |folder: &std::path::Path| {
        let stat = rustix::fs::statvfs(folder).unwrap();
        (stat.f_bavail * stat.f_frsize).saturating_sub(16 << 20)
    };
    let fill = "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000) \
                SELECT randomblob(500000) AS b FROM n";
    check_full(on_disk(least, fill));
}

#[tokio::test]
async fn the_data_folder_need_not_be_there_yet() {
    let temp = TempDir::new().unwrap();
    let data = temp.path().join("a/b");
    let databases = Databases::open(BTreeMap::new(), &data, &tokio::runtime::Handle::current()).unwrap();
    databases.execute("main", "CREATE TABLE t (id)", &[], &rule(Schema)).await.unwrap();
    assert!(data.join("main.db").is_file());
}
