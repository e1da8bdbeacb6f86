//! `kill -9` at random moments, under clients that remember what they were told.

mod audit;
mod client;
mod kind;
mod ledger;

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use stepcell_tests::{DEADLINE, Effects, Host};
use tokio::{task::JoinSet, time::sleep};

use client::World;

const CLIENTS: u64 = 32;
/// [`KILLS_VARIABLE`] sets another number.
const KILLS: u32 = 200;
const KILLS_VARIABLE: &str = "STEPCELL_TEST_KILLS";
const SEED: u64 = 20_261_121;
/// Chooses other moments and other work.
const SEED_VARIABLE: &str = "STEPCELL_TEST_SEED";
/// What is promised, from the start of the process.
const READY_IN: Duration = Duration::from_secs(2);
/// How long a host lives at the most, in milliseconds.
const LIFE_MAX: u64 = 400;
/// One host in so many is killed while it starts.
const STILLBORN: u32 = 8;
/// Runs that may begin in one life: bounds what is looked at in the end.
const RUNS_PER_LIFE: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_every_kill() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let kills = number(KILLS_VARIABLE).map_or(KILLS, |kills| kills.try_into().unwrap());
    let seed = number(SEED_VARIABLE).unwrap_or(SEED);
    // Shown where the test fails.
    println!("{SEED_VARIABLE}={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let effects = Effects::start().await;
    let mut host = Host::builder().config(&effects.grant()).start().await;
    let world = Arc::new(World::new(&effects));
    let mut clients: JoinSet<()> =
        (0..CLIENTS).map(|client| client::live(Arc::clone(&world), client, seed ^ client)).collect();
    let mut worst = Duration::ZERO;
    for kill in 0..kills {
        world.host_is_up(&host.url, RUNS_PER_LIFE);
        // Any moment will do: nothing is waited for.
        sleep(Duration::from_millis(rng.random_range(1..=LIFE_MAX))).await;
        if let Some(done) = clients.try_join_next() {
            panic!("a client has given up: {:?}: {}", done.err(), host.log());
        }
        host.kill();
        world.host_is_down();
        if rng.random_ratio(1, STILLBORN) {
            host.start_and_kill(Duration::from_millis(rng.random_range(1..=LIFE_MAX))).await;
        }
        let ready = host.start_again().await;
        worst = worst.max(ready);
        assert!(ready <= READY_IN, "ready after {ready:?}, kill {kill}");
        let news = world.ledger().take_news();
        for (label, entry) in news {
            audit::check(&host, &label, &entry).await;
        }
    }
    world.host_is_up(&host.url, 0);
    world.finish();
    let started = Instant::now();
    while let Some(done) = clients.join_next().await {
        done.unwrap();
        assert!(started.elapsed() < DEADLINE, "clients still wait for what they asked");
    }
    let ledger = world.ledger().clone();
    let totals = audit::all(&host, &ledger, &effects).await;
    println!("{CLIENTS} clients, {kills} kills, {totals}; ready again in {worst:?} at worst");
}
