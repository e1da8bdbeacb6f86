use super::*;

const GATE: &str = "name: g\ndeadline: 1s\nsteps:\n  - { id: a, type: gate, config: {} }\n";
const WAIT: &str = "name: w\ndeadline: 1s\nsteps:\n  - { id: a, type: signal, config: { name: paid } }\n";

async fn is_over(host: &Host, run: RunId) {
    let view = host.ends(run).await;
    let error = view.error.unwrap();
    assert_eq!((view.status, error.failure.code.as_deref()), (RunStatus::Failed, Some("deadline_exceeded")));
    assert_eq!((error.failure.fault, error.step), (Fault::Timeout, None));
    assert_eq!(host.store.next_timer().await.unwrap(), None);
}

#[tokio::test]
async fn a_running_run_is_stopped_at_its_deadline() {
    let host = Host::new().await;
    let run = host.submit(GATE).await;
    is_over(&host, run).await;
    assert_eq!(host.engine.show(run).await.unwrap().steps["a"].status.to_string(), "cancelled");
}

#[tokio::test]
async fn a_parked_run_is_stopped_at_its_deadline() {
    let host = Host::new().await;
    let run = host.submit(WAIT).await;
    host.parks(run).await;
    is_over(&host, run).await;
    assert_eq!(host.store.waits("paid", None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_queued_run_is_stopped_at_its_deadline() {
    let host = Host::with(admission(1, 5)).await;
    let first = host.submit(&flow("other", "gate", &json!({}))).await;
    let queued = host.submit(GATE).await;
    is_over(&host, queued).await;
    assert_eq!(host.log(queued).await, ["run.created", "run.failed"]);
    host.open();
    host.ends(first).await;
    assert_eq!(host.runner.started().len(), 1);
}

#[tokio::test]
async fn a_run_that_ends_in_time_leaves_no_timer() {
    let host = Host::new().await;
    let echo = GATE.replace("gate", "echo").replace("1s", "1h");
    let run = host.submit(&echo).await;
    host.ends(run).await;
    assert_eq!(host.store.next_timer().await.unwrap(), None);
    let cancelled = host.submit(&GATE.replace("1s", "1h")).await;
    host.engine.cancel(cancelled, None).await.unwrap();
    assert_eq!(host.store.next_timer().await.unwrap(), None);
}

#[tokio::test]
async fn a_deadline_that_passed_while_nobody_looked_holds() {
    let host = Host::new().await;
    let (left, plan) = Left::new(&host, WAIT, Some(hours(-1)));
    let queued = left.write(&*host.store, &plan).await;
    let (left, _) = Left::new(&host, WAIT, Some(hours(-1)));
    let running = left.run(EventKind::RunStarted).write(&*host.store, &plan).await;
    let host = host.restart(Admission::default()).await;
    host.ends(running).await;
    is_over(&host, queued).await;
    is_over(&host, running).await;
}
