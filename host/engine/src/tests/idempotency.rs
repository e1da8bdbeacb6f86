use super::*;
use crate::Error;

const ECHO: &str = "name: e\nsteps:\n  - { id: a, type: echo, config: { n: '{{ input.n }}' } }\n";

impl Host {
    async fn keyed(&self, key: &str, input: &str) -> Result<RunId, Error> {
        let submit = Submit {
            plan: self.plan(ECHO),
            input: Json::parse(input.to_owned()).unwrap(),
            idempotency_key: Some(key.to_owned()),
        };
        self.engine.submit(submit).await
    }
}

#[tokio::test]
async fn the_same_key_and_body_give_the_same_run() {
    let host = Host::new().await;
    let run = host.keyed("k", r#"{"n": 1, "m": 2}"#).await.unwrap();
    assert_eq!(host.keyed("k", r#"{"m":2,"n":1}"#).await.unwrap(), run);
    assert_ne!(host.keyed("l", r#"{"n": 1, "m": 2}"#).await.unwrap(), run);
    host.ends(run).await;
    assert_eq!(host.keyed("k", r#"{"n": 1, "m": 2}"#).await.unwrap(), run);
    let host = host.restart(Admission::default()).await;
    assert_eq!(host.keyed("k", r#"{"n": 1, "m": 2}"#).await.unwrap(), run);
    assert_eq!(host.runner.started().len(), 0);
}

#[tokio::test]
async fn another_body_under_the_key_is_refused() {
    let host = Host::new().await;
    let run = host.keyed("k", r#"{"n": 1}"#).await.unwrap();
    let error = host.keyed("k", r#"{"n": 2}"#).await.unwrap_err();
    let Error::IdempotencyKeyReused { key, run: first } = &error else { panic!("{error}") };
    assert_eq!((key.as_str(), *first), ("k", run));
    let other = host.try_submit(&ECHO.replace("name: e", "name: f"), Some("k")).await;
    assert_eq!(other.unwrap_err().code(), "idempotency_key_reused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_one_runs() {
    let host = Arc::new(Host::new().await);
    let tries = (0..32).map(|_| {
        let host = host.clone();
        tokio::spawn(async move { host.keyed("k", r#"{"n": 1}"#).await.unwrap() })
    });
    let runs: Vec<_> = futures_util::future::join_all(tries).await.into_iter().map(Result::unwrap).collect();
    assert!(runs.iter().all(|run| *run == runs[0]), "{runs:?}");
    host.ends(runs[0]).await;
    assert_eq!(host.runner.started().len(), 1);
    let query = stepcell_store::Query { limit: 10, ..Default::default() };
    assert_eq!(host.engine.list(query).await.unwrap().len(), 1);
    host.until("nothing is left", || host.engine.counts().runs_active == 0).await;
}

#[tokio::test]
async fn who_waits_gets_the_run_of_the_key() {
    let host = Host::new().await;
    let submit = || Submit {
        plan: host.plan(ECHO),
        input: Json::from(json!({"n": 1})),
        idempotency_key: Some("k".to_owned()),
    };
    let first = host.engine.submit_and_wait(submit(), PATIENCE).await.unwrap();
    let again = host.engine.submit_and_wait(submit(), PATIENCE).await.unwrap();
    assert_eq!((again.run_id, again.status), (first.run_id, RunStatus::Succeeded));
}

#[tokio::test]
async fn a_key_is_free_when_its_run_is_removed() {
    let host = Host::new().await;
    let run = host.keyed("k", r#"{"n": 1}"#).await.unwrap();
    host.ends(run).await;
    host.engine.remove(run).await.unwrap();
    assert_ne!(host.keyed("k", r#"{"n": 2}"#).await.unwrap(), run);
}

#[tokio::test]
async fn a_keyed_run_can_queue() {
    let host = Host::with(admission(1, 5)).await;
    let gate = host.submit(&flow("g", "gate", &json!({}))).await;
    let queued = host.keyed("k", r#"{"n": 1}"#).await.unwrap();
    assert_eq!(host.keyed("k", r#"{"n": 1}"#).await.unwrap(), queued);
    assert_eq!(host.engine.counts().runs_queued, 1);
    host.open();
    host.ends(gate).await;
    host.ends(queued).await;
}

#[tokio::test]
async fn many_inputs_under_one_key_are_submitted_once() {
    let host = Host::new().await;
    let inputs = |count: u64| (0..count).map(|n| Json::from(json!({"n": n}))).collect::<Vec<_>>();
    let submit =
        |count, key: &str| host.engine.submit_all(host.plan(ECHO), inputs(count), Some(key.to_owned()));
    let runs = submit(3, "k").await.unwrap();
    assert_eq!(submit(3, "k").await.unwrap(), runs);
    assert_eq!(submit(4, "k").await.unwrap_err().error.code(), "idempotency_key_reused");
    assert_eq!(host.keyed("k", r#"{"n": 0}"#).await.unwrap_err().code(), "idempotency_key_reused");
    // Where some are gone, those are submitted again.
    host.ends(runs[1]).await;
    host.engine.remove(runs[1]).await.unwrap();
    let again = submit(3, "k").await.unwrap();
    assert_eq!((again[0], again[2]), (runs[0], runs[2]));
    assert_ne!(again[1], runs[1]);
}
