//! Durable runs over HTTP with real syncs, beside Restate: the same steps, clients and disk, in rounds that take turns.

use std::{env, time::Duration};

use anyhow::{Result, ensure};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use stepcell_core::run::RunStatus;
use stepcell_tests::Host;

use crate::{
    client::{Call, metric},
    effort::Effort,
    figure::{Figure, Unit},
    flows,
    machine::{appends, resident_mb},
    restate::Restate,
    stats::{Spread, median, micros, millis, spread},
};

const CLIENTS: usize = 64;
/// Steps of the short and of the long run.
const SHORT: usize = 3;
const LONG: usize = 40;
/// Restate's default, and the one that serves the most runs on two cores.
const PARTITIONS: [usize; 2] = [24, 2];
/// Records of the floor in each round.
const APPENDS: usize = 200;

/// What is measured: ours or a rival.
struct Side {
    name: String,
    short: Call,
    long: Call,
    pid: u32,
    syncs: Syncs,
    seen: Seen,
}

/// Where a server tells how often it waited for the disk.
struct Syncs {
    url: String,
    metric: &'static str,
    label: &'static str,
}

#[derive(Default)]
struct Seen {
    short: Vec<Duration>,
    long: Vec<Duration>,
    together: Vec<Duration>,
    /// Of each round.
    per_second: Vec<f64>,
    resident_mb: Vec<f64>,
    short_syncs: Vec<f64>,
    long_syncs: Vec<f64>,
    together_syncs: Vec<f64>,
}

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let host = Host::start().await;
    let mut sides = vec![Side::ours(&host)];
    let mut rivals = Vec::new();
    for partitions in PARTITIONS {
        let restate = Restate::start(partitions).await?;
        sides.push(Side::restate(&restate, partitions));
        rivals.push(restate);
    }
    let mut floor = Vec::new();
    for side in &mut sides {
        // What the first calls have to make is dropped.
        side.round(effort).await?;
        side.seen = Seen::default();
    }
    for _ in 0..effort.of(5, 1) {
        floor.extend(appends(&env::temp_dir(), APPENDS)?);
        for side in &mut sides {
            side.round(effort).await?;
        }
    }
    let floor = Figure::spread("append and sync of 512 bytes", Unit::Micros, spread(&floor, micros)?);
    let mut figures = vec![floor];
    if let Some((ours, rivals)) = sides.split_first() {
        figures.extend(compare(ours, rivals)?);
    }
    Ok(figures)
}

impl Side {
    fn ours(host: &Host) -> Self {
        let call = |steps| Call {
            url: host.url.clone(),
            path: "/api/v1/runs?wait=60s".to_owned(),
            body: flows::submission(&flows::row(steps), &flows::order()),
            check: succeeded,
        };
        let syncs = Syncs { url: host.url.clone(), metric: "stepcell_store_syncs_total", label: "" };
        Self::new("ours".to_owned(), call, host.pid(), syncs)
    }

    fn restate(restate: &Restate, partitions: usize) -> Self {
        let call = |steps| Call {
            url: restate.ingress.clone(),
            path: "/Rows/run".to_owned(),
            body: Bytes::from(json!({ "steps": steps, "order": flows::order() }).to_string()),
            check: ordered,
        };
        // What it promises is in its log server's database; the others follow without syncs.
        let syncs = Syncs {
            url: restate.node.clone(),
            metric: "restate_rocksdb_wal_synced_total",
            label: r#"db="log-server""#,
        };
        Self::new(format!("Restate, {partitions} partitions"), call, restate.pid(), syncs)
    }

    fn new(name: String, call: impl Fn(usize) -> Call, pid: u32, syncs: Syncs) -> Self {
        Self { name, short: call(SHORT), long: call(LONG), pid, syncs, seen: Seen::default() }
    }

    async fn round(&mut self, effort: Effort) -> Result<()> {
        let before = self.syncs.count().await?;
        let short = self.short.one_by_one(effort.of(150, 30)).await?;
        let after_short = self.syncs.count().await?;
        let long = self.long.one_by_one(effort.of(30, 5)).await?;
        let after_long = self.syncs.count().await?;
        let together = self.short.together(CLIENTS, effort.long(2_500, 500)).await?;
        let after = self.syncs.count().await?;
        let seen = &mut self.seen;
        seen.resident_mb.push(resident_mb(self.pid)?);
        seen.short_syncs.push((after_short - before) / short.len() as f64);
        seen.long_syncs.push((after_long - after_short) / long.len() as f64);
        seen.together_syncs.push((after - after_long) / together.times.len() as f64);
        seen.per_second.push(together.per_second);
        seen.short.extend(short);
        seen.long.extend(long);
        seen.together.extend(together.times);
        Ok(())
    }
}

impl Syncs {
    async fn count(&self) -> Result<f64> {
        metric(&self.url, self.metric, self.label).await
    }
}

/// Ours beside each rival, work by work.
fn compare(ours: &Side, rivals: &[Side]) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    type Times = fn(&Seen) -> (&[Duration], &[f64]);
    let latencies: [(String, Times, Option<f64>); 3] = [
        (format!("{SHORT} steps, one client"), |seen| (&seen.short, &seen.short_syncs), Some(0.25)),
        (format!("{LONG} steps, one client"), |seen| (&seen.long, &seen.long_syncs), Some(0.1)),
        (format!("{SHORT} steps, {CLIENTS} clients"), |seen| (&seen.together, &seen.together_syncs), None),
    ];
    for (what, part, most) in latencies {
        let of = |side: &Side| -> Result<(Spread, f64)> {
            let (times, syncs) = part(&side.seen);
            Ok((spread(times, millis)?, median(syncs)?))
        };
        let (spread, syncs) = of(ours)?;
        for rival in rivals {
            let (theirs, their_syncs) = of(rival)?;
            let figure = Figure::spread(&what, Unit::Millis, spread).over(&rival.name, theirs.p50);
            let figure = figure.syncs(syncs, Some(their_syncs));
            figures.push(match most {
                Some(most) => figure.ratio_at_most(most),
                None => figure,
            });
        }
    }
    let syncs = median(&ours.seen.together_syncs)?;
    for rival in rivals {
        let what = format!("{SHORT} steps, {CLIENTS} clients");
        let rate = Figure::value(what, Unit::RunsPerSecond, median(&ours.seen.per_second)?)
            .over(&rival.name, median(&rival.seen.per_second)?)
            .ratio_at_least(2.0);
        figures.push(rate.syncs(syncs, Some(median(&rival.seen.together_syncs)?)));
    }
    for rival in rivals {
        let most = |side: &Side| side.seen.resident_mb.iter().copied().fold(0.0, f64::max);
        let memory = Figure::value("memory of the server under that load", Unit::Megabytes, most(ours));
        figures.push(memory.over(&rival.name, most(rival)).ratio_at_most(0.3));
    }
    let what = format!("syncs of a run at {CLIENTS} clients");
    let mut figure = Figure::value(what, Unit::SyncsPerRun, syncs);
    if let Some(rival) = rivals.last() {
        figure = figure.over(&rival.name, median(&rival.seen.together_syncs)?);
    }
    figures.push(figure.at_most(0.3));
    Ok(figures)
}

/// Whether the body is a run that went well.
pub(crate) fn succeeded(body: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    struct Run {
        status: RunStatus,
    }
    let run: Run = serde_json::from_slice(body)?;
    ensure!(run.status == RunStatus::Succeeded, "the run failed: {}", String::from_utf8_lossy(body));
    Ok(())
}

/// Whether the body is the order with what the steps wrote on it.
fn ordered(body: &[u8]) -> Result<()> {
    let order: Value = serde_json::from_slice(body)?;
    ensure!(order.get("text").is_some_and(|text| text == "order 7"), "another order came back: {order}");
    Ok(())
}
