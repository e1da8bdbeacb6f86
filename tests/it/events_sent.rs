//! A run waits for an event from outside.

use serde_json::{Value, json};
use stepcell_tests::{Host, eventually};

/// Waits until an order is paid.
const PAID: &str = r#"
name: paid
steps:
  - id: paid
    type: wait_for_event
    config: { event_name: paid, match: { order: { id: "{{ input.id }}" } } }
  - { id: told, type: transform, after: [paid.received], config: { output: "{{ steps.paid.amount }}" } }
output: "{{ steps.told }}"
"#;

/// A run of [`PAID`] that waits.
async fn waiting(host: &Host, id: &str) -> String {
    let run = host.submit_with(PAID, json!({"id": id})).await;
    host.until(&run, "waiting").await;
    run
}

fn paid(id: &str, amount: u32) -> Value {
    json!({"order": {"id": id, "lines": 3}, "amount": amount})
}

/// Waits for a number that came through other steps.
const EXACT: &str = r#"
name: exact
steps:
  - { id: amount, type: transform, config: { output: "{{ input.amount }}" } }
  - id: each
    type: for_each
    config:
      items: ["{{ steps.amount }}"]
      step_config: { type: wait_for_event, config: { event_name: paid, match: { amount: "{{ item }}" } } }
"#;

/// A run that is to wait with a tiny time-out, ended.
async fn timed_out(host: &Host, after: &str) -> Value {
    let flow = format!(
        r#"
name: late
steps:
  - {{ id: a, type: wait_for_event, config: {{ event_name: never, timeout_seconds: 0.05 }} }}
  - {{ id: b, type: transform, after: [a.{after}], config: {{ output: late }} }}
"#
    );
    host.run(&flow).await
}

#[tokio::test]
async fn an_event_wakes_every_run_that_waits_for_it_and_matches() {
    let host = Host::start().await;
    let mut sevens = Vec::new();
    for _ in 0..3 {
        sevens.push(waiting(&host, "7").await);
    }
    let eight = waiting(&host, "8").await;
    assert_eq!(host.send("paid", &paid("9", 1)).await, 0);
    assert_eq!(host.send("sent", &paid("7", 2)).await, 0);
    let (status, delivered) = host.post("/events/paid", &paid("7", 30)).await;
    assert_eq!((status.as_u16(), &delivered["woken"], &delivered["event"]), (200, &json!(3), &json!("paid")));
    for run in sevens {
        let done = host.until(&run, "succeeded").await;
        assert_eq!(
            (&done["output"], &done["steps"]["paid"]["port"]),
            (&json!(30), &json!("received")),
            "{done:#}"
        );
        let events = host.events(&done).await;
        let resumed = events.iter().find(|event| event["type"] == "step.resumed").unwrap();
        assert_eq!(resumed["data"]["event"], delivered["id"], "{resumed:#}");
    }
    assert_eq!(host.show(&eight).await["status"], "waiting");
    assert_eq!(host.send("paid", &paid("8", 4)).await, 1);
    host.until(&eight, "succeeded").await;
}

#[tokio::test]
async fn a_number_matches_with_all_its_digits() {
    let host = Host::start().await;
    // A reader that is only nearly exact makes the neighbour of it.
    let payload = json!({"amount": 94.52706955539223});
    let run = host.submit_with(EXACT, payload.clone()).await;
    host.until(&run, "waiting").await;
    assert_eq!(host.send("paid", &json!({"amount": 94.52706955539225})).await, 0);
    assert_eq!(host.send("paid", &payload).await, 1);
    let done = host.until(&run, "succeeded").await;
    assert_eq!(done["output"]["each"]["results"], json!([payload]), "{done:#}");
}

#[tokio::test]
async fn an_event_that_comes_too_early_is_kept_for_one_run() {
    let host = Host::start().await;
    let (_, delivered) = host.post("/events/paid", &paid("7", 5)).await;
    assert_eq!(delivered["woken"], 0, "{delivered:#}");
    assert!(delivered["kept_until"].is_string(), "{delivered:#}");
    let first = host.submit_with(PAID, json!({"id": "7"})).await;
    let done = host.until(&first, "succeeded").await;
    assert_eq!(done["output"], 5, "{done:#}");
    // It was taken: a new run waits for one of its own.
    let second = waiting(&host, "7").await;
    assert_eq!(host.send("paid", &paid("7", 6)).await, 1);
    assert_eq!(host.until(&second, "succeeded").await["output"], 6);
}

#[tokio::test]
async fn an_event_that_woke_somebody_is_not_for_a_new_run() {
    let host = Host::start().await;
    let first = waiting(&host, "7").await;
    assert_eq!(host.send("paid", &paid("7", 5)).await, 1);
    host.until(&first, "succeeded").await;
    let second = waiting(&host, "7").await;
    assert_eq!(host.show(&second).await["status"], "waiting");
}

#[tokio::test]
async fn of_two_early_events_the_older_is_taken_first() {
    let host = Host::start().await;
    for amount in [1, 2] {
        host.send("paid", &paid("7", amount)).await;
    }
    for amount in [1, 2] {
        let run = host.submit_with(PAID, json!({"id": "7"})).await;
        assert_eq!(host.until(&run, "succeeded").await["output"], amount);
    }
}

#[tokio::test]
async fn the_same_id_twice_is_one_event() {
    let host = Host::start().await;
    let event = json!({"payload": paid("7", 5), "id": "payment-1", "by": "bank"});
    let first = waiting(&host, "7").await;
    assert_eq!(host.send("paid", &event).await, 1);
    let done = host.until(&first, "succeeded").await;
    let events = host.events(&done).await;
    let resumed = events.iter().find(|event| event["type"] == "step.resumed").unwrap();
    assert_eq!(
        (&resumed["data"]["event"], &resumed["data"]["signal"]["by"]),
        (&json!("payment-1"), &json!("bank"))
    );

    let second = waiting(&host, "7").await;
    assert_eq!(host.send("paid", &event).await, 0);
    assert_eq!(host.show(&second).await["status"], "waiting");
    // Under another name it is another event.
    assert_eq!(host.send("refunded", &event).await, 0);
    let other = json!({"payload": paid("7", 6), "id": "payment-2"});
    assert_eq!(host.send("paid", &other).await, 1);
    assert_eq!(host.until(&second, "succeeded").await["output"], 6);
}

#[tokio::test]
async fn an_event_is_kept_as_long_as_its_sender_says() {
    let host = Host::start().await;
    let (_, delivered) = host.post("/events/paid", &json!({"payload": paid("7", 5), "keep": "1ms"})).await;
    let until: jiff::Timestamp = delivered["kept_until"].as_str().unwrap().parse().unwrap();
    eventually("its time is over", || async { (jiff::Timestamp::now() > until).then_some(()) }).await;
    let run = waiting(&host, "7").await;
    assert_eq!(host.show(&run).await["status"], "waiting");
}

#[tokio::test]
async fn an_acknowledged_event_outlives_a_kill() {
    let mut host = Host::start().await;
    host.send("paid", &paid("7", 5)).await;
    let waits = waiting(&host, "8").await;
    host.restart().await;
    let run = host.submit_with(PAID, json!({"id": "7"})).await;
    assert_eq!(host.until(&run, "succeeded").await["output"], 5);
    assert_eq!(host.send("paid", &paid("8", 6)).await, 1);
    host.restart().await;
    assert_eq!(host.until(&waits, "succeeded").await["output"], 6);
}

#[tokio::test]
async fn two_steps_of_one_run_each_get_their_event() {
    let host = Host::start().await;
    let run = host
        .submit(
            r#"
name: two
steps:
  - { id: a, type: wait_for_event, config: { event_name: go, match: { for: a } } }
  - { id: b, type: wait_for_event, config: { event_name: go } }
"#,
        )
        .await;
    host.until(&run, "waiting").await;
    assert_eq!(host.send("go", &json!({"for": "b"})).await, 1);
    host.until_step(&run, "b", "succeeded").await;
    assert_eq!(host.show(&run).await["steps"]["a"]["status"], "waiting");
    assert_eq!(host.send("go", &json!({"for": "a", "more": 1.5})).await, 1);
    let done = host.until(&run, "succeeded").await;
    assert_eq!(done["output"], json!({"a": {"for": "a", "more": 1.5}, "b": {"for": "b"}}));
}

#[tokio::test]
async fn a_time_out_takes_its_port_or_fails() {
    let host = Host::start().await;
    let run = timed_out(&host, "timed_out").await;
    assert_eq!((&run["status"], &run["output"]), (&json!("succeeded"), &json!({"b": "late"})), "{run:#}");
    let run = timed_out(&host, "received").await;
    assert_eq!(
        (&run["status"], &run["error"]["code"]),
        (&json!("failed"), &json!("event_timed_out")),
        "{run:#}"
    );
    assert_eq!(run["error"]["fault"], "timeout");
    // Whoever waits no longer is not woken.
    assert_eq!(host.send("never", &json!({})).await, 0);
}

#[tokio::test]
async fn an_approval_is_no_event() {
    let host = Host::start().await;
    let run = host.submit("name: ask\nsteps: [{ id: ask, type: wait_for_approval }]").await;
    host.until(&run, "waiting").await;
    let (status, problem) = host.post("/events/approval", &json!({})).await;
    assert_eq!((status.as_u16(), &problem["code"]), (400, &json!("reserved_event")), "{problem:#}");
    assert_eq!(host.show(&run).await["status"], "waiting");
    let step = host.step("wait_for_event", json!({"event_name": "approval"})).await;
    assert_eq!(step["error"]["fault"], "config", "{step:#}");
    for name in ["a%20b", "%2e%2e%2fx", &"x".repeat(200)] {
        assert_eq!(host.post(&format!("/events/{name}"), &json!({})).await.0, 400, "{name}");
    }
}

#[tokio::test]
async fn a_run_that_is_cancelled_waits_for_nothing() {
    let host = Host::start().await;
    let run = waiting(&host, "7").await;
    host.post(&format!("/runs/{run}/cancel"), &json!({})).await;
    assert_eq!(host.send("paid", &paid("7", 5)).await, 0);
}
