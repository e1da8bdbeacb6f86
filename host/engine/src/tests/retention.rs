use super::*;

async fn finished(store: &SharedStore, count: usize) -> Vec<RunId> {
    let host = Host::on(store.clone(), Admission::default(), Retention::default()).await;
    let mut runs = Vec::new();
    for n in 0..count {
        let run = host.submit(&flow("e", "echo", &json!({"n": n}))).await;
        host.ends(run).await;
        runs.push(run);
    }
    host.engine.shutdown().await;
    runs
}

async fn are_left(host: &Host, runs: &[RunId]) {
    let begun = Instant::now();
    loop {
        let query = stepcell_store::Query { limit: 1_000, ..Default::default() };
        let mut left: Vec<_> =
            host.engine.list(query).await.unwrap().into_iter().map(|(run, _)| run).collect();
        left.reverse();
        if left == runs {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{left:?} are left, not {runs:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_oldest_beyond_the_number_go() {
    let store: SharedStore = Arc::new(MemoryStore::new());
    let runs = finished(&store, 150).await;
    let retention = Retention { age: None, runs: Some(3) };
    let host = Host::on(store, Admission::default(), retention).await;
    let parked = host.submit(&flow("p", "signal", &json!({"name": "approval"}))).await;
    are_left(&host, &[runs[147], runs[148], runs[149], parked]).await;
}

#[tokio::test]
async fn what_is_too_old_goes() {
    let store: SharedStore = Arc::new(MemoryStore::new());
    finished(&store, 3).await;
    let retention = Retention { age: Some(Duration::from_secs(1)), runs: None };
    let host = Host::on(store, Admission::default(), retention).await;
    are_left(&host, &[]).await;
}

#[tokio::test]
async fn nothing_goes_unless_somebody_says_so() {
    let store: SharedStore = Arc::new(MemoryStore::new());
    let runs = finished(&store, 3).await;
    let keeps = Retention { age: Some(Duration::from_secs(3_600)), runs: Some(10) };
    let host = Host::on(store, Admission::default(), keeps).await;
    assert_eq!(crate::retention::all_rounds(host.engine.inner()).await.unwrap(), 0);
    are_left(&host, &runs).await;
}
