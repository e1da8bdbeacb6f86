//! What survives `kill -9`.

use serde_json::json;
use stepcell_tests::{Host, Shop};

#[tokio::test]
async fn a_delay_goes_on_after_a_kill() {
    let mut host = Host::start().await;
    let run = host
        .submit(
            r#"
name: nap
steps:
  - { id: before, type: transform, config: { output: 1 } }
  - { id: nap, type: delay, after: before, config: { seconds: 1 } }
  - { id: after, type: transform, after: nap, config: { output: "{{ steps.nap.delayed_seconds }}" } }
"#,
        )
        .await;
    host.until(&run, "waiting").await;
    host.restart().await;
    let done = host.until(&run, "succeeded").await;
    assert_eq!(done["output"], json!({"after": 1}), "{done:#}");
    assert_eq!(done["steps"]["before"]["attempts"], 1);
}

#[tokio::test]
async fn a_step_in_flight_runs_again_with_the_same_key() {
    let shop = Shop::start().await;
    let mut host = Host::builder().config(&shop.grant()).start().await;
    let run = host
        .submit(&format!(
            "name: hang\nsteps: [{{ id: a, type: http_request, config: {{ method: POST, url: \"{}/never\" }} }}]",
            shop.url()
        ))
        .await;
    stepcell_tests::eventually("the shop was asked", || async { (shop.seen().len() == 1).then_some(()) })
        .await;
    host.restart().await;
    stepcell_tests::eventually("the shop was asked again", || async {
        (shop.seen().len() == 2).then_some(())
    })
    .await;
    let keys: Vec<_> =
        shop.seen().iter().map(|seen| seen.header("idempotency-key").map(str::to_owned)).collect();
    assert!(keys[0].is_some() && keys[0] == keys[1], "{keys:?}");
    let (_, cancelled) = host.post(&format!("/runs/{run}/cancel"), &json!({})).await;
    assert_eq!(cancelled["status"], "cancelled", "{cancelled:#}");
}

#[tokio::test]
async fn a_result_in_the_log_is_not_computed_again() {
    let shop = Shop::start().await;
    let mut host = Host::builder().config(&shop.grant()).start().await;
    let run = host
        .submit(&format!(
            r#"
name: once
steps:
  - {{ id: a, type: http_request, config: {{ url: "{}/orders/7" }} }}
  - {{ id: nap, type: delay, after: a, config: {{ seconds: 1 }} }}
  - {{ id: b, type: transform, after: nap, config: {{ output: "{{{{ steps.a.body.total }}}}" }} }}
"#,
            shop.url()
        ))
        .await;
    host.until(&run, "waiting").await;
    host.restart().await;
    let done = host.until(&run, "succeeded").await;
    assert_eq!(done["output"], json!({"b": 250}), "{done:#}");
    assert_eq!(shop.seen().len(), 1);
}

#[tokio::test]
async fn a_deadline_goes_on_after_a_kill() {
    let mut host = Host::builder().guest("waits_for_signal").start().await;
    let run = host
        .submit("name: wait\nsteps: [{ id: a, type: waits_for_signal, config: { deadline_seconds: 1 } }]")
        .await;
    host.until(&run, "waiting").await;
    host.restart().await;
    let done = host.until(&run, "succeeded").await;
    assert_eq!(done["steps"]["a"]["port"], "timed_out", "{done:#}");
}

#[tokio::test]
async fn acknowledged_runs_are_there_after_a_kill() {
    let mut host = Host::start().await;
    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(
            host.submit("name: short\nsteps: [{ id: a, type: transform, config: { output: 1 } }]").await,
        );
    }
    host.restart().await;
    for run in runs {
        host.until(&run, "succeeded").await;
    }
}
