//! Listing runs.

use stepcell_core::RunId;

use crate::{
    Append, Error, Query, RunStatus, RunSummary, SharedStore,
    run::FLOW_BYTES_MAX,
    suite::{append, first, first_as, run, summary},
};

pub async fn runs_are_listed_newest_first(store: &SharedStore) {
    assert!(store.list(all()).await.unwrap().is_empty());
    for n in [2, 5, 1, 4, 3] {
        store.append(first(run(n))).await.unwrap();
    }
    check(store, all(), &[5, 4, 3, 2, 1]).await;
    assert_eq!(store.list(Query { limit: 1, ..all() }).await.unwrap(), [(run(5), summary(1))]);
    check(store, Query { limit: 0, ..all() }, &[]).await;
}

pub async fn pages_join_without_gaps(store: &SharedStore) {
    for n in 1..=20 {
        let status = if n % 3 == 0 { RunStatus::Failed } else { RunStatus::Succeeded };
        store.append(first_as(run(n), status, if n % 2 == 0 { "even" } else { "odd" })).await.unwrap();
    }
    let (failed, even) = (Some(RunStatus::Failed), Some("even".to_owned()));
    for size in [1, 3, 7, 20] {
        check_pages(store, Query { limit: size, ..all() }, 20).await;
        check_pages(store, Query { limit: size, status: failed, ..all() }, 6).await;
        check_pages(store, Query { limit: size, flow: even.clone(), ..all() }, 10).await;
        check_pages(store, Query { limit: size, status: failed, flow: even.clone(), ..all() }, 3).await;
    }
}

pub async fn runs_are_listed_by_status(store: &SharedStore) {
    for (n, status) in (1..).zip(STATUSES) {
        store.append(first_as(run(n), status, "f")).await.unwrap();
    }
    for (n, status) in (1..).zip(STATUSES) {
        check(store, by_status(status), &[n]).await;
    }
    let moved = RunSummary { status: RunStatus::Succeeded, ..summary(2) };
    store.append(Append { summary: moved, ..append(run(1), 1, 1) }).await.unwrap();
    check(store, by_status(RunStatus::Queued), &[]).await;
    check(store, by_status(RunStatus::Succeeded), &[4, 1]).await;
    check(store, all(), &[6, 5, 4, 3, 2, 1]).await;
}

pub async fn runs_are_listed_by_flow(store: &SharedStore) {
    for (n, flow) in [(1, "a"), (2, "b"), (3, "a"), (4, "ab")] {
        store.append(first_as(run(n), RunStatus::Running, flow)).await.unwrap();
    }
    check(store, by_flow("a"), &[3, 1]).await;
    check(store, by_flow("b"), &[2]).await;
    check(store, by_flow("ab"), &[4]).await;
    check(store, by_flow(""), &[]).await;
}

pub async fn flow_names_may_hold_anything(store: &SharedStore) {
    let names = ["", "\0", "ü/..\u{10ffff}", &"long".repeat(127), &"\0".repeat(FLOW_BYTES_MAX)];
    for (n, name) in (1..).zip(names) {
        store.append(first_as(run(n), RunStatus::Running, name)).await.unwrap();
    }
    for (n, name) in (1..).zip(names) {
        check(store, by_flow(name), &[n]).await;
        assert_eq!(store.summary(run(n)).await.unwrap().unwrap().flow, name);
    }
    let endless = "a".repeat(FLOW_BYTES_MAX + 1);
    let result = store.append(first_as(run(9), RunStatus::Running, &endless)).await;
    assert!(matches!(result, Err(Error::Malformed { .. })), "{result:?}");
}

pub async fn filters_combine(store: &SharedStore) {
    let runs = [(1, "a", false), (2, "b", true), (3, "a", true), (4, "a", false), (5, "a", true)];
    for (n, flow, done) in runs {
        let status = if done { RunStatus::Succeeded } else { RunStatus::Waiting };
        store.append(first_as(run(n), status, flow)).await.unwrap();
    }
    let done = Query { status: Some(RunStatus::Succeeded), ..by_flow("a") };
    check(store, done.clone(), &[5, 3]).await;
    check(store, Query { before: Some(run(5)), ..done.clone() }, &[3]).await;
    let last = RunSummary { flow: "a".to_owned(), status: RunStatus::Succeeded, ..summary(2) };
    store.append(Append { summary: last, ..append(run(4), 1, 1) }).await.unwrap();
    check(store, done, &[5, 4, 3]).await;
    check(store, Query { status: Some(RunStatus::Waiting), ..by_flow("a") }, &[1]).await;
}

pub async fn unfinished_runs_are_queued_or_running(store: &SharedStore) {
    for n in 1..=12 {
        let status = STATUSES[n as usize % STATUSES.len()];
        store.append(first_as(run(n), status, "f")).await.unwrap();
    }
    let expected = [run(1), run(6), run(7), run(12)];
    assert_eq!(store.unfinished(None, 10).await.unwrap(), expected);
    assert_eq!(store.unfinished(None, 3).await.unwrap(), expected[..3]);
    assert_eq!(store.unfinished(Some(run(6)), 1).await.unwrap(), expected[2..3]);
    assert!(store.unfinished(Some(run(12)), 10).await.unwrap().is_empty());
}

pub async fn queued_runs_come_oldest_first(store: &SharedStore) {
    for n in [5, 3, 9, 1, 7] {
        store.append(first_as(run(n), RunStatus::Queued, "f")).await.unwrap();
        store.append(first(run(n + 1))).await.unwrap();
    }
    let begun = append(run(3), 1, 1);
    store.append(begun).await.unwrap();
    let queued = RunSummary { status: RunStatus::Queued, ..summary(1) };
    let expected = [1, 5, 7, 9].map(|n| (run(n), queued.clone()));
    for limit in 0..6 {
        assert_eq!(store.queued(None, limit).await.unwrap(), expected[..limit.min(4)]);
        assert_eq!(store.queued(Some(run(5)), limit).await.unwrap(), expected[2..(2 + limit).min(4)]);
    }
    assert!(store.queued(Some(run(9)), 10).await.unwrap().is_empty());
}

const STATUSES: [RunStatus; 6] = [
    RunStatus::Queued,
    RunStatus::Running,
    RunStatus::Waiting,
    RunStatus::Succeeded,
    RunStatus::Failed,
    RunStatus::Cancelled,
];

fn all() -> Query {
    Query { limit: 100, ..Query::default() }
}

fn by_status(status: RunStatus) -> Query {
    Query { status: Some(status), ..all() }
}

fn by_flow(flow: &str) -> Query {
    Query { flow: Some(flow.to_owned()), ..all() }
}

async fn check(store: &SharedStore, query: Query, expected: &[u64]) {
    let found: Vec<RunId> = store.list(query.clone()).await.unwrap().into_iter().map(|(id, _)| id).collect();
    let expected: Vec<RunId> = expected.iter().map(|n| run(*n)).collect();
    assert_eq!(found, expected, "{query:?}");
}

/// Walks all pages of `query` and compares them with one page that holds all, of `count` runs.
async fn check_pages(store: &SharedStore, query: Query, count: usize) {
    let whole = store.list(Query { limit: 100, ..query.clone() }).await.unwrap();
    assert_eq!(whole.len(), count, "{query:?}");
    let mut joined: Vec<(RunId, RunSummary)> = Vec::new();
    loop {
        let before = joined.last().map(|(id, _)| *id);
        let page = store.list(Query { before, ..query.clone() }).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= query.limit);
        joined.extend(page);
    }
    assert_eq!(joined, whole, "{query:?}");
}
