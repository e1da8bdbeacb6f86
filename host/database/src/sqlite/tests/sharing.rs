use std::sync::Arc;

use futures_util::future::join_all;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_callers_share_the_connections() {
    let host = Arc::new(Host::shop().await);
    let calls = (0..100).map(|n| {
        let host = Arc::clone(&host);
        tokio::spawn(async move {
            let written =
                host.execute("INSERT INTO orders VALUES ($1, 1)", json!([n + 10]), &rule(Write)).await;
            let read =
                host.query("SELECT total FROM orders WHERE id = $1", json!([n + 10]), &rule(Read)).await;
            (written, read.map(|rows| rows.json))
        })
    });
    for done in join_all(calls).await {
        assert_eq!(done.unwrap(), (Ok(1), Ok(r#"[{"total":1.0}]"#.to_owned())));
    }
    assert_eq!(host.rows("SELECT count(*) AS n FROM orders", json!([])).await, json!([{ "n": 101 }]));
    let threads = threads();
    assert!(threads <= super::super::CONNECTIONS + 1, "{threads} threads");
}

/// Threads of this process that are SQLite's. Each test runs in a process of its own.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default());
    names.filter(|name| name.trim() == "sqlite").count()
}

#[tokio::test]
async fn a_dropped_call_frees_its_connection() {
    let one = Named { connections: Some(1), ..Named::new("sqlite:main.db") };
    let host = Host::with(BTreeMap::from([("main".to_owned(), one)]));
    host.rows("SELECT 1 AS a", json!([])).await;
    for access in [Read, Schema] {
        let statement = match access {
            Read => ENDLESS.to_owned(),
            _ => format!("CREATE TABLE t AS {ENDLESS}"),
        };
        let rule = rule(access);
        {
            let call = host.query(&statement, json!([]), &rule);
            let given_up = tokio::time::timeout(Duration::from_millis(50), call).await;
            assert!(given_up.is_err(), "an endless statement ended");
        }
        // On the same connection, since there is no other.
        let started = Instant::now();
        host.query("SELECT 1", json!([]), &rule).await.unwrap();
        assert!(started.elapsed() < LONG / 2);
    }
    host.execute("CREATE TABLE t (a)", json!([]), &rule(Schema)).await.unwrap();
}

#[tokio::test]
async fn a_call_dropped_in_a_transaction_undoes_it() {
    let host = Host::shop().await;
    let mut transaction = host.databases.begin("main", &rule(Write)).await.unwrap();
    let deadline = Instant::now() + LONG;
    transaction.execute("DELETE FROM orders", &[], deadline).await.unwrap();
    let call = transaction.query(ENDLESS, &[], deadline);
    assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err());
    drop(transaction);
    host.execute("INSERT INTO orders VALUES (2, 1)", json!([]), &rule(Write)).await.unwrap();
    assert_eq!(host.rows("SELECT count(*) AS n FROM orders", json!([])).await, json!([{ "n": 2 }]));
}

#[tokio::test]
async fn who_waits_for_a_connection_waits_no_longer_than_the_deadline() {
    let one = Named { connections: Some(1), ..Named::new("sqlite:main.db") };
    let host = Host::with(BTreeMap::from([("main".to_owned(), one)]));
    let reading = host.databases.begin("main", &rule(Read)).await.unwrap();
    match host.query("SELECT 1", json!([]), &soon(Read)).await {
        Err(Error::Timeout { doing, .. }) => assert_eq!(doing, "the wait for a connection"),
        other => panic!("{other:?}"),
    }
    drop(reading);
    host.query("SELECT 1", json!([]), &rule(Read)).await.unwrap();
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let data = TempDir::new().unwrap();
    let runtime = tokio::runtime::Handle::current();
    for n in 0..3 {
        let databases = Databases::open(BTreeMap::new(), data.path(), &runtime).unwrap();
        if n == 0 {
            databases.execute("main", "CREATE TABLE t (a)", &[], &rule(Schema)).await.unwrap();
        }
        databases.execute("main", "INSERT INTO t VALUES ($1)", &[json!(n)], &rule(Write)).await.unwrap();
        let rows = databases.query("main", "SELECT count(*) AS n FROM t", &[], &rule(Read)).await.unwrap();
        assert_eq!(rows.json, format!(r#"[{{"n":{}}}]"#, n + 1));
    }
}

#[tokio::test]
async fn a_database_in_memory_is_one_for_all() {
    let host = Host::start();
    let databases = host.databases.clone();
    databases.execute("memory", "CREATE TABLE t (a)", &[], &rule(Schema)).await.unwrap();
    let (many, write) = (0..20, rule(Write));
    join_all(
        many.map(|n| {
            let (databases, write) = (&databases, &write);
            async move {
                databases.execute("memory", "INSERT INTO t VALUES ($1)", &[json!(n)], write).await.unwrap()
            }
        }),
    )
    .await;
    let rows = databases.query("memory", "SELECT count(*) AS n FROM t", &[], &rule(Read)).await.unwrap();
    assert_eq!(rows.json, r#"[{"n":20}]"#);
    let refused = databases.execute("memory", "DELETE FROM t", &[], &rule(Read)).await;
    assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");
}

#[test]
fn calls_can_be_awaited_outside_the_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let data = TempDir::new().unwrap();
    let databases = Databases::open(BTreeMap::new(), data.path(), runtime.handle()).unwrap();
    let rule = Rule { deadline: Instant::now() + Duration::from_millis(200), ..rule(Read) };
    let late = futures_util::FutureExt::now_or_never(databases.query("main", ENDLESS, &[], &rule));
    assert!(late.is_none());
    let waiting = std::thread::spawn(move || {
        runtime.block_on(async move {
            let call = std::thread::spawn(move || {
                futures_executor(databases.query("main", ENDLESS, &[], &rule)).map(|_| ())
            });
            tokio::task::spawn_blocking(move || call.join().unwrap()).await.unwrap()
        })
    });
    assert!(matches!(waiting.join().unwrap(), Err(Error::Timeout { .. })));
}

/// Waits without any runtime.
fn futures_executor<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        std::thread::park();
    }
}
