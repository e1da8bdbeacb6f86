//! A sandbox and an engine in this process, store in memory, with the built-in step types.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use stepcell_core::{
    Digest, Json, RunId, StepId,
    catalog::{ContextNeed, Provider},
    parse::{Format, parse},
    run::RunStatus,
};
use stepcell_engine::{
    Call, Engine, Entry, LimitsRequest, Meter, Prepared, StepRunner as _, Submit, runner::NoBlobs,
};
use stepcell_sandbox::{Compiler, Options, Sandbox, bench};
use stepcell_store::MemoryStore;
use tokio_util::sync::CancellationToken;

/// No run of a benchmark comes near it.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Bed {
    sandbox: Arc<Sandbox>,
    engine: Engine,
}

/// One call of a plugin, as the engine would make it.
#[derive(Clone)]
pub(crate) struct Work {
    provider: Arc<Provider>,
    config: String,
    context: String,
}

impl Bed {
    /// Loads the built-ins from the cache that the tests use, which is warm from the second start on.
    pub(crate) async fn start() -> Result<Self> {
        Self::with(|options| options).await
    }

    /// The same, with what the operator grants.
    pub(crate) async fn with(set: impl FnOnce(Options) -> Options) -> Result<Self> {
        let target = stepcell_tests::target();
        let program = target.join("debug/stepcell");
        let compiler = Compiler { program, args: vec!["compile-plugin".into()] };
        let options = Options::new(stepcell_tests::cache(), compiler);
        let sandbox =
            Sandbox::start(set(Options { builtins: Some(target.join("plugins")), ..options })).await?;
        sandbox.settled().await;
        let options = stepcell_engine::Options::new(Arc::new(MemoryStore::new()), sandbox.clone());
        Ok(Self { sandbox, engine: Engine::start(options).await? })
    }

    /// A flow made ready to run.
    pub(crate) fn plan(&self, flow: &Value) -> Result<Arc<Prepared>> {
        let refused = |problems: Vec<stepcell_core::problem::Problem>| {
            anyhow::anyhow!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        };
        self.engine.plan(parse(&flow.to_string(), Format::Json).map_err(refused)?).map_err(refused)
    }

    /// The time of one run, from its submission to its view, which holds the output.
    pub(crate) async fn run(&self, plan: &Arc<Prepared>, input: &Json) -> Result<Duration> {
        let started = Instant::now();
        let submit = Submit { plan: Arc::clone(plan), input: input.clone(), idempotency_key: None };
        let run = self.engine.submit_and_wait(submit, PATIENCE).await?;
        let took = started.elapsed();
        ensure!(run.status == RunStatus::Succeeded, "the run is {:?}: {:?}", run.status, run.error);
        Ok(took)
    }

    /// The times of a number of runs, one after the other.
    pub(crate) async fn runs(
        &self,
        plan: &Arc<Prepared>,
        input: &Json,
        runs: usize,
    ) -> Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(runs);
        for _ in 0..runs {
            times.push(self.run(plan, input).await?);
        }
        Ok(times)
    }

    /// What the engine would hand to the plugin of a step whose config is resolved.
    pub(crate) fn work(&self, kind: &str, config: &Value, input: &Json) -> Result<Work> {
        let catalog = self.sandbox.catalog();
        let provider = catalog.types.get(kind).and_then(|kind| kind.route(config));
        let provider = provider.with_context(|| format!("the built-in `{kind}` is not loaded"))?;
        let step = json!({ "id": "a", "attempt": 1, "idempotency_key": "0".repeat(32) });
        let context = match provider.describe.context {
            ContextNeed::None => json!({ "step": step }),
            ContextNeed::Input => json!({ "input": input, "step": step }),
            ContextNeed::Full => json!({ "input": input, "steps": {}, "step": step }),
        };
        Ok(Work { provider: provider.clone(), config: config.to_string(), context: context.to_string() })
    }

    /// The floor: the times of bare calls.
    pub(crate) async fn bare(&self, work: &Work, calls: usize) -> Result<Vec<Duration>> {
        let (sandbox, work) = (self.sandbox.clone(), work.clone());
        let digest: Digest = work.provider.digest;
        let times = tokio::task::spawn_blocking(move || {
            bench::bare_call_loop(&sandbox, digest, &work.config, &work.context, calls)
        });
        times.await?.context("the bare loop did not run to its end")
    }

    /// The times of calls in cells with all their limits, and no engine around them.
    pub(crate) async fn cells(&self, work: &Work, calls: usize) -> Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(calls);
        for _ in 0..calls {
            let call = work.call()?;
            let started = Instant::now();
            let completion = self.sandbox.run(call).await;
            times.push(started.elapsed());
            if let Err(failure) = completion.result {
                bail!("a call failed: {failure}");
            }
        }
        Ok(times)
    }

    pub(crate) async fn stop(self) {
        self.engine.shutdown().await;
    }
}

impl Work {
    fn call(&self) -> Result<Call> {
        Ok(Call {
            run: RunId::from_bytes([1; 16]),
            step: StepId::new("a")?,
            kind: self.provider.describe.kind.clone(),
            attempt: 1,
            started_at: jiff::Timestamp::now(),
            provider: self.provider.clone(),
            entry: Entry::Execute,
            config: self.config.clone(),
            context: self.context.clone(),
            limits: LimitsRequest::default(),
            grants: Vec::new(),
            secrets: Vec::new(),
            meter: Arc::new(Meter::unlimited()),
            blobs: Arc::new(NoBlobs),
            cancel: CancellationToken::new(),
        })
    }
}
