//! A store that fails for a while, and what comes at a bad moment.

use std::sync::atomic::Ordering::SeqCst;

use stepcell_core::event::StepStarted;
use tokio::sync::oneshot;

use super::{watched::WatchedStore, *};
use crate::driver::Command;

#[tokio::test]
async fn a_run_that_could_not_be_read_is_read_again() {
    let first = Host::new().await;
    let (left, plan) = Left::new(&first, &flow("e", "echo", &json!({})), None);
    let store = WatchedStore::new();
    let run = left.run(EventKind::RunStarted).write(&*store, &plan).await;
    store.unreadable.store(1, SeqCst);
    let host = Host::on(store.clone(), Admission::default(), Retention::default()).await;
    host.until("its log is asked for", || store.unreadable.load(SeqCst) == 0).await;
    host.has(run, RunStatus::Succeeded).await;
}

#[tokio::test]
async fn whoever_is_not_heard_on_a_full_disk_is_told_that() {
    let store = WatchedStore::new();
    let host = Host::on(store.clone(), Admission::default(), Retention::default()).await;
    let run = host.submit(&flow("g", "gate", &json!({}))).await;
    host.until("it is under way", || host.runner.started().len() == 1).await;
    store.full.store(true, SeqCst);
    // The driver hears of the first alone.
    let (first, second) = tokio::join!(host.engine.cancel(run, None), host.engine.cancel(run, None));
    for refused in [first, second] {
        assert!(
            matches!(refused, Err(crate::Error::Store(stepcell_store::Error::Full))),
            "{:?}",
            refused.map(drop)
        );
    }
}

#[tokio::test]
async fn a_command_finds_a_run_that_left_the_queue_and_parked() {
    let host = Host::new().await;
    let run = host.submit(&flow("w", "signal", &json!({"name": "paid"}))).await;
    host.parks(run).await;
    let (answer, cancelled) = oneshot::channel();
    host.engine.inner().clone().tell_queued(run, Command::Cancel { reason: None, answer }).await;
    assert_eq!(cancelled.await.unwrap().unwrap().status, RunStatus::Cancelled);
}

#[tokio::test]
async fn whoever_waits_for_a_run_that_nobody_can_drive_is_told() {
    let host = Host::new().await;
    let (mut left, plan) = Left::new(&host, &flow("e", "echo", &json!({})), None);
    let EventKind::RunCreated(created) = &mut left.events[0].kind else { panic!("it is the first") };
    created.plugins.insert("echo".to_owned(), vec![Digest::of(b"gone")]);
    let started = StepStarted { attempt: 1, idempotency_key: "k".to_owned() };
    let left = left.run(EventKind::RunStarted).step("a", EventKind::StepStarted(started));
    let run = left.write(&*host.store, &plan).await;
    let begun = Instant::now();
    let (view, cancelled) = tokio::join!(host.ends(run), host.engine.cancel(run, None));
    assert_eq!(view.error.unwrap().failure.code.as_deref(), Some("plugin_gone"));
    assert_eq!(cancelled.unwrap_err().code(), "plugin_gone");
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
}
