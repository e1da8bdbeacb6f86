use std::{fmt::Write, sync::atomic::Ordering::SeqCst};

use stepcell_core::event::{StepRetrying, StepStarted, StepWaiting, Wait};

use super::{watched::WatchedStore, *};
use crate::driver::Outbox;

/// As many steps as may be under way in one run, and one that is to be tried again.
fn crowd() -> String {
    let mut flow = "name: c\nsteps:\n".to_owned();
    for n in 0..256 {
        writeln!(flow, "  - {{ id: g{n}, type: gate, config: {{}} }}").unwrap();
    }
    flow + "  - { id: f, type: flaky, config: {}, retry: { max_attempts: 2, initial: 30m, max: 1h } }\n"
}

#[tokio::test]
async fn a_due_retry_without_room_lets_the_store_rest() {
    let store = WatchedStore::new();
    let host = Host::on(store.clone(), Admission::default(), Retention::default()).await;
    let (left, plan) = Left::new(&host, &crowd(), None);
    let error = Failure::system(Fault::Unavailable, "flaky", "it is not there").retryable();
    let started = StepStarted { attempt: 1, idempotency_key: "k".to_owned() };
    let at = hours(-1);
    let retrying = StepRetrying { attempt: 2, at, error, receipt: Receipt::default() };
    let left = left
        .run(EventKind::RunStarted)
        .step("f", EventKind::StepStarted(started))
        .step("f", EventKind::StepRetrying(retrying))
        .timer("f", at);
    let run = left.write(&*store, &plan).await;
    host.engine.shutdown().await;
    let host = Host::on(store.clone(), Admission::default(), Retention::default()).await;
    host.until("all places are taken", || host.runner.started().len() == 256).await;
    let (looks, begun) = (store.looks.load(SeqCst), Instant::now());
    host.until("a while is over", || begun.elapsed() > Duration::from_millis(500)).await;
    let looks = store.looks.load(SeqCst) - looks;
    assert!(looks < 10, "the store was asked for timers {looks} times");
    host.open();
    assert_eq!(host.ends(run).await.steps["f"].attempts, 2);
    assert_eq!(store.next_timer().await.unwrap(), None);
}

#[tokio::test]
async fn a_timer_that_is_soon_is_told_of_also_where_more_is_written_behind_it() {
    let host = Host::new().await;
    let echo = flow("e", "echo", &json!({}));
    // By now the timers were looked at, and there was none.
    host.ends(host.submit(&echo).await).await;
    let (left, plan) = Left::new(&host, &echo, None);
    let (run, created) = (left.run, left.events[0].clone());
    let mut state = RunState::new(&created).unwrap();
    let blobs = vec![BlobRef { digest: plan.digest, bytes: Some(plan.source.clone()) }];
    let mut outbox = Outbox::begin(run, created, blobs, None);
    let begun = Instant::now();
    let until = Timestamp::now() + Duration::from_millis(200);
    let started = StepStarted { attempt: 1, idempotency_key: "k".to_owned() };
    let waiting = StepWaiting { wait: Wait::Timer { until }, receipt: Receipt::default() };
    let a = Some(StepId::new("a").unwrap());
    outbox.emit(&mut state, None, EventKind::RunStarted).unwrap();
    outbox.emit(&mut state, a.clone(), EventKind::StepStarted(started)).unwrap();
    outbox.emit(&mut state, a, EventKind::StepWaiting(waiting)).unwrap();
    let engine = host.engine.inner();
    outbox.flush(engine, &state);
    outbox.emit(&mut state, None, EventKind::RunWaiting).unwrap();
    outbox.synced(engine, &state).await.unwrap();
    host.ends(run).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "it came after {:?}", begun.elapsed());
}
