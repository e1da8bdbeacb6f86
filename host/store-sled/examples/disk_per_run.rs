//! What runs that have ended take on the disk, and how long it takes to list and to show them.
//!
//! `disk_per_run [FOLDER] [RUNS]`; by default a folder beside the program, so on a real disk, and 100 000 runs of
//! one small pure step.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use rand::{Rng, RngExt};
use stepcell_core::{
    Digest, Event, EventKind, Json, RunId, StepId,
    event::{Payload, Receipt, RunCreated, RunSucceeded, StepRouted, StepStarted, StepSucceeded},
};
use stepcell_store::{Append, BlobRef, Query, RunStatus, RunSummary, SharedStore};
use stepcell_store_sled::{DataDir, SledStore};
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Clients that submit at the same time.
const CLIENTS: u64 = 64;
/// Reads of each kind.
const READS: u64 = 2_000;
/// Runs of a page.
const PAGE: usize = 50;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().map_or_else(beside_the_program, PathBuf::from);
    let runs: u64 = args.next().map_or(Ok(100_000), |text| text.parse())?;
    let store: SharedStore = Arc::new(SledStore::open(&DataDir::open(&folder)?)?);
    let begun = Instant::now();
    let ids = write(&store, runs).await?;
    say(&format!("{runs} runs in {:?}, {} syncs", begun.elapsed(), store.syncs()));
    say(&format!("{} bytes of events and payload as JSON, of one run", run_of(&flow(), 1)?.1));
    report(&folder, runs, "as written")?;
    store.sweep(Timestamp::now()).await?;
    report(&folder, runs, "after a sweep")?;
    read(&store, &ids).await?;
    drop(store);
    report(&folder, runs, "closed")?;
    let begun = Instant::now();
    let store: SharedStore = Arc::new(SledStore::open(&DataDir::open(&folder)?)?);
    say(&format!("opened in {:?}", begun.elapsed()));
    report(&folder, runs, "after a restart")?;
    read(&store, &ids).await?;
    let begun = Instant::now();
    let removed = store.remove_runs(ids.iter().take(5_000).copied().collect()).await?;
    say(&format!("{removed} runs removed in {:?}", begun.elapsed()));
    drop(store);
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn beside_the_program() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.with_file_name("disk-per-run-data")
}

async fn write(store: &SharedStore, runs: u64) -> Result<Vec<RunId>, Failure> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (store, flow) = (Arc::clone(store), flow());
        clients.spawn(async move {
            let mut ids = Vec::new();
            for n in (client..runs).step_by(CLIENTS as usize) {
                let (append, _) = run_of(&flow, n)?;
                ids.push(append.run);
                store.append(append).await?;
            }
            Ok::<_, Failure>(ids)
        });
    }
    let mut ids = Vec::new();
    while let Some(done) = clients.join_next().await {
        ids.extend(done??);
    }
    ids.sort_unstable();
    Ok(ids)
}

fn flow() -> Bytes {
    let text = r#"{"name":"greet","steps":[{"id":"greeting","type":"transform","config":{"mapping":{"text":"Hello {{ input.name }}"}}}],"output":{"text":"{{ steps.greeting.text }}"}}"#;
    Bytes::from_static(text.as_bytes())
}

/// The events of a run as the engine writes them, in one append; and how many bytes they have as JSON.
fn run_of(flow: &Bytes, n: u64) -> Result<(Append, usize), Failure> {
    let now = Timestamp::now();
    let step = StepId::new("greeting")?;
    let plugin = Digest::of(b"transform");
    let output =
        || Ok::<_, Failure>(Payload::Value(Json::parse(format!(r#"{{"text":"Hello customer {n}"}}"#))?));
    let receipt = Receipt { fuel: 30_000 + n % 977, total_us: 40 + n % 61, host_us: 0, ..Receipt::default() };
    let kinds = [
        EventKind::RunCreated(RunCreated {
            flow: "greet".to_owned(),
            flow_digest: Digest::of(flow),
            input: Json::parse(format!(r#"{{"name":"customer {n}"}}"#))?,
            idempotency_key: None,
            plugins: BTreeMap::from([("transform".to_owned(), vec![plugin])]),
            deadline: None,
            retry_of: None,
        }),
        EventKind::RunStarted,
        EventKind::StepRouted(StepRouted {
            plugin: "transform.wasm".to_owned(),
            digest: plugin,
            why: "the only component of its type".to_owned(),
            config: Some(Digest::of(&n.to_le_bytes()).to_string().chars().take(16).collect()),
        }),
        EventKind::StepStarted(StepStarted {
            attempt: 1,
            idempotency_key: Digest::of(&n.to_be_bytes()).to_string().chars().take(32).collect(),
        }),
        EventKind::StepSucceeded(StepSucceeded { output: output()?, receipt, kept: None }),
        EventKind::RunSucceeded(RunSucceeded { output: output()? }),
    ];
    let events: Vec<Event> = (1..)
        .zip(kinds)
        .map(|(seq, kind)| {
            let at = now + SignedDuration::from_micros(17 * i64::try_from(seq).unwrap_or(0));
            let is_of_step = kind.name().starts_with("step.");
            Event { seq, at, step: is_of_step.then(|| step.clone()), kind }
        })
        .collect();
    let bytes = serde_json::to_vec(&events)?.len();
    let summary = RunSummary {
        flow: "greet".to_owned(),
        status: RunStatus::Succeeded,
        created_at: now,
        finished_at: events.last().map(|event| event.at),
        seq: 6,
    };
    let append = Append {
        run: new_id(now),
        expected: 0,
        events,
        summary,
        timers: Vec::new(),
        waits: Vec::new(),
        claim: None,
        blobs: vec![BlobRef { digest: Digest::of(flow), bytes: Some(flow.clone()) }],
    };
    Ok((append, bytes))
}

/// A UUIDv7, but for the version.
fn new_id(now: Timestamp) -> RunId {
    let mut bytes = [0; 16];
    rand::rng().fill_bytes(&mut bytes);
    let millis = now.as_millisecond().to_be_bytes();
    bytes.iter_mut().zip(millis.iter().skip(2)).for_each(|(byte, milli)| *byte = *milli);
    RunId::from_bytes(bytes)
}

/// Lists and shows at random places.
async fn read(store: &SharedStore, ids: &[RunId]) -> Result<(), Failure> {
    let (mut listed, mut shown) = (Vec::new(), Vec::new());
    for n in 0..READS {
        let Some(run) = ids.get(rand::rng().random_range(0..ids.len())) else { continue };
        let status = n.is_multiple_of(2).then_some(RunStatus::Succeeded);
        let flow = n.is_multiple_of(3).then(|| "greet".to_owned());
        let begun = Instant::now();
        store.list(Query { status, flow, before: Some(*run), limit: PAGE }).await?;
        listed.push(begun.elapsed());
        let begun = Instant::now();
        store.summary(*run).await?;
        store.events(*run, 0, 1_000).await?;
        shown.push(begun.elapsed());
    }
    say(&format!("list {PAGE}: {}; show: {}", percentiles(listed), percentiles(shown)));
    Ok(())
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |p: usize| times.get(times.len() * p / 100).copied().unwrap_or_default();
    format!("p50 {:?}, p99 {:?}", at(50), at(99))
}

/// Says what the folder takes up.
fn report(folder: &Path, runs: u64, when: &str) -> Result<(), Failure> {
    let bytes = used(folder)?;
    say(&format!("{when}: {bytes} bytes on the disk, {} a run", bytes / runs));
    Ok(())
}

/// The blocks of all files in a folder.
fn used(folder: &Path) -> Result<u64, Failure> {
    use std::os::unix::fs::MetadataExt as _;
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let data = entry.metadata()?;
        sum += if data.is_dir() { used(&entry.path())? } else { data.blocks() * 512 };
    }
    Ok(sum)
}

#[expect(clippy::print_stdout, reason = "the result of this program")]
fn say(text: &str) {
    println!("{text}");
}
