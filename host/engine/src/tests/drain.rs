use super::*;

const TWO: &str = "
name: t
steps:
  - { id: a, type: gate, config: {} }
  - { id: b, type: echo, after: a, config: {} }
";

#[tokio::test]
async fn attempts_under_way_end_and_no_more_begin() {
    let host = Host::with(admission(1, 5)).await;
    let run = host.submit(TWO).await;
    let queued = host.submit(TWO).await;
    host.until("it is under way", || host.runner.started().len() == 1).await;
    let engine = host.engine.clone();
    let draining = tokio::spawn(async move { engine.drain(PATIENCE).await });
    host.until("nothing more is taken", || host.engine.inner().draining.is_cancelled()).await;
    assert_eq!(host.try_submit(TWO, None).await.unwrap_err().code(), "stopping");
    host.open();
    draining.await.unwrap();
    assert_eq!(
        host.log(run).await,
        ["run.created", "run.started", "step.routed", "step.started", "step.succeeded"]
    );
    assert_eq!(host.log(queued).await, ["run.created"]);
    let host = host.restart(admission(1, 5)).await;
    host.open();
    host.ends(run).await;
    host.ends(queued).await;
    let first: Vec<_> = host.runner.started().into_iter().filter(|(of, _)| *of == run).collect();
    assert_eq!(first, [(run, "b".to_owned())]);
}

#[tokio::test]
async fn what_does_not_end_in_time_is_dropped() {
    let host = Host::new().await;
    let run = host.submit(TWO).await;
    host.until("it is under way", || host.runner.started().len() == 1).await;
    host.engine.drain(Duration::from_millis(20)).await;
    assert_eq!(host.log(run).await.last(), Some(&"step.started"));
}

#[tokio::test]
async fn a_run_between_two_attempts_is_not_waited_for() {
    let host = Host::new().await;
    let flow =
        "name: f\nsteps:\n  - { id: a, type: flaky, config: {}, retry: { max_attempts: 2, initial: 9s } }\n";
    let run = host.submit(flow).await;
    let begun = Instant::now();
    host.until("it has failed once", || host.engine.counts().attempts_ended == 1).await;
    host.engine.drain(PATIENCE).await;
    assert!(begun.elapsed() < Duration::from_secs(4));
    host.has(run, RunStatus::Running).await;
}

#[tokio::test]
async fn a_step_that_waits_for_its_turn_does_not_begin() {
    let host = Host::with(Admission { steps: limits(&[("gate", 1)]), ..admission(9, 9) }).await;
    let (first, second) = (host.submit(TWO).await, host.submit(TWO).await);
    host.has(first, RunStatus::Running).await;
    host.has(second, RunStatus::Running).await;
    host.until("one is under way", || host.runner.started().len() == 1).await;
    let engine = host.engine.clone();
    let draining = tokio::spawn(async move { engine.drain(PATIENCE).await });
    host.until("nothing more is taken", || host.engine.inner().draining.is_cancelled()).await;
    host.open();
    draining.await.unwrap();
    assert_eq!(host.runner.started().len(), 1);
}

#[tokio::test]
async fn whoever_waits_is_let_go() {
    let host = Host::new().await;
    let parked = host.submit(&flow("p", "signal", &json!({"name": "approval"}))).await;
    host.parks(parked).await;
    let engine = host.engine.clone();
    let waiting = tokio::spawn(async move { engine.wait(parked, PATIENCE).await.unwrap() });
    let follower = host.engine.follow(parked, 0);
    let following = tokio::spawn(async move { futures_util::StreamExt::count(follower).await });
    host.until("somebody waits", || host.engine.inner().is_waited_for(parked)).await;
    let begun = Instant::now();
    host.engine.drain(PATIENCE).await;
    assert_eq!(waiting.await.unwrap().status, RunStatus::Waiting);
    assert!(following.await.unwrap() > 0);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_cancel_is_heard_while_the_engine_drains() {
    let host = Host::new().await;
    let run = host.submit(TWO).await;
    host.until("it is under way", || host.runner.started().len() == 1).await;
    let engine = host.engine.clone();
    let draining = tokio::spawn(async move { engine.drain(PATIENCE).await });
    host.until("nothing more is taken", || host.engine.inner().draining.is_cancelled()).await;
    let view = host.engine.cancel(run, None).await.unwrap();
    assert_eq!(view.status, RunStatus::Cancelled);
    draining.await.unwrap();
}
