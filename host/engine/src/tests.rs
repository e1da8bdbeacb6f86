//! The engine over the in-memory store, with steps that do as they are told: what has to happen at an instant of a
//! test's choosing. What steps really do is told as user stories in the workspace's `tests/`.

mod again;
mod deadlines;
mod drain;
mod events;
mod fan_out;
mod idempotency;
mod looks;
mod queue;
mod resume;
mod retention;
mod retries;
mod timers;
mod troubles;
mod watched;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, FutureExt, ready};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use stepcell_core::{
    Catalog, Digest, Event, EventKind, Failure, Fault, Json, RunId, StepId, StepType,
    catalog::{Describe, Provider},
    event::{Receipt, RunCreated},
    parse::{Format, parse},
    run::{RunState, RunStatus},
};
use stepcell_store::{Append, BlobRef, MemoryStore, RunSummary, SharedStore, Store, TimerChange};
use tokio::sync::watch;

use crate::{
    Admission, Call, Completion, Engine, Entry, Options, Outcome, Prepared, Retention, RunView, StepRunner,
    Submit, meter::Resource,
};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Steps of these types:
/// - `echo` gives its config,
/// - `gate` ends when the test opens the gates, with its config,
/// - `signal` waits for a signal as its config says, and gives what it is sent,
/// - `flaky` fails so that it may be tried again,
/// - `fan` fans out as its config says, and gives what it is resumed with,
/// - `task` does what its config names under `do`.
struct Script {
    catalog: Arc<Catalog>,
    open: watch::Sender<bool>,
    seen: Mutex<Seen>,
}

/// What the runner was asked for.
#[derive(Default)]
struct Seen {
    /// In order: run and step.
    started: Vec<(RunId, String)>,
}

impl Script {
    /// `replaced` is a type whose component is another one than usual.
    fn new(replaced: Option<&str>) -> Arc<Self> {
        let kinds = ["echo", "gate", "signal", "flaky", "fan", "task"];
        let types = kinds.map(|kind| (kind.to_owned(), step_type(kind, replaced == Some(kind))));
        let catalog = Catalog { types: types.into_iter().collect(), ..Catalog::default() };
        Arc::new(Self { catalog: Arc::new(catalog), open: watch::Sender::new(false), seen: Mutex::default() })
    }

    fn started(&self) -> Vec<(RunId, String)> {
        self.seen.lock().started.clone()
    }
}

fn step_type(kind: &str, is_replaced: bool) -> StepType {
    let describe: Describe = serde_json::from_value(json!({
        "type": kind, "label": kind, "icon": "x", "category": "custom", "description": "", "config_schema": {},
        "deferred": if kind == "fan" { vec!["step_config", "steps", "flow"] } else { Vec::new() },
    }))
    .unwrap();
    let provider = Provider {
        file: format!("{kind}.wasm"),
        digest: Digest::of(if is_replaced { b"another" } else { kind.as_bytes() }),
        describe: Arc::new(describe),
        pure_step: true,
        control: ["signal", "fan"].contains(&kind),
    };
    StepType { providers: vec![Arc::new(provider)] }
}

impl StepRunner for Script {
    fn catalog(&self) -> Arc<Catalog> {
        self.catalog.clone()
    }

    fn settled(&self) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }

    fn pinned(&self, digest: Digest) -> BoxFuture<'static, Option<Arc<Provider>>> {
        let mut providers = self.catalog.types.values().flat_map(|kind| &kind.providers);
        ready(providers.find(|provider| provider.digest == digest).cloned()).boxed()
    }

    fn placeholder(&self, _: RunId, _: &StepId, secret: &str) -> String {
        unreachable!("no flow here names a secret, and yet there is `{secret}`")
    }

    fn run(&self, call: Call) -> BoxFuture<'static, Completion> {
        let mut open = self.open.subscribe();
        let mut seen = self.seen.lock();
        seen.started.push((call.run, call.step.to_string()));
        async move {
            if call.kind == "gate" {
                open.wait_for(|open| *open).await.unwrap();
            }
            let (result, requests) =
                if call.kind == "task" { task(&call).await } else { (outcome(&call), 0) };
            Completion {
                result,
                receipt: Receipt { requests, ..Receipt::default() },
                log: String::new(),
                log_dropped_bytes: 0,
                denied: Vec::new(),
            }
        }
        .boxed()
    }
}

fn outcome(call: &Call) -> Result<Outcome, Failure> {
    let config = Json::parse(call.config.clone()).unwrap();
    match (&call.entry, call.kind.as_str()) {
        (_, "fan") => fan(call, config.value()),
        (Entry::Resume { signal }, _) => Ok(Outcome::Done(signal.clone())),
        (Entry::Execute, "signal") => Ok(Outcome::WaitSignal {
            name: config.value()["name"].as_str().unwrap().to_owned(),
            form: config.value().get("form").cloned().map(Json::from),
            matching: config.value().get("match").cloned().map(Json::from),
            deadline_seconds: config.value().get("timeout").and_then(Value::as_f64),
        }),
        (Entry::Execute, "flaky") => {
            Err(Failure::system(Fault::Unavailable, "flaky", "it is not there").retryable())
        }
        (Entry::Execute, _) => Ok(Outcome::Done(config)),
    }
}

/// What `fan` does. With `again` it fans out once more when it is resumed, with `breaks` its first attempt fails then,
/// and with `changing` each attempt has other items.
fn fan(call: &Call, config: &Value) -> Result<Outcome, Failure> {
    let is_set = |key: &str| config.get(key).is_some();
    let items = match &call.entry {
        Entry::Resume { .. } if is_set("breaks") && call.attempt == 1 => {
            return Err(Failure::system(Fault::Unavailable, "flaky", "it is not there").retryable());
        }
        Entry::Resume { signal } if !is_set("again") => return Ok(Outcome::Done(signal.clone())),
        Entry::Resume { .. } => json!(["again"]),
        Entry::Execute if is_set("changing") => json!([call.attempt]),
        Entry::Execute => match config["count"].as_u64() {
            Some(count) => (0..count).collect(),
            None => config["items"].clone(),
        },
    };
    let keys = [("step_config", "step"), ("steps", "steps"), ("flow", "flow")];
    let body = keys.into_iter().find_map(|(key, kind)| Some(json!({kind: config.get(key)?})));
    Ok(Outcome::FanOut {
        items: items.into(),
        body: body.unwrap_or_else(|| config["made"].clone()).into(),
        concurrency: config["concurrency"].as_u64().map(|most| u32::try_from(most).unwrap()),
        keep_going: is_set("keep_going"),
    })
}

/// What `task` does, and how many requests it makes.
async fn task(call: &Call) -> (Result<Outcome, Failure>, u64) {
    let config = Json::parse(call.config.clone()).unwrap();
    let done = |value: Value| Ok(Outcome::Done(value.into()));
    match config.value()["do"].as_str() {
        Some("fail") => (Err(Failure::system(Fault::Failed, "failed", "it is no good")), 0),
        Some("ask") => {
            let _ = call.meter.take(Resource::Requests, 5);
            (done(json!("asked")), 5)
        }
        Some("ask until it is stopped") => {
            call.cancel.cancelled().await;
            let _ = call.meter.take(Resource::Requests, 5);
            (Err(Failure::system(Fault::Failed, "cancelled", "it was stopped")), 5)
        }
        Some("put") => {
            let id = call.blobs.put(bytes::Bytes::from_static(b"put by a step")).await.unwrap();
            (done(json!({"id": id})), 0)
        }
        Some("show input") => {
            let context: Value = serde_json::from_str(&call.context).unwrap();
            (done(context["input"].clone()), 0)
        }
        _ => (Ok(Outcome::Done(config)), 0),
    }
}

/// An engine under test. A second one on the same store is what a restart is.
struct Host {
    engine: Engine,
    runner: Arc<Script>,
    store: SharedStore,
}

impl Host {
    async fn new() -> Self {
        Self::with(Admission::default()).await
    }

    async fn with(admission: Admission) -> Self {
        Self::on(Arc::new(MemoryStore::new()), admission, Retention::default()).await
    }

    async fn on(store: SharedStore, admission: Admission, retention: Retention) -> Self {
        Self::of(Script::new(None), store, admission, retention).await
    }

    async fn of(runner: Arc<Script>, store: SharedStore, admission: Admission, retention: Retention) -> Self {
        let options = Options { admission, retention, ..Options::new(store.clone(), runner.clone()) };
        let engine = Engine::start(options).await.unwrap();
        Self { engine, runner, store }
    }

    /// Stops this engine and starts another on its store.
    async fn restart(self, admission: Admission) -> Self {
        self.engine.shutdown().await;
        Self::on(self.store, admission, Retention::default()).await
    }

    /// The same with another component for a type.
    async fn restart_with_another(self, kind: &str) -> Self {
        self.engine.shutdown().await;
        let runner = Script::new(Some(kind));
        Self::of(runner, self.store, Admission::default(), Retention::default()).await
    }

    #[track_caller]
    fn plan(&self, flow: &str) -> Arc<Prepared> {
        self.engine.plan(parse(flow, Format::Yaml).unwrap()).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    /// Submits a flow without input.
    async fn submit(&self, flow: &str) -> RunId {
        self.try_submit(flow, None).await.unwrap()
    }

    async fn try_submit(&self, flow: &str, key: Option<&str>) -> Result<RunId, crate::Error> {
        let submit = Submit {
            plan: self.plan(flow),
            input: Json::from(json!({})),
            idempotency_key: key.map(str::to_owned),
        };
        self.engine.submit(submit).await
    }

    /// Lets every `gate` end, now and later.
    fn open(&self) {
        self.runner.open.send_replace(true);
    }

    async fn ends(&self, run: RunId) -> RunView {
        let view = self.engine.wait(run, PATIENCE).await.unwrap();
        assert!(view.is_final(), "{run} does not end: {view:?}");
        view
    }

    /// Waits until the run is there and parked.
    async fn parks(&self, run: RunId) {
        self.has(run, RunStatus::Waiting).await;
        self.until("its driver leaves", || !self.engine.inner().drives(run)).await;
    }

    async fn has(&self, run: RunId, status: RunStatus) {
        let begun = Instant::now();
        while self.store.summary(run).await.unwrap().map(|summary| summary.status) != Some(status) {
            assert!(begun.elapsed() < PATIENCE, "{run} is not {status}: {:?}", self.engine.show(run).await);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < PATIENCE, "never: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// What the log has come to.
    async fn state(&self, run: RunId) -> RunState {
        crate::load::state(self.engine.inner(), run).await.unwrap()
    }

    /// The names of the run's events.
    async fn log(&self, run: RunId) -> Vec<&'static str> {
        let events = self.engine.events(run, 0, 10_000).await.unwrap();
        events.iter().map(|event| event.kind.name()).collect()
    }
}

/// A run that an earlier process has left in a store, written by hand.
struct Left {
    run: RunId,
    events: Vec<Event>,
    timers: Vec<TimerChange>,
}

impl Left {
    /// Of a flow; it was submitted an hour ago.
    fn new(host: &Host, flow: &str, deadline: Option<Timestamp>) -> (Self, Arc<Prepared>) {
        let plan = host.plan(flow);
        let created = RunCreated {
            flow: plan.flow.name.clone(),
            flow_digest: plan.digest,
            input: Json::from(json!({})),
            idempotency_key: None,
            plugins: plan.pins(),
            deadline,
            retry_of: None,
        };
        let left =
            Self { run: RunId::from_uuid(uuid::Uuid::now_v7()), events: Vec::new(), timers: Vec::new() };
        let timers = deadline.map(|due| TimerChange::Set { step: None, due });
        (Self { timers: timers.into_iter().collect(), ..left }.run(EventKind::RunCreated(created)), plan)
    }

    fn run(mut self, kind: EventKind) -> Self {
        let seq = self.events.len() as u64 + 1;
        self.events.push(Event { seq, at: hours(-1), step: None, kind });
        self
    }

    fn step(self, id: &str, kind: EventKind) -> Self {
        let mut left = self.run(kind);
        left.events.last_mut().unwrap().step = Some(StepId::new(id).unwrap());
        left
    }

    fn timer(mut self, id: &str, due: Timestamp) -> Self {
        self.timers.push(TimerChange::Set { step: Some(StepId::new(id).unwrap()), due });
        self
    }

    async fn write(self, store: &dyn Store, plan: &Prepared) -> RunId {
        let state = RunState::fold(&self.events).unwrap();
        let summary = RunSummary {
            flow: state.flow.clone(),
            status: state.status,
            created_at: state.created_at,
            finished_at: state.finished_at,
            seq: state.seq,
        };
        let append = Append {
            run: self.run,
            expected: 0,
            events: self.events,
            summary,
            timers: self.timers,
            waits: Vec::new(),
            claim: None,
            blobs: vec![BlobRef { digest: plan.digest, bytes: Some(plan.source.clone()) }],
        };
        store.append(append).await.unwrap();
        self.run
    }
}

fn hours(hours: i64) -> Timestamp {
    Timestamp::now() + jiff::SignedDuration::from_hours(hours)
}

fn admission(active: usize, queue: usize) -> Admission {
    Admission { active, queue, ..Admission::default() }
}

fn limits(entries: &[(&str, usize)]) -> BTreeMap<String, usize> {
    entries.iter().map(|(name, most)| ((*name).to_owned(), *most)).collect()
}

/// A flow of one step.
fn flow(name: &str, kind: &str, config: &Value) -> String {
    json!({"name": name, "steps": [{"id": "a", "type": kind, "config": config}]}).to_string()
}
