//! A run has to be over by a time.

use serde_json::{Value, json};
use stepcell_tests::{Host, Shop};

/// The run has failed since its time is over.
#[track_caller]
fn is_over(run: &Value) {
    assert_eq!(
        (&run["error"]["code"], &run["error"]["fault"]),
        (&json!("deadline_exceeded"), &json!("timeout")),
        "{run:#}"
    );
}

#[tokio::test]
async fn a_step_that_hangs_is_stopped() {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).start().await;
    let run = host
        .run(&format!(
            "name: hang\ndeadline: 1s\nsteps: [{{ id: a, type: http_request, config: {{ url: \"{}/never\" }} }}]",
            shop.url()
        ))
        .await;
    is_over(&run);
    assert_eq!(run["steps"]["a"]["status"], "cancelled", "{run:#}");
}

#[tokio::test]
async fn a_run_that_waits_is_ended_also_after_a_kill() {
    let mut host = Host::start().await;
    let flow = "
name: ask
deadline: 2s
steps:
  - { id: ok, type: wait_for_approval, config: { label: Go, timeout: 1d } }
";
    let run = host.submit(flow).await;
    host.until(&run, "waiting").await;
    host.restart().await;
    is_over(&host.until(&run, "failed").await);
    let (status, problem) = host.resume(&run, &json!({"payload": null})).await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("run_finished")), "{problem:#}");
}

#[tokio::test]
async fn items_and_flows_within_are_stopped_too() {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).start().await;
    let run = host
        .run(&format!(
            r#"
name: outer
deadline: 1500ms
steps:
  - id: m
    type: for_each
    config:
      items: [1, 2, 3]
      step_config: {{ type: http_request, config: {{ url: "{}/never?{{{{ item }}}}" }} }}
"#,
            shop.url()
        ))
        .await;
    is_over(&run);
    let events = host.events(&run).await;
    let cancelled = events.iter().filter(|event| event["type"] == "step.cancelled").count();
    assert_eq!(cancelled, 4, "{events:#?}");
}

#[tokio::test]
async fn a_run_that_still_queues_is_ended() {
    let shop = Shop::start().await;
    let host = Host::builder().config(&shop.grant()).config("concurrency: { runs: 1 }").start().await;
    let hangs = format!(
        "name: hang\nsteps: [{{ id: a, type: http_request, config: {{ url: \"{}/never\" }} }}]",
        shop.url()
    );
    host.submit(&hangs).await;
    let queued = host.submit(&format!("deadline: 1s\n{hangs}")).await;
    is_over(&host.until(&queued, "failed").await);
    assert_eq!(shop.seen().len(), 1);
}

#[tokio::test]
async fn a_run_that_is_done_in_time_is_left_alone() {
    let host = Host::start().await;
    let run = host
        .run("name: quick\ndeadline: 1s\nsteps: [{ id: a, type: transform, config: { output: 1 } }]")
        .await;
    assert_eq!(run["status"], "succeeded");
    let wait = host.run("name: nap\nsteps: [{ id: a, type: delay, config: { seconds: 1.2 } }]").await;
    assert_eq!(wait["status"], "succeeded");
    let shown = host.show(run["run_id"].as_str().unwrap()).await;
    assert_eq!(shown["status"], "succeeded");
}
