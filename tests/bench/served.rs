//! `stepcell serve` as its operator sees it: start, memory, and answers while guests loop.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use stepcell_tests::Host;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    effort::Effort,
    figure::{Figure, Unit},
    machine::resident_mb,
    stats::{millis, spread},
};

/// Runs at the same time, each in an endless loop.
const LOOPS: usize = 100;
/// Clients that submit one short run after the other. They and the probe share the machine with the host.
const CLIENTS: usize = 64;
/// How often `/healthz` is asked.
const PROBE_EVERY: Duration = Duration::from_millis(10);
/// How long a host is left alone before its memory counts as idle.
const IDLE: Duration = Duration::from_secs(2);

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let mut figures = vec![start(effort).await?];
    figures.extend(memory(effort).await?);
    figures.extend(answers(effort).await?);
    Ok(figures)
}

/// From the start of the process, store and all, to the first yes of `/readyz`. A host of the tests asks every
/// 10 ms, so that up to as much of it is the asking.
async fn start(effort: Effort) -> Result<Figure> {
    let mut times = Vec::new();
    // The first may compile.
    drop(Host::start().await);
    for _ in 0..effort.of(20, 3) {
        let started = Instant::now();
        let host = Host::start().await;
        times.push(started.elapsed());
        drop(host);
    }
    Ok(Figure::spread("start with a warm cache to /readyz", Unit::Millis, spread(&times, millis)?)
        .at_most(300.0))
}

async fn memory(effort: Effort) -> Result<[Figure; 2]> {
    let host = Host::start().await;
    sleep(IDLE).await;
    let fresh = resident_mb(host.pid())?;
    for language in ["python", "javascript"] {
        // Runs of each language before the memory is looked at again.
        for _ in 0..effort.of(100, 10) {
            let step = json!({ "id": "a", "type": "inline_code", "config": { "language": language, "code": "result = 1" } });
            run(&host, &json!({ "name": language, "steps": [step] })).await?;
        }
    }
    sleep(IDLE).await;
    let used = resident_mb(host.pid())?;
    Ok([
        Figure::value("idle memory after the start", Unit::Megabytes, fresh).at_most(120.0),
        Figure::value("idle memory after runs of inline code", Unit::Megabytes, used).at_most(120.0),
    ])
}

async fn run(host: &Host, flow: &Value) -> Result<()> {
    let (status, run) = host.post("/runs?wait=60s", &json!({ "flow": flow })).await;
    ensure!(run.get("status").is_some_and(|status| status == "succeeded"), "{status}: {run:#}");
    Ok(())
}

async fn answers(effort: Effort) -> Result<[Figure; 3]> {
    let host = Host::builder().guest("tight_loop").start().await;
    let probes = effort.of(600, 100);
    let alone = spread(&probe(&host, probes).await?, millis)?;
    let flow =
        json!({ "name": "short", "steps": [{ "id": "a", "type": "transform", "config": { "output": 1 } }] });
    let clients = (0..CLIENTS).map(|_| async {
        loop {
            run(&host, &flow).await?;
        }
    });
    let among = tokio::select! {
        probed = probe(&host, probes) => spread(&probed?, millis)?,
        // They end with an error only.
        ended = try_join_all(clients) => ended.map(|_: Vec<()>| ()).and(Err(anyhow!("the clients ended")))?,
    };
    for _ in 0..LOOPS {
        host.submit("name: loop\nsteps: [{ id: a, type: tight_loop, config: {} }]").await;
    }
    let beside = spread(&probe(&host, probes).await?, millis)?;
    let (_, running) = host.get(&format!("/runs?status=running&limit={LOOPS}")).await;
    let running = running.get("runs").and_then(Value::as_array).map(Vec::len);
    ensure!(running == Some(LOOPS), "only {running:?} of {LOOPS} loops lasted as long as the measurement");
    Ok([
        Figure::spread("/healthz on an idle host", Unit::Millis, alone),
        Figure::spread(format!("/healthz beside {CLIENTS} clients with short runs"), Unit::Millis, among)
            .over("idle", alone.p50),
        Figure::spread(format!("/healthz beside {LOOPS} endless loops"), Unit::Millis, beside)
            .p99_at_most(50.0)
            .over("idle", alone.p50),
    ])
}

/// Asks at fixed moments, so that a slow answer does not spare the host the questions after it. The timer's own
/// millisecond counts as well.
async fn probe(host: &Host, probes: usize) -> Result<Vec<Duration>> {
    let client = reqwest::Client::new();
    let url = format!("{}/healthz", host.url);
    let mut moments = interval(PROBE_EVERY);
    moments.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut times = Vec::with_capacity(probes);
    for _ in 0..probes {
        let due = moments.tick().await;
        client.get(&url).send().await?.error_for_status()?.bytes().await?;
        times.push(due.elapsed());
    }
    Ok(times)
}
