//! What is acknowledged outlives the process.

use std::{
    collections::HashMap,
    env,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use futures_util::future::join_all;

use super::*;

/// Set in the process that is to be killed: the folder that it writes to.
const CHILD: &str = "STEPCELL_TEST_KILLED_IN";
const NAME: &str = "store::tests::kill::acknowledged_appends_outlive_a_kill";
const WRITERS: u64 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_appends_outlive_a_kill() {
    if let Some(folder) = env::var_os(CHILD) {
        return write_for_ever(Path::new(&folder)).await;
    }
    let folder = TempDir::new().unwrap();
    for round in 1..=3 {
        let acknowledged = kill_after(&folder, 300 * round);
        let store = open(&folder);
        for (n, seq) in acknowledged {
            let events = store.events(run(n), 0, usize::MAX).await.unwrap();
            assert!(events.len() as u64 >= seq, "run {n} was at {seq}, it is at {}", events.len());
            assert!(events == append(run(n), 0, events.len() as u64).events);
            let blob = store.blob(Digest::of(&blob(n, seq))).await.unwrap();
            assert_eq!(blob, Some(self::blob(n, seq)));
        }
    }
}

/// Kills the child after this many acknowledgements; gives the last one of each run.
fn kill_after(folder: &TempDir, count: usize) -> HashMap<u64, u64> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(CHILD, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut acknowledged, mut seen) = (HashMap::new(), 0);
    // Read to the end: what it printed before it died counts.
    for line in lines {
        let Ok(line) = line else { break };
        let Some((n, seq)) = line.strip_prefix("ack ").and_then(|ack| ack.split_once(' ')) else { continue };
        acknowledged.insert(n.parse().unwrap(), seq.parse().unwrap());
        seen += 1;
        if seen == count {
            child.kill().unwrap();
        }
    }
    assert!(seen >= count, "the child has ended by itself after {seen}: {:?}", child.wait());
    child.wait().unwrap();
    acknowledged
}

async fn write_for_ever(folder: &Path) {
    let store = Arc::new(SledStore::open(&DataDir::open(folder).unwrap()).unwrap());
    join_all((1..=WRITERS).map(|n| tokio::spawn(write(Arc::clone(&store), n)))).await;
}

async fn write(store: Arc<SledStore>, n: u64) {
    let mut at = store.summary(run(n)).await.unwrap().map_or(0, |summary| summary.seq);
    loop {
        store.put_blob(blob(n, at + 1), FOR_LONG).await.unwrap();
        store.append(append(run(n), at, 1)).await.unwrap();
        at += 1;
        println!("ack {n} {at}");
    }
}

/// A blob that goes with an event; every now and then a large one.
fn blob(n: u64, seq: u64) -> Bytes {
    let size = if (n + seq).is_multiple_of(16) { 100_000 } else { 100 };
    Bytes::from(format!("{n} {seq} {}", "x".repeat(size)))
}
