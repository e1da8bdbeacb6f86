//! A host that is told to stop ends what is under way, and begins nothing.

use std::time::Instant;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::json;
use stepcell_tests::{Host, Shop, eventually};

/// Two steps: the first hangs at the shop's gate.
fn flow(shop: &Shop) -> String {
    json!({"name": "two", "steps": [
        {"id": "a", "type": "http_request", "config": {"url": format!("{}/gate", shop.url())}},
        {"id": "b", "type": "http_request", "after": "a", "config": {"url": format!("{}/echo", shop.url())}},
    ]})
    .to_string()
}

fn pid(host: &Host) -> Pid {
    Pid::from_raw(i32::try_from(host.pid()).unwrap()).unwrap()
}

/// Waits until the process has ended; gives its exit code.
async fn exit_code(host: &Host) -> i32 {
    eventually("the process ends", || async {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(pid(host)), options).unwrap()?.exit_status()
    })
    .await
}

/// Tells the host to stop and waits until it says that it does.
async fn terminate(host: &Host) {
    kill_process(pid(host), Signal::TERM).unwrap();
    eventually("new runs are refused", || async {
        let (status, problem) = host
            .post_yaml("/runs", "name: x\nsteps: [{ id: a, type: transform, config: { output: 1 } }]")
            .await;
        (status == 503 && problem["code"] == "stopping").then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_under_way_ends_and_its_result_is_kept() {
    let shop = Shop::start().await;
    let mut host = Host::builder().config(&shop.grant()).start().await;
    let run = host.submit(&flow(&shop)).await;
    shop.until_seen(1).await;
    terminate(&host).await;
    assert_eq!(host.show(&run).await["steps"]["a"]["status"], "running");
    shop.open();
    assert_eq!(exit_code(&host).await, 0, "{}", host.log());
    assert_eq!(shop.seen().len(), 1);
    host.restart().await;
    let done = host.until(&run, "succeeded").await;
    assert_eq!(done["steps"]["a"]["attempts"], 1, "{done:#}");
    // The first step did not run again.
    let paths: Vec<_> = shop.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/gate", "/echo"]);
}

#[tokio::test]
async fn what_takes_too_long_runs_again_at_the_next_start() {
    let shop = Shop::start().await;
    let mut host = Host::builder().config(&shop.grant()).config("drain: 200ms").start().await;
    let run = host.submit(&flow(&shop)).await;
    shop.until_seen(1).await;
    let told = Instant::now();
    kill_process(pid(&host), Signal::TERM).unwrap();
    assert_eq!(exit_code(&host).await, 0, "{}", host.log());
    assert!(told.elapsed().as_secs() < 20, "{:?}", told.elapsed());
    shop.open();
    host.restart().await;
    host.until(&run, "succeeded").await;
    let paths: Vec<_> = shop.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/gate", "/gate", "/echo"]);
}

#[tokio::test]
async fn what_queues_and_what_waits_goes_on_at_the_next_start() {
    let shop = Shop::start().await;
    let mut host = Host::builder().config(&shop.grant()).config("concurrency: { runs: 1 }").start().await;
    let parked =
        host.submit("name: ask\nsteps: [{ id: ok, type: wait_for_approval, config: { label: Go } }]").await;
    host.until(&parked, "waiting").await;
    let active = host.submit(&flow(&shop)).await;
    shop.until_seen(1).await;
    let queued = host.submit(&flow(&shop)).await;
    terminate(&host).await;
    shop.open();
    assert_eq!(exit_code(&host).await, 0, "{}", host.log());
    host.restart().await;
    host.until(&active, "succeeded").await;
    host.until(&queued, "succeeded").await;
    let (status, resumed) = host.resume(&parked, &json!({"payload": null})).await;
    assert_eq!(status, 200, "{resumed:#}");
    host.until(&parked, "succeeded").await;
}

#[tokio::test]
async fn who_waits_for_a_run_that_ends_in_time_gets_it() {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).start().await;
    let one = json!({"name": "one", "steps": [
        {"id": "a", "type": "http_request", "config": {"url": format!("{}/gate", shop.url())}},
    ]});
    let body = json!({"flow": one});
    let waiting = host.post("/runs?wait=50s", &body);
    let stopping = async {
        shop.until_seen(1).await;
        terminate(&host).await;
        shop.open();
    };
    let ((status, run), ()) = tokio::join!(waiting, stopping);
    assert_eq!((status.as_u16(), &run["status"]), (200, &json!("succeeded")), "{run:#}");
    assert_eq!(exit_code(&host).await, 0);
}
