//! Many callers, few connections.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;
use stepcell_core::grant::DatabaseAccess::{Read, Write};
use stepcell_tests::Postgres as Server;

use super::support::{Bed, brief, rule};
use crate::{Error, Named};

fn bed(connections: usize) -> Bed {
    let server = Server::start();
    let url = server.url("flows");
    Bed::of(server, Named { connections: Some(connections), ..Named::new(url) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_callers_share_eight_sessions() {
    let bed = bed(8);
    let most = AtomicI64::new(0);
    let calls = join_all((0..200).map(|n| {
        let bed = &bed;
        async move { bed.query(&format!("SELECT {n} AS v, pg_sleep(0.02)")).await }
    }));
    let watch = async {
        loop {
            most.fetch_max(bed.server.sessions("flows").await, Ordering::Relaxed);
        }
    };
    let results = tokio::select! {
        results = calls => results,
        () = watch => unreachable!(),
    };
    for (n, result) in results.into_iter().enumerate() {
        assert_eq!(result.unwrap()[0]["v"], json!(n));
    }
    assert_eq!(most.load(Ordering::Relaxed), 8, "all of them were used, and no more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_give_up_do_not_make_more_sessions() {
    let bed = bed(4);
    let most = AtomicI64::new(0);
    let calls = async {
        for _ in 0..5 {
            join_all((0..20).map(|_| {
                let bed = &bed;
                async move {
                    let call = bed.query("SELECT pg_sleep(600)");
                    let _ = tokio::time::timeout(Duration::from_millis(30), call).await;
                }
            }))
            .await;
        }
    };
    let watch = async {
        loop {
            most.fetch_max(bed.server.sessions("flows").await, Ordering::Relaxed);
        }
    };
    tokio::select! {
        () = calls => {}
        () = watch => unreachable!(),
    }
    assert!(most.load(Ordering::Relaxed) <= 4, "{most:?}");
    bed.server.until_idle("flows").await;
    assert_eq!(bed.query("SELECT 1 AS v").await.unwrap(), json!([{"v": 1}]));
}

#[tokio::test]
async fn who_waits_too_long_for_a_connection_is_told_so() {
    let bed = bed(1);
    let holding = bed.databases.begin("shop", &rule(Read)).await.unwrap();
    let rule = brief(Read, Duration::from_millis(100));
    let result = bed.databases.query("shop", "SELECT 1", &[], &rule).await;
    let Err(error @ Error::Timeout { .. }) = result else { panic!("{result:?}") };
    let message = error.to_string();
    assert!(message.contains("pool") && message.contains("shop"), "{message}");
    drop(holding);
    assert_eq!(bed.query("SELECT 1 AS v").await.unwrap(), json!([{"v": 1}]));
}

#[test]
fn a_call_may_be_awaited_outside_the_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let bed = {
        let _entered = runtime.enter();
        bed(2)
    };
    let wait = |statement: &str| futures_executor(bed.query(statement));
    assert_eq!(wait("SELECT 1 AS v").unwrap(), json!([{"v": 1}]));
    // Dropped there as well.
    let rule = brief(Write, Duration::from_millis(100));
    let slow = bed.databases.query("shop", "SELECT pg_sleep(600)", &[], &rule);
    assert!(matches!(futures_executor(slow), Err(Error::Timeout { .. })));
    assert_eq!(wait("SELECT 2 AS v").unwrap(), json!([{"v": 2}]));
}

/// Polls on this thread, where there is no runtime.
fn futures_executor<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        std::thread::park();
    }
}
