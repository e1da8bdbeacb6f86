//! Honest steps on a host whose other user takes all that the limits let them take.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde_json::{Value, json};
use stepcell_tests::Host;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    client::{Call, Client, json as parsed, metric},
    durable::succeeded,
    effort::Effort,
    figure::{Figure, Unit},
    flows,
    stats::{millis, spread},
};

/// Runs at a time of each kind, each started again as soon as it has hit its limit.
const LOOPS: usize = 8;
const HOGS: usize = 4;
/// After a moment all cores and all the memory of the cells are in use.
const SETTLING: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Clients that start hostile runs, until this is dropped.
struct Hostile {
    clients: JoinSet<Result<()>>,
}

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let host = Host::builder().guest("tight_loop").guest("memory_hog").start().await;
    let honest = Call {
        url: host.url.clone(),
        path: "/api/v1/runs?wait=60s".to_owned(),
        body: flows::submission(&flows::row(1), &flows::order()),
        check: succeeded,
    };
    let calls = effort.of(400, 100);
    honest.one_by_one(calls).await?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..effort.of(6, 1) {
        alone.extend(honest.one_by_one(calls).await?);
        let mut hostile = Hostile::start(&host);
        sleep(SETTLING).await;
        let before = metric(&host.url, "stepcell_attempts_ended_total", "").await?;
        beside.extend(honest.one_by_one(calls).await?);
        let ended = metric(&host.url, "stepcell_attempts_ended_total", "").await? - before;
        hostile.are_at_it()?;
        ensure!(ended >= calls as f64, "the honest runs had no steps");
        hostile.stop(&host).await?;
    }
    let (alone, beside) = (spread(&alone, millis)?, spread(&beside, millis)?);
    Ok(vec![
        Figure::spread("a run of one step, host to itself", Unit::Millis, alone),
        Figure::spread(
            format!("the same beside {LOOPS} endless loops and {HOGS} memory hogs"),
            Unit::Millis,
            beside,
        )
        .p99_over("host to itself", alone.p99)
        .ratio_at_most(3.0),
    ])
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
