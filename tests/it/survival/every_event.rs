//! A host that stops after each event of a run, whichever it is: the run ends as it would have.

mod stopping;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use futures_util::{StreamExt, stream};
use serde_json::json;
use stepcell_core::{
    Event, EventKind, Json, RunId,
    grant::{Grant, Level},
    parse::{Format, parse},
    run::RunStatus,
};
use stepcell_engine::{Engine, Error, Resume, RunView, Submit};
use stepcell_sandbox::{Compiler, Sandbox};
use stepcell_store::{SharedStore, Store as _};
use stepcell_store_sled::{DataDir, SledStore};
use stepcell_tests::{Effect, Effects, eventually};
use tokio::runtime::{Builder, Runtime};

use stopping::StoppingStore;

/// Hosts at a time, so that their waiting overlaps.
const AT_A_TIME: usize = 4;
/// Every way in which a step can go on: at once, by a port, again after a failure, after a timer, for each item, by
/// somebody's word.
const FLOW: &str = r#"
name: everything
steps:
  - { id: order, type: http_request, config: { method: POST, url: "{{ input.url }}/do/{{ input.label }}-order" } }
  - { id: large, type: condition, config: { expression: "{{ steps.order.status_code == 200 }}" } }
  - { id: small, type: transform, after: [large.false], config: { output: 0 } }
  - id: flaky
    type: http_request
    after: [order]
    retry: { max_attempts: 9, initial: 20ms, max: 20ms }
    config: { method: POST, url: "{{ input.url }}/fail-once/{{ input.label }}-flaky" }
  - { id: nap, type: delay, after: [large.true], config: { seconds: 0.05 } }
  - { id: ask, type: wait_for_approval, after: [large.true], config: { label: "{{ input.label }}" } }
  - id: pack
    type: for_each
    after: [nap]
    config:
      items: [a, b, c]
      concurrency: 2
      steps:
        - { id: box, type: http_request, config: { method: POST, url: "{{ input.url }}/do/{{ input.label }}-box-{{ item }}" } }
        - { id: seal, type: transform, config: { output: "{{ index }}{{ item }}" } }
  - id: ship
    type: http_request
    after: [ask.approved, flaky, pack]
    config: { method: POST, url: "{{ input.url }}/do/{{ input.label }}-ship" }
output: { boxes: "{{ steps.pack.count }}", said: "{{ steps.ask.payload }}", flaky: "{{ steps.flaky.status_code }}", shipped: "{{ steps.ship.status_code }}" }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_ends_the_same_whichever_event_is_the_last_before_a_crash() {
    let effects = Effects::start().await;
    let sandbox = sandbox(&effects).await;
    let whole = story(&sandbox, &effects, u64::MAX).await;
    let events = whole.log.len() as u64;
    assert!(events > 40, "{events}");
    // The last event ends the run: nothing is left to crash.
    let stories = stream::iter(1..=events).map(|last| story(&sandbox, &effects, last));
    let stories: Vec<Story> = stories.buffer_unordered(AT_A_TIME).collect().await;
    let mut stopped_at = BTreeSet::new();
    for story in &stories {
        story.check(&whole);
        stopped_at.insert(story.before);
    }
    // Events that are appended together are there together: only where an append ends can a host stop.
    println!("{events} events in {} appends, stopped at {stopped_at:?}", whole.appends);
    assert!(stopped_at.len() >= whole.appends, "of {} appends: {stopped_at:?}", whole.appends);
}

/// What happened to one run.
struct Story {
    label: String,
    /// Appends until the host stopped.
    appends: usize,
    /// Events that were there when the host stopped.
    before: usize,
    /// When the next host began.
    next: SystemTime,
    log: Vec<Event>,
    output: Option<Json>,
    done: BTreeMap<String, Vec<Effect>>,
}

/// Runs the flow on a host that stops once event `last` is there, and to its end on the next one.
async fn story(sandbox: &Arc<Sandbox>, effects: &Effects, last: u64) -> Story {
    let folder = tempfile::tempdir().unwrap();
    let label = format!("after{last}");
    let store = StoppingStore::new(open(folder.path()).await, last);
    let (engine, runtime) = start(Arc::<StoppingStore>::clone(&store), sandbox).await;
    let input = json!({"url": effects.url(), "label": label});
    let plan = engine.plan(parse(FLOW, Format::Yaml).unwrap()).unwrap();
    let submit = Submit { plan, input: input.into(), idempotency_key: None };
    let ended = async {
        let run = engine.submit(submit).await.unwrap();
        to_its_end(&engine, run).await;
    };
    tokio::select! {
        biased;
        () = store.stopped() => {}
        () = ended => assert_eq!(last, u64::MAX, "the run has ended before event {last}"),
    }
    // What is under way is dropped where it stands.
    let appends = store.appends();
    drop(engine);
    runtime.shutdown_background();
    drop(store);

    let store = open(folder.path()).await;
    let (run, _) = store.list(stepcell_store::Query { limit: 2, ..Default::default() }).await.unwrap()[0];
    let before = store.events(run, 0, usize::MAX).await.unwrap().len();
    let next = SystemTime::now();
    let (engine, runtime) = start(Arc::new(store), sandbox).await;
    let view = to_its_end(&engine, run).await;
    let log = engine.events(run, 0, usize::MAX).await.unwrap();
    engine.shutdown().await;
    runtime.shutdown_background();
    assert_eq!(view.status, RunStatus::Succeeded, "{label}: {:?}", view.error);
    let mut done = BTreeMap::<String, Vec<Effect>>::new();
    for effect in effects.done() {
        if let Some(what) = effect.label.strip_prefix(&format!("{label}-")) {
            done.entry(what.to_owned()).or_default().push(effect);
        }
    }
    Story { label, appends, before, next, log, output: view.output, done }
}

/// Says yes when it is asked for, and waits.
async fn to_its_end(engine: &Engine, run: RunId) -> RunView {
    eventually(&format!("run {run} ends"), || async {
        let view = engine.show(run).await.unwrap();
        let yes = Resume {
            step: Some("ask".to_owned()),
            payload: json!("yes").into(),
            approved: None,
            by: Some("Ada".to_owned()),
        };
        match engine.resume(run, yes).await {
            Ok(_) | Err(Error::NotWaiting { .. } | Error::AlreadyResumed { .. } | Error::Finished { .. }) => {
            }
            Err(error) => panic!("{error}"),
        }
        view.is_final().then_some(view)
    })
    .await
}

impl Story {
    /// The same end as that of a run without a crash, and nothing twice that was in the log.
    fn check(&self, whole: &Self) {
        let label = &self.label;
        assert_eq!(self.output, whole.output, "{label}");
        let results = |story: &Self| {
            let succeeded = story.log.iter().filter_map(|event| match &event.kind {
                EventKind::StepSucceeded(_) => event.step.as_ref().map(ToString::to_string),
                _ => None,
            });
            let mut succeeded: Vec<String> = succeeded.collect();
            succeeded.sort();
            succeeded
        };
        assert_eq!(results(self), results(whole), "{label}: each step has one result");
        for (seq, event) in (1_u64..).zip(&self.log) {
            assert_eq!(event.seq, seq, "{label}");
        }
        assert!(self.done.keys().eq(whole.done.keys()), "{label}: {:?}", self.done.keys());
        for (what, done) in &self.done {
            let keys: BTreeSet<&str> = done.iter().map(|effect| effect.idempotency_key.as_str()).collect();
            assert!(keys.len() == 1 && !keys.contains(""), "{label}, {what}: {keys:?}");
            // In flight at the crash, and again; what fails once is asked once more.
            let most = if what == "flaky" { 3 } else { 2 };
            assert!(done.len() <= most, "{label}, {what}: {} times", done.len());
            self.check_log(what, done);
        }
    }

    /// What has its result in the log is not done again, and nothing is done before its attempt is in the log.
    fn check_log(&self, what: &str, done: &[Effect]) {
        let step = match what.strip_prefix("box-") {
            Some(item) => {
                format!("pack[{}].box", ["a", "b", "c"].iter().position(|known| *known == item).unwrap())
            }
            None => what.to_owned(),
        };
        let is_of = |event: &&Event| event.step.as_ref().is_some_and(|id| id.as_str() == step);
        let mut results =
            self.log.iter().filter(is_of).filter(|event| matches!(event.kind, EventKind::StepSucceeded(_)));
        let logged = results.next().unwrap_or_else(|| panic!("{}: no result of `{step}`", self.label)).at;
        for effect in done {
            let at = jiff::Timestamp::try_from(effect.at).unwrap();
            assert!(at <= logged, "{}, {what}: done at {at}, in the log at {logged}", self.label);
        }
        let started = self.log[..self.before].iter().filter(is_of);
        let started = started.filter(|event| matches!(event.kind, EventKind::StepStarted(_))).count();
        let early = done.iter().filter(|effect| effect.at < self.next).count();
        assert!(early <= started, "{}, {what}: done {early} times in {started} logged attempts", self.label);
    }
}

async fn sandbox(effects: &Effects) -> Arc<Sandbox> {
    let target = stepcell_tests::target();
    let program = target.join("debug/stepcell");
    let compiler = Compiler { program, args: vec!["compile-plugin".into()] };
    let options = stepcell_sandbox::Options::new(stepcell_tests::cache(), compiler);
    let (http, problems) = Grant::read(&json!({ "http": [effects.url()] }), Level::Operator);
    assert!(problems.is_empty(), "{problems:?}");
    let grants = BTreeMap::from([("http_request".to_owned(), http)]);
    let options = stepcell_sandbox::Options { builtins: Some(target.join("plugins")), grants, ..options };
    let sandbox = Sandbox::start(options).await.unwrap();
    sandbox.settled().await;
    sandbox
}

/// Opens the store as soon as whoever had it has let go.
async fn open(folder: &Path) -> SledStore {
    let data = eventually("the folder is free", || async { DataDir::open(folder).ok() }).await;
    SledStore::open(&data).unwrap()
}

/// An engine with threads of its own, as a host has them.
async fn start(store: SharedStore, sandbox: &Arc<Sandbox>) -> (Engine, Runtime) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut options = stepcell_engine::Options::new(store, Arc::<Sandbox>::clone(sandbox));
    options.runtime = runtime.handle().clone();
    (Engine::start(options).await.unwrap(), runtime)
}
