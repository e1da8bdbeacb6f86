use super::*;

const GATE: &str = "name: g\nsteps:\n  - { id: a, type: gate, config: {} }\n";

async fn submit_some(host: &Host, runs: usize) -> Vec<RunId> {
    let mut ids = Vec::new();
    for _ in 0..runs {
        ids.push(host.submit(GATE).await);
    }
    ids
}

/// Lets them go on to their ends.
async fn started_in_order(host: &Host, runs: &[RunId]) {
    host.open();
    for run in runs {
        assert_eq!(host.ends(*run).await.status, RunStatus::Succeeded);
    }
    let started: Vec<_> = host.runner.started().into_iter().map(|(run, _)| run).collect();
    assert_eq!(started, runs);
}

#[tokio::test]
async fn what_has_no_place_queues_and_starts_in_order() {
    let host = Host::with(admission(2, 10)).await;
    let runs = submit_some(&host, 5).await;
    host.until("two are under way", || host.runner.started().len() == 2).await;
    assert_eq!(host.log(runs[4]).await, ["run.created"]);
    let counts = host.engine.counts();
    assert_eq!((counts.runs_active, counts.runs_queued), (2, 3));
    started_in_order(&host, &runs).await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_writes_nothing() {
    let host = Host::with(admission(1, 1)).await;
    host.submit(GATE).await;
    host.submit(GATE).await;
    let error = host.try_submit(GATE, None).await.unwrap_err();
    assert_eq!(error.code(), "queue_full");
    assert!(error.to_string().starts_with("1 runs wait for their turn"), "{error}");
    let query = stepcell_store::Query { limit: 10, ..Default::default() };
    assert_eq!(host.engine.list(query).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_flow_at_its_limit_holds_up_no_other() {
    let host = Host::with(Admission { flows: limits(&[("g", 1)]), ..admission(5, 10) }).await;
    let first = host.submit(GATE).await;
    let second = host.submit(GATE).await;
    let other = host.submit(&flow("other", "echo", &json!({}))).await;
    host.ends(other).await;
    assert_eq!(host.log(second).await, ["run.created"]);
    host.open();
    host.ends(first).await;
    host.ends(second).await;
}

#[tokio::test]
async fn a_flow_may_narrow_itself() {
    let host = Host::new().await;
    let narrow = format!("concurrency: 1\n{GATE}");
    let (first, second) = (host.submit(&narrow).await, host.submit(&narrow).await);
    host.has(first, RunStatus::Running).await;
    host.has(second, RunStatus::Queued).await;
    host.open();
    host.ends(second).await;
}

#[tokio::test]
async fn a_run_that_parks_gives_its_place_up_and_goes_on_at_once() {
    let host = Host::with(admission(1, 10)).await;
    let parked = host.submit(&flow("p", "signal", &json!({"name": "approval"}))).await;
    host.parks(parked).await;
    let gate = host.submit(GATE).await;
    host.until("the other is under way", || host.runner.started().len() == 2).await;
    let resume = crate::Resume { step: None, payload: Json::null(), approved: None, by: None };
    host.engine.resume(parked, resume).await.unwrap();
    assert_eq!(host.ends(parked).await.status, RunStatus::Succeeded);
    host.has(gate, RunStatus::Running).await;
}

#[tokio::test]
async fn a_queued_run_can_be_cancelled() {
    let host = Host::with(admission(1, 10)).await;
    host.submit(GATE).await;
    let (second, third) = (host.submit(GATE).await, host.submit(GATE).await);
    let view = host.engine.cancel(second, Some("no more".to_owned())).await.unwrap();
    assert_eq!(view.status, RunStatus::Cancelled);
    assert_eq!(host.log(second).await, ["run.created", "run.cancelled"]);
    assert_eq!(host.engine.cancel(second, None).await.unwrap_err().code(), "run_finished");
    host.open();
    host.ends(third).await;
    assert_eq!(host.runner.started().len(), 2);
}

#[tokio::test]
async fn a_queued_run_waits_for_nothing() {
    let host = Host::with(admission(1, 10)).await;
    host.submit(GATE).await;
    let queued = host.submit(GATE).await;
    let resume = crate::Resume { step: None, payload: Json::null(), approved: None, by: None };
    assert_eq!(host.engine.resume(queued, resume).await.unwrap_err().code(), "not_waiting");
    host.has(queued, RunStatus::Queued).await;
}

#[tokio::test]
async fn the_queue_outlives_a_restart_in_order() {
    let host = Host::with(admission(1, 10)).await;
    let runs = submit_some(&host, 4).await;
    host.until("the first is under way", || host.runner.started().len() == 1).await;
    let host = host.restart(admission(1, 10)).await;
    host.until("it goes on", || host.runner.started().len() == 1).await;
    started_in_order(&host, &runs).await;
}

#[tokio::test]
async fn a_queue_that_was_longer_than_it_may_be_now_is_worked_off() {
    let host = Host::with(admission(1, 10)).await;
    let runs = submit_some(&host, 4).await;
    let host = host.restart(admission(1, 1)).await;
    host.until("recovered", || host.engine.ready()).await;
    assert_eq!(host.try_submit(GATE, None).await.unwrap_err().code(), "queue_full");
    host.open();
    for run in runs {
        host.ends(run).await;
    }
}

#[tokio::test]
async fn many_inputs_start_many_runs_or_none() {
    let host = Host::with(admission(2, 3)).await;
    let echo = host.plan("name: e\nsteps:\n  - { id: a, type: gate, config: { n: '{{ input.n }}' } }\n");
    let inputs = |count: u64| (0..count).map(|n| Json::from(json!({"n": n}))).collect::<Vec<_>>();
    let refused = host.engine.submit_all(echo.clone(), inputs(6), None).await.unwrap_err();
    assert_eq!((refused.error.code(), refused.started), ("queue_full", Vec::new()));
    assert_eq!(host.engine.counts().runs_submitted, 0);
    let runs = host.engine.submit_all(echo, inputs(5), None).await.unwrap();
    host.open();
    for (n, run) in runs.iter().enumerate() {
        let view = host.ends(*run).await;
        assert_eq!(view.output.unwrap().value(), &json!({"a": {"n": n}}));
    }
}

#[tokio::test]
async fn all_inputs_are_checked_before_any_run_starts() {
    let host = Host::new().await;
    let flow = "
name: e
input: { type: object, required: [n] }
steps:
  - { id: a, type: echo, config: {} }
";
    let inputs = [json!({"n": 1}), json!({}), json!({"n": 2}), json!({})].map(Json::from).to_vec();
    let crate::Error::InvalidInput(problems) =
        host.engine.submit_all(host.plan(flow), inputs, None).await.unwrap_err().error
    else {
        panic!("the inputs do not fit");
    };
    let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["inputs[1]", "inputs[3]"]);
    assert_eq!(host.engine.counts().runs_submitted, 0);
}

#[tokio::test]
async fn a_step_type_at_its_limit_waits_and_can_be_cancelled() {
    let host = Host::with(Admission { steps: limits(&[("gate", 1)]), ..admission(9, 9) }).await;
    let (first, second, third) = (host.submit(GATE).await, host.submit(GATE).await, host.submit(GATE).await);
    for run in [first, second, third] {
        host.has(run, RunStatus::Running).await;
    }
    host.until("one is under way", || host.runner.started().len() == 1).await;
    let cancelled = host.engine.cancel(second, None).await.unwrap();
    assert_eq!(cancelled.status, RunStatus::Cancelled);
    host.open();
    host.ends(first).await;
    host.ends(third).await;
    assert_eq!(host.runner.started().len(), 2);
}
