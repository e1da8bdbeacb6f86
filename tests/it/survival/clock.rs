//! A wall clock that jumps an hour, as it does when somebody sets it, or when a machine wakes up.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stepcell_tests::{Host, Shop, eventually};

const HOUR: i64 = 3600;
/// How late a jump may be noticed, and a machine that has much to do.
const SOON: Duration = Duration::from_secs(15);
const SHORT: &str = "name: short\nsteps: [{ id: a, type: transform, config: { output: 1 } }]";

fn nap(seconds: f64) -> String {
    format!("name: nap\nsteps: [{{ id: nap, type: delay, config: {{ seconds: {seconds} }} }}]")
}

/// How long it took.
async fn run(host: &Host, flow: &str) -> (Value, Duration) {
    let started = Instant::now();
    let run = host.run(flow).await;
    (run, started.elapsed())
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_ends_what_is_due_and_nothing_else() {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).moving_clock().start().await;
    let half_an_hour = host.submit(&nap(1800.0)).await;
    let two_hours = host.submit(&nap(7200.0)).await;
    let asks =
        host.submit("name: ask\nsteps: [{ id: a, type: wait_for_approval, config: { timeout: 30m } }]").await;
    for run in [&half_an_hour, &two_hours, &asks] {
        host.until(run, "waiting").await;
    }
    // An attempt has its time by the clock that does not jump.
    let hangs = host
        .submit(&format!(
            "name: hangs\nsteps: [{{ id: a, type: http_request, timeout: 8s, config: {{ url: \"{}/never\" }} }}]",
            shop.url()
        ))
        .await;
    eventually("the shop is asked", || async { (shop.seen().len() == 1).then_some(()) }).await;
    let asked = Instant::now();
    host.set_clock(HOUR);
    let jumped = Instant::now();
    host.until(&half_an_hour, "succeeded").await;
    assert!(jumped.elapsed() < SOON, "noticed after {:?}", jumped.elapsed());
    let late = host.until(&asks, "failed").await;
    assert_eq!(late["error"]["code"], "approval_timed_out", "{late:#}");
    assert_eq!(host.show(&two_hours).await["status"], "waiting");
    let failed = host.until(&hangs, "failed").await;
    assert_eq!(failed["error"]["fault"], "timeout", "{failed:#}");
    assert!(asked.elapsed() > Duration::from_secs(7), "it had {:?} of its 8 seconds", asked.elapsed());
    assert_eq!(run(&host, SHORT).await.0["status"], "succeeded");
}

#[tokio::test]
async fn a_clock_that_jumps_back_holds_up_nothing_that_begins_later() {
    let host = Host::builder().moving_clock().start().await;
    let before = host.submit(&nap(1.0)).await;
    host.until(&before, "waiting").await;
    host.set_clock(-HOUR);
    let (short, _) = run(&host, SHORT).await;
    assert_eq!(short["status"], "succeeded", "{short:#}");
    let (napped, took) = run(&host, &nap(0.5)).await;
    assert_eq!(napped["status"], "succeeded", "{napped:#}");
    assert!(took >= Duration::from_millis(500) && took < SOON, "{took:?}");
    let (deadline, took) = run(&host, &format!("deadline: 1s\n{}", nap(100.0))).await;
    assert_eq!(deadline["error"]["code"], "deadline_exceeded", "{deadline:#}");
    assert!(took < SOON, "{took:?}");
    // Runs are listed as they came, whatever the clock said.
    let (_, runs) = host.get("/runs").await;
    let ids: Vec<&Value> = runs["runs"].as_array().unwrap().iter().map(|run| &run["run_id"]).collect();
    assert_eq!(ids, [&deadline["run_id"], &napped["run_id"], &short["run_id"], &json!(before)]);
    // What was to be done at an instant is done at that instant, which comes an hour later now, or when the clock
    // is right again.
    assert_eq!(host.show(&before).await["status"], "waiting");
    host.set_clock(0);
    let set_right = Instant::now();
    host.until(&before, "succeeded").await;
    assert!(set_right.elapsed() < SOON, "noticed after {:?}", set_right.elapsed());
}

/// The next process knows of the time before only from the log.
#[tokio::test]
async fn a_host_that_starts_an_hour_earlier_than_it_stopped_goes_on() {
    let mut host = Host::builder().moving_clock().start().await;
    let done = host.run(SHORT).await;
    let waits = host.submit("name: ask\nsteps: [{ id: a, type: wait_for_approval, config: {} }]").await;
    host.until(&waits, "waiting").await;
    host.kill();
    host.set_clock(-HOUR);
    host.start_again().await;
    assert_eq!(host.show(done["run_id"].as_str().unwrap()).await, done);
    let (new, _) = run(&host, &nap(0.1)).await;
    assert_eq!(new["status"], "succeeded", "{new:#}");
    let (status, answer) = host.resume(&waits, &json!({"payload": 1})).await;
    assert_eq!(status, 200, "{answer:#}");
    host.until(&waits, "succeeded").await;
    let (_, runs) = host.get("/runs").await;
    assert_eq!(runs["runs"].as_array().unwrap().len(), 3, "{runs:#}");
}

/// A pause that was short, and so had no timer, when the host stopped.
#[tokio::test]
async fn a_retry_waits_for_its_time_also_where_the_next_start_is_an_hour_earlier() {
    let shop = Shop::start().await;
    let mut host = Host::builder().config(&shop.grant()).moving_clock().start().await;
    let run = host
        .submit(&format!(
            "name: again\nsteps: [{{ id: a, type: http_request, config: {{ url: \"{}/flaky\" }}, \
             retry: {{ max_attempts: 3, backoff: [8s, 1ms], jitter: false }} }}]",
            shop.url()
        ))
        .await;
    eventually("it is to be tried again", || async {
        let run = host.show(&run).await;
        run["steps"]["a"]["retry_at"].is_string().then_some(())
    })
    .await;
    host.kill();
    host.set_clock(-HOUR);
    host.start_again().await;
    host.until(&run, "waiting").await;
    assert_eq!(shop.seen().len(), 1);
    host.set_clock(0);
    let set_right = Instant::now();
    let done = host.until(&run, "succeeded").await;
    assert_eq!((&done["steps"]["a"]["attempts"], shop.seen().len()), (&json!(3), 3), "{done:#}");
    // What is left of the pause, and how late a jump may be noticed.
    assert!(set_right.elapsed() < Duration::from_secs(8) + SOON, "it came after {:?}", set_right.elapsed());
}
