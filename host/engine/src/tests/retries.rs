use stepcell_core::event::{StepRetrying, StepStarted};

use super::*;

/// The second attempt comes after this long.
fn flaky(initial: &str) -> String {
    format!(
        "name: f\nsteps:\n  - {{ id: a, type: flaky, config: {{}}, retry: {{ max_attempts: 2, initial: {initial}, \
         max: 1h, jitter: false }} }}\n"
    )
}

#[tokio::test]
async fn a_long_pause_parks_the_run() {
    let host = Host::new().await;
    let run = host.submit(&flaky("30m")).await;
    host.parks(run).await;
    let at = host.engine.show(run).await.unwrap().steps["a"].retry_at.unwrap();
    assert_eq!(host.store.next_timer().await.unwrap(), Some(at));
    assert_eq!(host.engine.counts().runs_active, 0);
    host.engine.cancel(run, None).await.unwrap();
    assert_eq!(host.store.next_timer().await.unwrap(), None);
}

#[tokio::test]
async fn a_short_pause_stays_in_memory() {
    let host = Host::new().await;
    let run = host.submit(&flaky("1ms")).await;
    let view = host.ends(run).await;
    assert_eq!((view.status, view.steps["a"].attempts), (RunStatus::Failed, 2));
    assert!(!host.log(run).await.contains(&"run.waiting"));
}

#[tokio::test]
async fn a_pause_that_is_over_starts_the_next_attempt() {
    let host = Host::new().await;
    let (left, plan) = Left::new(&host, &flaky("30m"), None);
    let error = Failure::system(Fault::Unavailable, "flaky", "it is not there").retryable();
    let started = StepStarted { attempt: 1, idempotency_key: "k".to_owned() };
    let retrying = StepRetrying { attempt: 2, at: hours(-1), error, receipt: Receipt::default() };
    let left = left
        .run(EventKind::RunStarted)
        .step("a", EventKind::StepStarted(started))
        .step("a", EventKind::StepRetrying(retrying))
        .run(EventKind::RunWaiting)
        .timer("a", hours(-1));
    let run = left.write(&*host.store, &plan).await;
    let host = host.restart(Admission::default()).await;
    let view = host.ends(run).await;
    assert_eq!((view.steps["a"].attempts, host.runner.started().len()), (2, 1));
}

/// It was short when it was written down, so that no timer was set, and the clock goes back before the next start.
#[tokio::test]
async fn a_pause_that_a_restart_finds_longer_than_it_was_is_not_lost() {
    let host = Host::new().await;
    let (left, plan) = Left::new(&host, &flaky("8s"), None);
    let error = Failure::system(Fault::Unavailable, "flaky", "it is not there").retryable();
    let started = StepStarted { attempt: 1, idempotency_key: "k".to_owned() };
    let at = hours(1);
    let retrying = StepRetrying { attempt: 2, at, error, receipt: Receipt::default() };
    let left = left
        .run(EventKind::RunStarted)
        .step("a", EventKind::StepStarted(started))
        .step("a", EventKind::StepRetrying(retrying));
    let run = left.write(&*host.store, &plan).await;
    let host = host.restart(Admission::default()).await;
    host.parks(run).await;
    assert_eq!(host.store.next_timer().await.unwrap(), Some(at));
    host.engine.cancel(run, None).await.unwrap();
    assert_eq!(host.store.next_timer().await.unwrap(), None);
}
