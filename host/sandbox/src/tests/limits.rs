//! Every limit, provoked once.

use stepcell_core::{FailureKind, Fault};

use super::*;

#[track_caller]
fn check(failure: &Failure, fault: Fault, code: &str) {
    assert_eq!((failure.fault, failure.code.as_deref()), (fault, Some(code)), "{failure:?}");
    assert_eq!(failure.kind, FailureKind::System);
}

async fn limited(guest: Guest, limits: LimitsRequest) -> Failure {
    let host = Host::of(&guest).await;
    let call = Call { limits, ..host.call("t") };
    host.sandbox.run(call).await.result.unwrap_err()
}

#[tokio::test]
async fn fuel_ends_a_loop() {
    let limits = LimitsRequest { fuel: Some(1_000_000), ..LimitsRequest::default() };
    let failure = limited(Guest::loops("t"), limits).await;
    check(&failure, Fault::Limit, "fuel_exhausted");
    assert!(failure.message.contains("1000000"), "{failure}");
    assert!(failure.hint.unwrap().contains("`limits.fuel`"));
}

#[tokio::test]
async fn fuel_that_was_used_is_on_the_receipt() {
    let host = Host::of(&Guest::echo("t")).await;
    let receipt = host.run("t", "{}").await.receipt;
    assert!(receipt.fuel > 10 && receipt.fuel < 10_000, "{receipt:?}");
    assert!(receipt.total_us > 0);
}

#[tokio::test]
async fn memory_that_is_refused_is_named() {
    let grab = "(if (i32.eq (memory.grow (i32.const 4000)) (i32.const -1)) (then unreachable))
        (call $ok (i32.const 0) (i32.const 1))";
    let failure = limited(Guest::new("t", grab), LimitsRequest::default()).await;
    check(&failure, Fault::Limit, "memory_exceeded");
    assert!(failure.message.contains("128 MiB"), "{failure}");
    assert!(failure.hint.unwrap().contains("`limits.memory`"));
}

#[tokio::test]
async fn memory_that_a_component_starts_with_counts() {
    let limits = LimitsRequest { memory: Some(1 << 20), ..LimitsRequest::default() };
    let failure = limited(Guest::echo("t").with_pages(100), limits).await;
    check(&failure, Fault::Limit, "memory_exceeded");
}

#[tokio::test]
async fn tables_are_limited() {
    let grab = "(drop (table.grow $table (ref.null func) (i32.const 1000000))) unreachable";
    let failure = limited(Guest::new("t", grab), LimitsRequest::default()).await;
    check(&failure, Fault::Limit, "table_exceeded");
}

#[tokio::test]
async fn recursion_ends_in_the_guests_own_stack() {
    let recurse = "(drop (call $recurse (i64.const 1) (i64.const 2))) unreachable";
    let failure = limited(Guest::new("t", recurse), LimitsRequest::default()).await;
    check(&failure, Fault::Limit, "stack_exhausted");
}

#[tokio::test]
async fn time_ends_a_loop() {
    let limits = LimitsRequest { time: Some(Duration::from_millis(20)), ..LimitsRequest::default() };
    let failure = limited(Guest::loops("t"), limits).await;
    check(&failure, Fault::Limit, "time_exceeded");
    assert!(failure.hint.unwrap().contains("`limits.time` of the step"));
}

#[tokio::test]
async fn a_steps_own_timeout_is_a_timeout_and_may_be_retried() {
    let limits = LimitsRequest { timeout: Some(Duration::from_millis(20)), ..LimitsRequest::default() };
    let failure = limited(Guest::loops("t"), limits).await;
    check(&failure, Fault::Timeout, "step_timeout");
    assert!(failure.retryable);
}

#[tokio::test]
async fn output_is_limited() {
    let host = Host::of(&Guest::echo("t")).await;
    let config = format!("\"{}\"", "x".repeat(1_000));
    let limits = LimitsRequest { output: Some(100), ..LimitsRequest::default() };
    let call = Call { limits, ..call(host.provider("t").unwrap(), &config) };
    let failure = host.sandbox.run(call).await.result.unwrap_err();
    check(&failure, Fault::Limit, "output_exceeded");
}

#[tokio::test]
async fn output_past_what_is_copied_at_all_is_the_same_limit() {
    // The whole of its memory as one string.
    let all = "(drop (memory.grow (i32.const 900))) (call $ok (i32.const 0) (i32.const 52428800))";
    let failure = limited(Guest::new("t", all), LimitsRequest::default()).await;
    check(&failure, Fault::Limit, "output_exceeded");
}

#[tokio::test]
async fn output_must_be_json() {
    let failure = Host::of(&Guest::says("t", "nope")).await.failure("t").await;
    check(&failure, Fault::Failed, "output_invalid");
}

#[tokio::test]
async fn a_trap_names_its_reason_and_place() {
    let failure = Host::of(&Guest::new("t", "unreachable")).await.failure("t").await;
    check(&failure, Fault::Failed, "trap");
    assert!(failure.message.contains("`unreachable` instruction executed, in"), "{failure}");
    assert!(!failure.retryable);
}

#[tokio::test]
async fn a_grant_raises_a_limit_for_one_type() {
    let guest = Guest::echo("t").with_pages(100);
    let host = Host::with(&[("guest.wasm", guest.component())], |options| {
        options.limits.memory = 1 << 20;
        let limits = stepcell_core::flow::LimitsPatch { memory: Some(16 << 20), ..Default::default() };
        options.grants.insert("t".to_owned(), Grant { limits, ..Grant::default() });
    })
    .await;
    assert_eq!(done(host.run("t", "{}").await), "{}");
}
