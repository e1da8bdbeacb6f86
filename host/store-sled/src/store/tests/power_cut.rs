//! What is on the disk after a power cut: what was synced, and of the rest any sectors that happened to get there.

use std::{
    env,
    sync::mpsc::{self, Receiver},
};

use futures_util::future::{join_all, try_join_all};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use stepcell_store::Taken;
use tokio::runtime;

use super::*;

mod ledger;
mod recorder;

use ledger::{Ledger, SharedLedger};
use recorder::{Cut, Image, Recorder};

const WRITERS: u64 = 6;
/// Lives of one folder; each begins with what the cut, or the death, of the one before has left.
const LIVES: u64 = 3;
/// Runs in a life.
const RUNS: u64 = 120;
/// One sync in so many is cut, on average.
const ONE_IN: u32 = 24;
/// One run in so many is as long as this, and written at once: more than a batch takes.
const LONG_ONE_IN: u32 = 16;
const LONG: u64 = 150;
/// Another seed, for who wants to look further. It chooses what is done and what is cut, threads choose the order.
const SEED: &str = "STEPCELL_TEST_SEED";

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let seed = env::var(SEED).map_or(4, |seed| seed.parse().unwrap());
    let mut rng = StdRng::seed_from_u64(seed);
    let mut before = Before::default();
    for life in 0..LIVES {
        let about = format!("life {life} of seed {seed}");
        before = live(before, life, &mut rng, &about);
    }
}

/// What a life of a folder begins with.
#[derive(Default)]
struct Before {
    shown: Image,
    /// Of that, what is on the disk: the rest is still in the memory of the operating system.
    kept: Image,
    ledger: Ledger,
}

fn live(before: Before, life: u64, rng: &mut StdRng, about: &str) -> Before {
    let folder = TempDir::new().unwrap();
    recorder::restore(&before.shown, folder.path());
    let (cuts, cut) = mpsc::sync_channel(1);
    let ledger = SharedLedger::new(before.ledger.into());
    let recorder = Recorder::new(folder.path(), &before.kept, rng.random(), ONE_IN, ledger.clone(), cuts);
    let recorder = Arc::new(recorder);
    let text = about.to_owned();
    let checker = thread::spawn(move || check_all(cut, &text));
    write(&folder, &recorder, &ledger, life, rng.random());
    // sled takes its space again only when it has written more than there is.
    let length = fs::metadata(folder.path().join("store/db")).unwrap().len();
    assert!(recorder.written() > length, "{about}: {} bytes written, {length} long", recorder.written());
    let death = recorder.died().unwrap_or_else(|| panic!("{about}: too few runs"));
    drop(recorder);
    let last = checker.join().unwrap_or_else(|_| panic!("{about}: a power cut was not survived, see above"));
    if rng.random() { death } else { last.unwrap_or(death) }
}

/// Checks every cut; gives the last one.
fn check_all(cuts: Receiver<Cut>, about: &str) -> Option<Before> {
    let mut last = None;
    for (number, cut) in cuts.into_iter().enumerate() {
        let context = format!("{about}, cut {number}: {}", cut.how);
        check(&cut, &context);
        last = Some(Before { shown: cut.image.clone(), kept: cut.image, ledger: cut.ledger });
    }
    last
}

fn check(cut: &Cut, context: &str) {
    let folder = TempDir::new().unwrap();
    recorder::restore(&cut.image, folder.path());
    let mut ledger = cut.ledger.clone();
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..2 {
        let opened = SledStore::open(&DataDir::open(folder.path()).unwrap());
        let store = opened.unwrap_or_else(|error| panic!("{context}: {error}: {:?}", error.hint()));
        runtime.block_on(async {
            ledger.check(&store).await;
            ledger.go_on(&store).await;
        });
    }
}

/// Writes as many do at a time, and dies in between.
fn write(folder: &TempDir, recorder: &Arc<Recorder>, ledger: &SharedLedger, life: u64, seed: u64) {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let store = SledStore::open_on(&DataDir::open(folder.path()).unwrap(), Arc::<Recorder>::clone(recorder));
    let store = Arc::new(store.unwrap());
    let first = (life + 1) * 1_000_000;
    let writer = |writer: u64| {
        let (store, recorder, ledger) = (Arc::clone(&store), Arc::clone(recorder), Arc::clone(ledger));
        let mut rng = StdRng::seed_from_u64(seed ^ writer);
        let dies_at = rng.random_range(RUNS / WRITERS / 2..RUNS / WRITERS);
        let runs = (first + writer..).step_by(WRITERS as usize).take((RUNS / WRITERS) as usize);
        runtime.spawn(async move {
            for (number, n) in (0..).zip(runs) {
                if (writer, number) == (0, dies_at) {
                    recorder.die();
                }
                come_and_go(&store, &ledger, n, &mut rng).await;
            }
        })
    };
    for done in runtime.block_on(join_all((0..WRITERS).map(writer))) {
        done.unwrap();
    }
}

/// A run from its first event to its last, a blob, and the end of another run.
async fn come_and_go(store: &SledStore, ledger: &SharedLedger, n: u64, rng: &mut StdRng) {
    let is_long = rng.random_ratio(1, LONG_ONE_IN);
    let last = if is_long { LONG } else { rng.random_range(1..12) };
    let appends = (1..=last).map(|seq| store.append(ledger::nth(n, seq, seq == last)));
    if is_long || rng.random() {
        try_join_all(appends.collect::<Vec<_>>()).await.unwrap();
        ledger.lock().at.insert(n, last);
    } else {
        for (seq, append) in (1..).zip(appends) {
            append.await.unwrap();
            ledger.lock().at.insert(n, seq);
        }
    }
    if rng.random_ratio(1, 4) {
        store.put_blob(ledger::sent(n), FOR_LONG).await.unwrap();
        ledger.lock().sent.insert(n);
    }
    if rng.random_ratio(1, 4) {
        assert!(store.put_event(ledger::kept(n)).await.unwrap());
        ledger.lock().kept.insert(n, false);
        assert!(store.take_event(ledger::SIGNAL, &n.to_string(), Taken::Run(run(n))).await.unwrap());
        ledger.lock().kept.insert(n, true);
    }
    let other = n - WRITERS * rng.random_range(0..8);
    let is_there = |ledger: &Ledger| ledger.at.contains_key(&other) && !ledger.going.contains(&other);
    if is_there(&ledger.lock()) {
        ledger.lock().going.insert(other);
        assert!(store.remove_run(run(other)).await.unwrap());
        ledger.lock().gone.insert(other);
    }
}
