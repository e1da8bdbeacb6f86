//! How many appends a second the store takes, and how many of them share a sync.
//!
//! `append_rate [FOLDER] [SECONDS]`; by default a folder beside the program, so on a real disk, and 2 seconds.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use stepcell_store::{MemoryStore, SharedStore, suite};
use stepcell_store_sled::{DataDir, SledStore};

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().map_or_else(beside_the_program, PathBuf::from);
    let seconds = args.next().map_or(Ok(2), |text| text.parse())?;
    let time = Duration::from_secs(seconds);
    report("memory", Arc::new(MemoryStore::new()), 1, time).await;
    report("memory", Arc::new(MemoryStore::new()), 64, time).await;
    for writers in [1, 8, 64, 256] {
        report("sled", open(&folder)?, writers, time).await;
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

fn beside_the_program() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.with_file_name("append-rate-data")
}

fn open(folder: &Path) -> Result<SharedStore, stepcell_store::Error> {
    Ok(Arc::new(SledStore::open(&DataDir::open(folder)?)?))
}

/// Appends after which a measurement ends before its time is over. The memory store keeps all that it is given.
const APPENDS_MAX: u64 = 300_000;

/// Lets `writers` append to runs of their own, each as fast as it is answered, 40 events a run.
async fn report(name: &str, store: SharedStore, writers: u64, time: Duration) {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (start, syncs) = (Instant::now(), store.syncs());
    let tasks = (0..writers).map(|writer| {
        let (store, stop, count) = (Arc::clone(&store), Arc::clone(&stop), Arc::clone(&count));
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            for n in 0.. {
                for seq in 0..40 {
                    if stop.load(Ordering::Relaxed) || count.load(Ordering::Relaxed) >= APPENDS_MAX {
                        return latencies;
                    }
                    let begun = Instant::now();
                    let result = store.append(suite::append(suite::run(n * writers + writer), seq, 1)).await;
                    assert!(result.is_ok(), "{result:?}");
                    latencies.push(begun.elapsed());
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
            latencies
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let timer = tokio::spawn(async move {
        tokio::time::sleep(time).await;
        stop.store(true, Ordering::Relaxed);
    });
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap_or_default());
    }
    timer.abort();
    latencies.sort_unstable();
    let percentile = |p: usize| latencies.get(latencies.len() * p / 100).copied().unwrap_or_default();
    let appends = count.load(Ordering::Relaxed);
    let (rate, syncs) = (appends as f64 / start.elapsed().as_secs_f64(), store.syncs() - syncs);
    #[expect(clippy::print_stdout, reason = "the result of this program")]
    {
        println!(
            "{name:>6}, {writers:>3} writers: {rate:>9.0} appends/s, {:>6.3} syncs an append, p50 {:?}, p99 {:?}",
            syncs as f64 / appends as f64,
            percentile(50),
            percentile(99),
        );
    }
}
