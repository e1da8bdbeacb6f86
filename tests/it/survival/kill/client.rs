//! A client: it asks until it is answered, and remembers the answer.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use stepcell_tests::{DEADLINE, Effects};
use tokio::{
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use super::{
    kind::{self, Kind},
    ledger::Ledger,
};

/// One submission in so many is of several runs.
const MANY_ONE_IN: u32 = 10;
const MANY: usize = 3;
/// Milliseconds until a run is cancelled that takes some seconds.
const CANCEL_WITHIN: u64 = 500;
/// How often a client looks whether its run has come as far as it waits for.
const POLL: Duration = Duration::from_millis(20);

/// What all clients share.
pub(super) struct World {
    /// The host's address, while it is up.
    address: watch::Sender<Option<String>>,
    /// Runs that may begin; closed at the end.
    room: Semaphore,
    ledger: Mutex<Ledger>,
    effects: String,
    http: reqwest::Client,
}

impl World {
    pub(super) fn new(effects: &Effects) -> Self {
        Self {
            address: watch::Sender::new(None),
            room: Semaphore::new(0),
            ledger: Mutex::default(),
            effects: effects.url(),
            http: reqwest::Client::new(),
        }
    }

    /// Lets so many more runs begin.
    pub(super) fn host_is_up(&self, url: &str, runs: usize) {
        self.address.send_replace(Some(url.to_owned()));
        self.room.add_permits(runs.saturating_sub(self.room.available_permits()));
    }

    pub(super) fn host_is_down(&self) {
        self.address.send_replace(None);
    }

    /// Lets clients end what they have begun.
    pub(super) fn finish(&self) {
        self.room.close();
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// Asks until there is an answer, of whichever life of the host.
    async fn ask(&self, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut address = self.address.subscribe();
        loop {
            let url = address.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            let url = format!("{url}/api/v1{path}");
            let request = match body {
                Some(body) => self.http.post(url).json(body),
                None => self.http.get(url),
            };
            let answered = async {
                let response = request.send().await.ok()?;
                Some((response.status().as_u16(), response.json().await.ok()?))
            };
            // Who is not answered by the dead is told by the next.
            tokio::select! {
                biased;
                answer = answered => match answer {
                    Some(answer) => return answer,
                    None => match timeout(DEADLINE, address.changed()).await {
                        Ok(changed) => changed.unwrap(),
                        Err(_) => panic!("{path}: the host is up, and breaks off"),
                    },
                },
                changed = address.changed() => changed.unwrap(),
            }
        }
    }
}

/// Submits runs, one after the other, as long as there is room.
pub(super) async fn live(world: Arc<World>, client: u64, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    for number in 0.. {
        let Ok(room) = world.room.acquire().await else { return };
        room.forget();
        let label = format!("{client}-{number}");
        if rng.random_ratio(1, MANY_ONE_IN) {
            submit_many(&world, &label).await;
            continue;
        }
        let kind = Kind::ALL[rng.random_range(0..Kind::ALL.len())];
        let early = rng.random();
        if kind == Kind::Received && early {
            send(&world, &label).await;
        }
        submit(&world, kind, &label, rng.random_range(0..300)).await;
        match kind {
            Kind::Cancelled => {
                sleep(Duration::from_millis(rng.random_range(0..CANCEL_WITHIN))).await;
                cancel(&world, &label).await;
            }
            Kind::Approved => approve(&world, &label).await,
            // The run may wait already, or come to it later.
            Kind::Received if !early => {
                let woken = send(&world, &label).await == 1;
                world.ledger().told(&label, |entry| entry.woken = woken);
            }
            _ => {}
        }
    }
}

async fn submit(world: &World, kind: Kind, label: &str, nap: u32) {
    let input = json!({"label": label, "url": world.effects, "nap": f64::from(nap) / 1000.0});
    let body = json!({"flow": kind.flow(), "input": input, "idempotency_key": label});
    let path = if kind == Kind::Awaited { "/runs?wait=60s" } else { "/runs" };
    let (status, run) = world.ask(path, Some(&body)).await;
    assert!(matches!(status, 200 | 202), "{label}: {status} {run:#}");
    let mut ledger = world.ledger();
    ledger.begun(label, kind, run["run_id"].as_str().unwrap());
    if status == 200 && kind == Kind::Awaited {
        ledger.told(label, |entry| entry.ended = Some(run));
    }
}

/// Several runs by one call, which is acknowledged as a whole.
async fn submit_many(world: &World, label: &str) {
    let labels: Vec<String> = (0..MANY).map(|number| format!("{label}.{number}")).collect();
    let inputs: Vec<Value> =
        labels.iter().map(|label| json!({"label": label, "url": world.effects, "nap": 0})).collect();
    let body = json!({"flow": Kind::Effects.flow(), "inputs": inputs, "idempotency_key": label});
    let (status, answer) = world.ask("/runs", Some(&body)).await;
    assert_eq!(status, 202, "{label}: {answer:#}");
    let runs = answer["runs"].as_array().unwrap();
    assert_eq!(runs.len(), MANY, "{label}: {answer:#}");
    for (label, run) in labels.iter().zip(runs) {
        world.ledger().begun(label, Kind::Effects, run["run_id"].as_str().unwrap());
    }
}

/// Waits until the run does.
async fn until_waiting(world: &World, label: &str) -> String {
    let run = world.ledger().runs[label].run.clone();
    let waiting = async {
        while world.ask(&format!("/runs/{run}"), None).await.1["status"] != "waiting" {
            sleep(POLL).await;
        }
    };
    timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("{label}: run {run} does not get to wait"));
    run
}

async fn cancel(world: &World, label: &str) {
    let run = world.ledger().runs[label].run.clone();
    let (status, answer) = world.ask(&format!("/runs/{run}/cancel"), Some(&json!({}))).await;
    // The answer to an earlier call may have been lost.
    assert!(status == 200 || answer["code"] == "run_finished", "{label}: {status} {answer:#}");
    world.ledger().told(label, |entry| entry.cancelled = Some(SystemTime::now()));
}

async fn approve(world: &World, label: &str) {
    let run = until_waiting(world, label).await;
    let path = format!("/runs/{run}/resume");
    let answer = kind::answer(label);
    let (status, said) =
        world.ask(&path, Some(&json!({"step": "ask", "payload": answer, "by": label}))).await;
    let is_ours = |said: &Value| {
        said["code"] == "already_resumed"
            && said["first"]["payload"] == answer
            && said["first"]["by"] == label
    };
    assert!(status == 200 || is_ours(&said), "{label}: {status} {said:#}");
    world.ledger().told(label, |entry| entry.resumed = true);
    // Another word does not count.
    let (status, said) =
        world.ask(&path, Some(&json!({"step": "ask", "payload": "other", "by": "other"}))).await;
    assert!(status == 409 && is_ours(&said), "{label}: {status} {said:#}");
}

/// Sends a run its event; gives how many that has woken.
async fn send(world: &World, label: &str) -> u64 {
    let event = json!({"payload": {"label": label}, "id": label, "keep": "1h"});
    let (status, answer) = world.ask("/events/paid", Some(&event)).await;
    assert_eq!(status, 200, "{label}: {answer:#}");
    answer["woken"].as_u64().unwrap()
}
