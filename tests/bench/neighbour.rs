//! Honest steps on a host whose other user takes all that the limits let them take.

use std::{
    env,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use stepcell_tests::Host;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    client::{Client, alone, json as parsed, metric},
    durable::succeeded,
    effort::Effort,
    figure::{Figure, Unit},
    flows,
    machine::appends,
    stats::{micros, millis, spread},
};

/// Runs at a time of each kind, each started again as soon as it has hit its limit.
const LOOPS: usize = 8;
const HOGS: usize = 4;
/// After a moment all cores and all the memory of the cells are in use.
const SETTLING: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Records that are synced in each phase, so that a disk which is slow on a busy machine is told from a slow host.
const APPENDS: usize = 100;

/// Clients that start hostile runs, until this is dropped.
struct Hostile {
    clients: JoinSet<Result<()>>,
}

/// What honest runs took, as their client sees it and as their log says it of the one step.
#[derive(Default)]
struct Honest {
    runs: Vec<Duration>,
    steps: Vec<Duration>,
    appends: Vec<Duration>,
}

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let host = Host::builder().guest("tight_loop").guest("memory_hog").start().await;
    let calls = effort.of(400, 100);
    Honest::default().round(&host, calls).await?;
    let (mut alone, mut beside) = (Honest::default(), Honest::default());
    for _ in 0..effort.of(6, 1) {
        alone.round(&host, calls).await?;
        let mut hostile = Hostile::start(&host);
        sleep(SETTLING).await;
        beside.round(&host, calls).await?;
        hostile.are_at_it()?;
        hostile.stop(&host).await?;
    }
    let hostile = format!("beside {LOOPS} endless loops and {HOGS} memory hogs");
    let figures = |what: &str, unit, of: fn(Duration) -> f64, alone: &[Duration], beside: &[Duration]| {
        let (alone, beside) = (spread(alone, of)?, spread(beside, of)?);
        let figure = Figure::spread(format!("{what} {hostile}"), unit, beside);
        anyhow::Ok([
            Figure::spread(format!("{what}, host to itself"), unit, alone),
            figure.p99_over("host to itself", alone.p99),
        ])
    };
    let mut all = Vec::new();
    for (what, unit, of, alone, beside) in [
        ("an honest step", Unit::Micros, micros as fn(Duration) -> f64, &alone.steps, &beside.steps),
        ("its run over HTTP", Unit::Millis, millis, &alone.runs, &beside.runs),
    ] {
        let [alone, beside] = figures(what, unit, of, alone, beside)?;
        all.extend([alone, beside.ratio_at_most(3.0)]);
    }
    // The floor: a run waits for one sync.
    all.extend(figures("append and sync", Unit::Millis, millis, &alone.appends, &beside.appends)?);
    Ok(all)
}

impl Honest {
    async fn round(&mut self, host: &Host, calls: usize) -> Result<()> {
        let url = host.url.clone();
        let body = flows::submission(&flows::row(1), &flows::order());
        let timed = alone(async move {
            let mut client = Client::connect(&url).await?;
            let mut timed = Vec::with_capacity(calls);
            for _ in 0..calls {
                let started = Instant::now();
                let answer = client.post("/api/v1/runs?wait=60s", body.clone()).await?;
                let took = started.elapsed();
                succeeded(&answer)?;
                timed.push((took, step_time(&parsed(&answer)?)?));
            }
            Ok(timed)
        });
        for (run, step) in timed.await? {
            self.runs.push(run);
            self.steps.push(step);
        }
        self.appends.extend(appends(&env::temp_dir(), APPENDS)?);
        Ok(())
    }
}

/// From the start of the first step to its end, as the log has them.
fn step_time(run: &Value) -> Result<Duration> {
    let at = |key: &str| -> Result<Timestamp> {
        let at = run.pointer(&format!("/steps/s0/{key}")).and_then(Value::as_str);
        Ok(at.with_context(|| format!("no {key} in {run}"))?.parse()?)
    };
    Ok(at("finished_at")?.duration_since(at("started_at")?).unsigned_abs())
}

impl Hostile {
    fn start(host: &Host) -> Self {
        let mut clients = JoinSet::new();
        for (kind, count) in [("tight_loop", LOOPS), ("memory_hog", HOGS)] {
            let step = json!({ "id": "a", "type": kind, "config": {} });
            let flow = json!({ "name": "hostile", "steps": [step] });
            let body = flows::submission(&flow, &json!({}));
            for _ in 0..count {
                clients.spawn(again_and_again(host.url.clone(), body.clone()));
            }
        }
        Self { clients }
    }

    /// Fails where one of them has given up.
    fn are_at_it(&mut self) -> Result<()> {
        match self.clients.try_join_next() {
            Some(ended) => ended?.context("a hostile client"),
            None => Ok(()),
        }
    }

    /// Stops the clients and cancels what they have started.
    async fn stop(mut self, host: &Host) -> Result<()> {
        self.clients.shutdown().await;
        let started = Instant::now();
        while metric(&host.url, "stepcell_runs_active", "").await? > 0.0 {
            let (_, page) = host.get("/runs?flow=hostile&status=running&limit=100").await;
            for run in page.get("runs").and_then(Value::as_array).into_iter().flatten() {
                let id = run.get("run_id").and_then(Value::as_str).context("a run has an id")?;
                // It may have ended meanwhile.
                let _ = host.post(&format!("/runs/{id}/cancel"), &json!({})).await;
            }
            ensure!(started.elapsed() < PATIENCE, "hostile runs could not be cancelled");
            sleep(ASK_EVERY).await;
        }
        Ok(())
    }
}

/// Starts a run, waits for its end, and again.
async fn again_and_again(url: String, body: Bytes) -> Result<()> {
    let mut client = Client::connect(&url).await?;
    loop {
        let run = parsed(&client.post("/api/v1/runs?wait=60s", body.clone()).await?)?;
        ensure!(run.get("status").is_some_and(|status| status != "succeeded"), "it hit no limit: {run}");
    }
}
