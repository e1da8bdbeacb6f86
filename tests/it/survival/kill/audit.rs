//! Whether the host's books and the clients' agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use serde_json::Value;
use stepcell_tests::{Effect, Effects, Host, eventually};

use super::ledger::{Entry, Ledger};

const FINAL: [&str; 3] = ["run.succeeded", "run.failed", "run.cancelled"];
/// How late a request may be read that was sent before its run was cancelled. A run that is cancelled has some seconds
/// of effects before it.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// What was looked at.
#[derive(Default)]
pub(super) struct Totals {
    runs: usize,
    events: usize,
    effects: usize,
    /// Effects that were done again, since nobody had got to know of the first time.
    again: usize,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, events, effects, again } = self;
        write!(f, "{runs} runs, {events} events, {effects} effects, {again} of them again")
    }
}

/// Checks that nothing is missing of what clients were told about a run, whether it has ended or not.
pub(super) async fn check(host: &Host, label: &str, entry: &Entry) {
    let (status, view) = host.get(&format!("/runs/{}", entry.run)).await;
    assert_eq!(status, 200, "{label} was acknowledged: {view:#}");
    if let Some(told) = &entry.ended {
        assert_eq!(told, &view, "{label} went on after its end");
    }
    if entry.cancelled.is_some() {
        assert_eq!(view["status"], "cancelled", "{label}: {view:#}");
    }
    let goes_on =
        |step: &str| ["running", "succeeded"].contains(&view["steps"][step]["status"].as_str().unwrap());
    assert!(!entry.resumed || goes_on("ask"), "{label} was resumed: {view:#}");
    assert!(!entry.woken || goes_on("wait"), "{label} was woken by its event: {view:#}");
}

/// Waits for the end of every run; then checks each, and that there are no others.
pub(super) async fn all(host: &Host, ledger: &Ledger, effects: &Effects) -> Totals {
    let mut logs = BTreeMap::new();
    for (label, entry) in &ledger.runs {
        let view = until_final(host, &entry.run).await;
        check(host, label, entry).await;
        assert_eq!(view["status"], entry.kind.status(), "{label}: {view:#}");
        assert_eq!(view["output"], entry.kind.output(label), "{label}: {view:#}");
        let log = host.events(&view).await;
        check_log(label, &log);
        logs.insert(label, log);
    }
    let there: BTreeSet<String> = runs(host).await.into_iter().collect();
    let known: BTreeSet<String> = ledger.runs.values().map(|entry| entry.run.clone()).collect();
    assert_eq!(there, known, "the runs of the host, and those of its clients");

    let done = effects.done();
    let mut by_label = BTreeMap::<&str, Vec<&Effect>>::new();
    for effect in &done {
        by_label.entry(&effect.label).or_default().push(effect);
    }
    let mut again = 0;
    for (label, entry) in &ledger.runs {
        for step in entry.kind.effects() {
            let done = by_label.remove(format!("{label}-{step}").as_str()).unwrap_or_default();
            check_effect(&format!("{label}, step {step}"), step, &logs[label], &done);
            again += done.len() - 1;
        }
        if let Some(cancelled) = entry.cancelled {
            let of_run =
                |of: &&str| of.strip_prefix(label.as_str()).is_some_and(|step| step.starts_with('-'));
            let steps: Vec<&str> = by_label.keys().copied().filter(of_run).collect();
            for of in steps {
                let done = by_label.remove(of).unwrap_or_default();
                check_cancelled(of, &of[label.len() + 1..], &logs[label], &done, cancelled);
                again += done.len() - 1;
            }
        }
    }
    assert!(by_label.is_empty(), "nobody was to do this: {by_label:#?}");
    let events = logs.values().map(Vec::len).sum();
    Totals { runs: logs.len(), events, effects: done.len(), again }
}

/// One end, and no result twice.
fn check_log(label: &str, log: &[Value]) {
    for (number, event) in (1_u64..).zip(log) {
        assert_eq!(event["seq"], number, "{label}: {log:#?}");
    }
    let ends = log.iter().filter(|event| FINAL.contains(&event["type"].as_str().unwrap())).count();
    let last = log.last().unwrap();
    assert!(ends == 1 && FINAL.contains(&last["type"].as_str().unwrap()), "{label}: {log:#?}");
    let mut results = BTreeSet::new();
    for event in log.iter().filter(|event| event["type"] == "step.succeeded") {
        assert!(results.insert(event["step"].as_str().unwrap()), "{label}: a result twice: {log:#?}");
    }
    for wait in ["ask", "wait"] {
        let resumed = of(log, wait, "step.resumed").count();
        assert!(resumed <= 1, "{label}: `{wait}` was resumed {resumed} times: {log:#?}");
    }
}

/// Done, and never again once its result was in the log.
fn check_effect(about: &str, step: &str, log: &[Value], done: &[&Effect]) {
    assert!(!done.is_empty(), "{about} was not done");
    let result = of(log, step, "step.succeeded").next().unwrap_or_else(|| panic!("{about}: {log:#?}"));
    let logged: Timestamp = result["at"].as_str().unwrap().parse().unwrap();
    for effect in done {
        let at = Timestamp::try_from(effect.at).unwrap();
        assert!(at <= logged, "{about} was done at {at}, and its result was in the log at {logged}");
    }
    check_attempts(about, step, log, done);
}

/// Not done once somebody had been told that the run is cancelled.
fn check_cancelled(about: &str, step: &str, log: &[Value], done: &[&Effect], cancelled: SystemTime) {
    let last = cancelled + ON_ITS_WAY;
    for effect in done {
        assert!(effect.at <= last, "{about} was done at {:?}, and cancelled at {cancelled:?}", effect.at);
    }
    check_attempts(about, step, log, done);
}

/// With one key, and never without an attempt in the log.
fn check_attempts(about: &str, step: &str, log: &[Value], done: &[&Effect]) {
    let keys: BTreeSet<&str> = done.iter().map(|effect| effect.idempotency_key.as_str()).collect();
    assert!(keys.len() == 1 && !keys.contains(""), "{about}: {keys:?}");
    let attempts = of(log, step, "step.started").count();
    assert!(done.len() <= attempts, "{about}: {} times in {attempts} attempts: {log:#?}", done.len());
}

fn of<'a>(log: &'a [Value], step: &str, kind: &str) -> impl Iterator<Item = &'a Value> {
    log.iter().filter(move |event| event["step"] == step && event["type"] == kind)
}

async fn until_final(host: &Host, run: &str) -> Value {
    eventually(&format!("run {run} ends"), || async {
        let view = host.show(run).await;
        ["succeeded", "failed", "cancelled"].contains(&view["status"].as_str().unwrap()).then_some(view)
    })
    .await
}

/// The ids of all runs.
async fn runs(host: &Host) -> Vec<String> {
    let (mut ids, mut path) = (Vec::new(), "/runs?limit=100".to_owned());
    loop {
        let (_, page) = host.get(&path).await;
        ids.extend(
            page["runs"].as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { return ids };
        path = format!("/runs?limit=100&cursor={next}");
    }
}
