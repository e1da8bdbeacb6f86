//! What is acknowledged outlives the process.

use std::{
    collections::HashMap,
    env,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use futures_util::future::join_all;
use stepcell_store::Taken;

use super::*;

/// Set in the process that is to be killed: the folder that it writes to.
const CHILD: &str = "STEPCELL_TEST_KILLED_IN";
const NAME: &str = "store::tests::kill::acknowledged_appends_outlive_a_kill";
const REMOVING: &str = "store::tests::kill::a_kill_amid_removals_leaves_nothing_half_held";
const SIGNALLING: &str = "store::tests::kill::acknowledged_claims_and_events_outlive_a_kill";
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
    let acks = killed_after(NAME, folder, count);
    acks.iter().map(|ack| ack.split_once(' ').unwrap()).map(|(n, seq)| (number(n), number(seq))).collect()
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

/// Kills the test `name`, run in a child, after this many acknowledgements; gives them.
fn killed_after(name: &str, folder: &TempDir, count: usize) -> Vec<String> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acks = Vec::new();
    // Read to the end: what it printed before it died counts.
    for line in lines {
        let Ok(line) = line else { break };
        let Some(ack) = line.strip_prefix("ack ") else { continue };
        acks.push(ack.to_owned());
        if acks.len() == count {
            child.kill().unwrap();
        }
    }
    assert!(acks.len() >= count, "the child has ended by itself after {}: {:?}", acks.len(), child.wait());
    child.wait().unwrap();
    acks
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

/// Runs come and go, small and large blobs with them, until the process is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_amid_removals_leaves_nothing_half_held() {
    if let Some(folder) = env::var_os(CHILD) {
        return come_and_go_for_ever(Path::new(&folder)).await;
    }
    let folder = TempDir::new().unwrap();
    for round in 1..=4 {
        let acks = killed_after(REMOVING, &folder, 150 * round);
        let store = open(&folder);
        for ack in acks {
            let (done, n) = ack.split_once(' ').unwrap();
            match done {
                "removed" => {
                    assert_eq!(store.summary(run(number(n))).await.unwrap(), None, "run {n} was removed");
                }
                // A removal may have followed that nobody was told of; a run that is there has its blobs.
                _ if store.summary(run(number(n))).await.unwrap().is_some() => {
                    for blob in blobs_of(number(n)) {
                        assert_eq!(store.blob(Digest::of(&blob)).await.unwrap(), Some(blob));
                    }
                }
                _ => {}
            }
        }
        store.sweep(at(0)).await.unwrap();
        whole::check(&store);
    }
}

/// Of a run: one of its own, and two that it shares with others.
fn blobs_of(n: u64) -> [Bytes; 3] {
    let of = |text: String, size: usize| Bytes::from(format!("{text} {}", "x".repeat(size)));
    [
        of(format!("own {n}"), 100_000),
        of(format!("large {}", n % 3), 90_000),
        of(format!("small {}", n % 5), 50),
    ]
}

async fn come_and_go_for_ever(folder: &Path) {
    let store = Arc::new(SledStore::open(&DataDir::open(folder).unwrap()).unwrap());
    // Ids are never used again: each process goes on behind the newest run of the one before, with room between.
    let newest = store.list(Query { limit: 1, ..Query::default() }).await.unwrap();
    let from = newest.first().map_or(0, |(id, _)| u64::from_be_bytes(id.as_bytes()[..8].try_into().unwrap()));
    let task = |writer| tokio::spawn(come_and_go(Arc::clone(&store), from + 1_000_000 + writer));
    join_all((0..WRITERS).map(task)).await;
}

async fn come_and_go(store: Arc<SledStore>, first: u64) {
    let mut last: Option<u64> = None;
    for n in (first..).step_by(WRITERS as usize) {
        let [own, large, small] = blobs_of(n);
        store.put_blob(own, Hold::Run(run(n))).await.unwrap();
        let brought = vec![suite::bringing(&large), suite::bringing(&small)];
        store.append(suite::ended(run(n), brought)).await.unwrap();
        println!("ack begun {n}");
        if let Some(last) = last.replace(n) {
            assert!(store.remove_run(run(last)).await.unwrap());
            println!("ack removed {last}");
        }
    }
}

/// Writers claim the same keys, keep the same events and take them until the process is killed: who was told that a
/// key or an event is his has it ever after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_claims_and_events_outlive_a_kill() {
    if let Some(folder) = env::var_os(CHILD) {
        return claim_for_ever(Path::new(&folder)).await;
    }
    let folder = TempDir::new().unwrap();
    let (mut claims, mut taken) = (HashMap::new(), HashMap::new());
    for round in 1..=4 {
        for ack in killed_after(SIGNALLING, &folder, 200 * round) {
            let [what, name, n] = ack.split(' ').collect::<Vec<_>>().try_into().unwrap();
            let acknowledged = if what == "claimed" { &mut claims } else { &mut taken };
            let other = acknowledged.insert(name.to_owned(), number(n));
            assert_eq!(other, None, "{what} {name} was acknowledged twice");
        }
        let store = open(&folder);
        for (key, n) in &claims {
            assert_eq!(store.claimed(key).await.unwrap(), Some((run(*n), Digest::of(key.as_bytes()))));
            assert_eq!(
                store.summary(run(*n)).await.unwrap().map(|summary| summary.status.is_final()),
                Some(true)
            );
        }
        for (name, n) in &taken {
            let events = store.kept_events(name, suite::events::anybody(), None, 10).await.unwrap();
            assert_eq!(events.iter().map(|event| event.taken).collect::<Vec<_>>(), [Taken::Run(run(*n))]);
        }
        whole::check(&store);
    }
}

async fn claim_for_ever(folder: &Path) {
    let store = Arc::new(SledStore::open(&DataDir::open(folder).unwrap()).unwrap());
    let newest = store.list(Query { limit: 1, ..Query::default() }).await.unwrap();
    let from = newest.first().map_or(0, |(id, _)| u64::from_be_bytes(id.as_bytes()[..8].try_into().unwrap()));
    let from = (from / 1_000_000 + 1) * 1_000_000;
    join_all((0..WRITERS).map(|writer| tokio::spawn(claim(Arc::clone(&store), from, writer)))).await;
}

/// Every writer wants the key and the event of every round.
async fn claim(store: Arc<SledStore>, from: u64, writer: u64) {
    for round in 0.. {
        let name = format!("{from}-{round}");
        let n = from + round * WRITERS + writer;
        let wanted = suite::claims::claiming(run(n), &name, &name).claim;
        match store.append(Append { claim: wanted, ..suite::ended(run(n), vec![]) }).await {
            Ok(()) => println!("ack claimed {name} {n}"),
            Err(Error::Claimed { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        store.put_event(suite::events::kept(&name, "e", 0, 10)).await.unwrap();
        if store.take_event(&name, "e", Taken::Run(run(n))).await.unwrap() {
            println!("ack taken {name} {n}");
        }
    }
}
