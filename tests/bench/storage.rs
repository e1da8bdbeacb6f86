//! Many runs that are over or asleep: what they cost on the disk and in memory, and how fast they are found.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use stepcell_tests::Host;
use tokio::time::sleep;

use crate::{
    client::{Call, Client, alone, json as parsed, metric},
    durable::succeeded,
    effort::Effort,
    figure::{Figure, Unit},
    flows,
    machine::{disk_bytes, resident_mb},
    stats::{millis, spread},
};

const CLIENTS: usize = 64;
/// Runs of the small store that the large one is set against.
const FEW: usize = 100;
/// How long a host is left alone before its memory counts as idle.
const IDLE: Duration = Duration::from_secs(2);
/// How long the disk has to be left alone before the clean-up counts as done.
const STILL: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(250);
/// Every so manieth run of the store is looked at.
const SAMPLES: usize = 200;

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let runs = effort.of(100_000, 3_000);
    let mut figures = finished(runs, effort).await?;
    figures.extend(sleeping(runs).await?);
    Ok(figures)
}

async fn finished(runs: usize, effort: Effort) -> Result<Vec<Figure>> {
    let (mut many, few) = (Host::start().await, Host::start().await);
    let empty = disk_bytes(&data(&many))?;
    let call = |host: &Host| Call {
        url: host.url.clone(),
        path: "/api/v1/runs?wait=60s".to_owned(),
        body: flows::submission(&flows::row(1), &flows::order()),
        check: succeeded,
    };
    call(&few).count(CLIENTS, FEW).await?;
    let before = syncs(&many).await?;
    let filled = call(&many).count(CLIENTS, runs).await?;
    let syncs = (syncs(&many).await? - before) / runs as f64;
    let written = disk_bytes(&data(&many))?;

    let restarted = Instant::now();
    many.restart().await;
    let ready = restarted.elapsed();
    let kept = still(&data(&many)).await?;
    let payload = payload(&many).await?;
    let each = |bytes: u64| bytes.saturating_sub(empty) as f64 / runs as f64;
    let mut figures = vec![
        Figure::value(format!("{runs} runs of one step"), Unit::RunsPerSecond, filled.per_second)
            .syncs(syncs, None),
        Figure::value("disk of a run as it was written", Unit::Bytes, each(written)).over("payload", payload),
        Figure::value("disk of a run after a clean-up, payload taken off", Unit::Bytes, each(kept) - payload)
            .over("payload", payload)
            .at_most(2_048.0),
        Figure::value(format!("start with {runs} finished runs"), Unit::Millis, millis(ready)),
    ];
    figures.extend(looks(&many, &few, runs, effort).await?);
    Ok(figures)
}

/// Lists and shows, in the large and in the small store by turns.
async fn looks(many: &Host, few: &Host, runs: usize, effort: Effort) -> Result<Vec<Figure>> {
    let hosts = [many, few];
    let mut paths = Vec::new();
    for host in hosts {
        paths.push(Looks::of(host).await?);
    }
    let mut times: [[Vec<Duration>; 3]; 2] = Default::default();
    for _ in 0..effort.of(5, 1) {
        for ((host, looks), times) in hosts.iter().zip(&paths).zip(&mut times) {
            for (paths, times) in [&looks.show, &looks.list, &looks.failed].into_iter().zip(times) {
                times.extend(get(host.url.clone(), paths.clone()).await?);
            }
        }
    }
    let [many, few] = times;
    let what = ["show a run", "list a page of runs", "list the failed runs, of which there are none"];
    let mut figures = Vec::new();
    for ((what, many), few) in what.into_iter().zip(many).zip(few) {
        let few = spread(&few, millis)?;
        let figure =
            Figure::spread(format!("{what}, {runs} in the store"), Unit::Millis, spread(&many, millis)?);
        figures.push(figure.p99_over(format!("{FEW} in the store"), few.p99).p99_at_most(10.0));
    }
    Ok(figures)
}

/// What is looked at, from all over the store.
struct Looks {
    show: Vec<String>,
    list: Vec<String>,
    failed: Vec<String>,
}

impl Looks {
    async fn of(host: &Host) -> Result<Self> {
        let mut ids = Vec::new();
        let mut page = "/runs?limit=100".to_owned();
        loop {
            let (_, found) = host.get(&page).await;
            let runs = found.get("runs").and_then(Value::as_array).context("a page has runs")?;
            ids.extend(runs.iter().filter_map(|run| Some(run.get("run_id")?.as_str()?.to_owned())));
            let Some(next) = found.get("next").and_then(Value::as_str) else { break };
            page = format!("/runs?limit=100&cursor={next}");
        }
        let every = (ids.len() / SAMPLES).max(1);
        let sampled = || ids.iter().step_by(every).take(SAMPLES);
        Ok(Self {
            show: sampled().map(|id| format!("/api/v1/runs/{id}")).collect(),
            list: sampled().map(|id| format!("/api/v1/runs?cursor={id}")).collect(),
            failed: vec!["/api/v1/runs?status=failed".to_owned(); SAMPLES],
        })
    }
}

async fn get(url: String, paths: Vec<String>) -> Result<Vec<Duration>> {
    alone(async move {
        let mut client = Client::connect(&url).await?;
        let mut times = Vec::with_capacity(paths.len());
        for path in &paths {
            let started = Instant::now();
            client.get(path).await?;
            times.push(started.elapsed());
        }
        Ok(times)
    })
    .await
}

async fn sleeping(runs: usize) -> Result<Vec<Figure>> {
    let mut host = Host::start().await;
    sleep(IDLE).await;
    let idle = resident_mb(host.pid())?;
    let step = json!({ "id": "a", "type": "delay", "config": { "seconds": 86_400 } });
    let call = Call {
        url: host.url.clone(),
        path: "/api/v1/runs".to_owned(),
        body: flows::submission(&json!({ "name": "asleep", "steps": [step] }), &json!({})),
        check: |_| Ok(()),
    };
    let before = syncs(&host).await?;
    let filled = call.count(CLIENTS, runs).await?;
    asleep(&host).await?;
    let syncs = (syncs(&host).await? - before) / runs as f64;
    sleep(IDLE).await;
    let parked = resident_mb(host.pid())?;
    let restarted = Instant::now();
    host.restart().await;
    let ready = restarted.elapsed();
    sleep(IDLE).await;
    let taken_up = resident_mb(host.pid())?;
    let memory = |what: &str, mb: f64| {
        Figure::value(format!("memory of {runs} sleeping runs, {what}"), Unit::Megabytes, mb - idle)
            .over("the idle host", idle)
            .at_most(200.0)
    };
    Ok(vec![
        Figure::value(format!("{runs} runs that go to sleep"), Unit::RunsPerSecond, filled.per_second)
            .syncs(syncs, None),
        memory("over idle", parked),
        memory("over idle after a restart", taken_up),
        Figure::value(format!("start with {runs} sleeping runs"), Unit::Millis, millis(ready)),
    ])
}

/// Waits until no run is driven any more.
async fn asleep(host: &Host) -> Result<()> {
    let started = Instant::now();
    while metric(&host.url, "stepcell_runs_active", "").await? > 0.0 {
        ensure!(started.elapsed() < PATIENCE, "runs are still at work, and none may be");
        sleep(ASK_EVERY).await;
    }
    Ok(())
}

/// Waits until nobody writes into a folder; gives what it takes on the disk then.
async fn still(folder: &Path) -> Result<u64> {
    let started = Instant::now();
    let (mut bytes, mut since) = (disk_bytes(folder)?, Instant::now());
    while since.elapsed() < STILL {
        ensure!(started.elapsed() < PATIENCE, "{} does not come to rest", folder.display());
        sleep(ASK_EVERY).await;
        let now = disk_bytes(folder)?;
        if now != bytes {
            (bytes, since) = (now, Instant::now());
        }
    }
    Ok(bytes)
}

/// Bytes of JSON that a run was given and gave.
async fn payload(host: &Host) -> Result<f64> {
    let mut client = Client::connect(&host.url).await?;
    let page = parsed(&client.get("/api/v1/runs?limit=1").await?)?;
    let id = page.pointer("/runs/0/run_id").and_then(Value::as_str).context("a page has runs")?;
    let run = parsed(&client.get(&format!("/api/v1/runs/{id}")).await?)?;
    let parts = ["/input", "/steps/s0/output", "/output"].map(|part| run.pointer(part).map(Value::to_string));
    Ok(parts.into_iter().flatten().map(|text| text.len()).sum::<usize>() as f64)
}

fn data(host: &Host) -> PathBuf {
    host.folder().join("stepcell-data")
}

async fn syncs(host: &Host) -> Result<f64> {
    metric(&host.url, "stepcell_store_syncs_total", "").await
}
