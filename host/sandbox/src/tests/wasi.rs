//! WASI as a program that was built for it sees it, through the adapter for core modules.

use stepcell_core::Fault;

use super::*;

const P1: &str = r#"
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"#;

/// Returns the decimal digits of the number that `compute` leaves.
fn number(compute: &str) -> Guest {
    let digits = format!(
        r#"(local $left i64)
        (local.set $left {compute})
        (local.set $at (i32.const 560))
        (loop
          (local.set $at (i32.sub (local.get $at) (i32.const 1)))
          (i32.store8 (local.get $at)
            (i32.add (i32.wrap_i64 (i64.rem_u (local.get $left) (i64.const 10))) (i32.const 48)))
          (local.set $left (i64.div_u (local.get $left) (i64.const 10)))
          (br_if 0 (i64.ne (local.get $left) (i64.const 0))))
        (call $ok (local.get $at) (i32.sub (i32.const 560) (local.get $at)))"#
    );
    Guest::new("t", &digits).importing(P1, "")
}

async fn host(guest: &Guest) -> Host {
    Host::with(&[("guest.wasm", guest.module())], |_| {}).await
}

async fn compute(compute: &str) -> String {
    done(host(&number(compute)).await.run("t", "{}").await)
}

/// Sleeps for so long, by one relative subscription to the monotonic clock.
fn sleep(nanoseconds: u64) -> String {
    format!(
        "(i64.store (i32.const 600) (i64.const 0)) (i32.store8 (i32.const 608) (i32.const 0))
        (i32.store (i32.const 616) (i32.const 1)) (i64.store (i32.const 624) (i64.const {nanoseconds}))
        (drop (call $poll (i32.const 600) (i32.const 700) (i32.const 1) (i32.const 800)))"
    )
}

const NOW: &str = "(drop (call $clock (i32.const 1) (i64.const 0) (i32.const 800)))";

#[tokio::test]
async fn the_wall_clock_starts_with_the_attempt() {
    let now = compute("(block (result i64) (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 800))) (i64.load (i32.const 800)))").await;
    let started: jiff::Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let since = now.parse::<i128>().unwrap() - started.as_nanosecond();
    assert!((0..1_000_000).contains(&since), "{since}");
}

#[tokio::test]
async fn a_sleep_moves_the_clock_and_takes_no_time() {
    let nap = sleep(900_000_000);
    let slept = compute(&format!(
        "(block (result i64) {NOW} (i64.store (i32.const 900) (i64.load (i32.const 800))) {nap} {NOW}
            (i64.sub (i64.load (i32.const 800)) (i64.load (i32.const 900))))"
    ))
    .await;
    let slept: u64 = slept.parse().unwrap();
    assert!((900_000_000..901_000_000).contains(&slept), "{slept}");
}

#[tokio::test]
async fn a_long_sleep_is_a_limit_with_a_hint() {
    let guest = number(&format!("(block (result i64) {} (i64.const 0))", sleep(1_500_000_000)));
    let failure = host(&guest).await.failure("t").await;
    assert_eq!(
        (failure.fault, failure.code.as_deref()),
        (Fault::Limit, Some("sleep_too_long")),
        "{failure:?}"
    );
    assert!(failure.hint.unwrap().contains("`delay`"));
}

#[tokio::test]
async fn randomness_repeats_for_the_same_attempt_only() {
    let host = host(&number(
        "(block (result i64) (drop (call $random (i32.const 800) (i32.const 8))) (i64.load (i32.const 800)))",
    ))
    .await;
    let first = done(host.run("t", "{}").await);
    assert_eq!(first, done(host.run("t", "{}").await));
    let second = host.sandbox.run(Call { attempt: 2, ..host.call("t") }).await;
    assert_ne!(first, done(second));
}

#[tokio::test]
async fn prints_become_the_log() {
    // "hi\n" to standard error, then to standard output.
    let print = |fd: u8| {
        format!("(drop (call $fd_write (i32.const {fd}) (i32.const 800) (i32.const 1) (i32.const 816)))")
    };
    let guest = number(&format!(
        "(block (result i64) (i32.store (i32.const 600) (i32.const 0x000a6968))
            (i32.store (i32.const 800) (i32.const 600)) (i32.store (i32.const 804) (i32.const 3))
            {} {} (i64.const 1))",
        print(2),
        print(1)
    ));
    let completion = host(&guest).await.run("t", "{}").await;
    assert_eq!((completion.log.as_str(), completion.log_dropped_bytes), ("hi\nhi\n", 0));
    assert_eq!(done(completion), "1");
}

#[tokio::test]
async fn there_are_no_files() {
    let open = "(i64.extend_i32_u (call $open (i32.const 3) (i32.const 0) (i32.const 600) (i32.const 1)
        (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 800)))";
    assert_ne!(compute(open).await, "0");
}

#[tokio::test]
async fn an_exit_is_told_as_one() {
    let guest = number("(block (result i64) (call $exit (i32.const 3)) (i64.const 0))");
    let failure = host(&guest).await.failure("t").await;
    assert_eq!(failure.code.as_deref(), Some("exited"), "{failure:?}");
}

#[tokio::test]
async fn what_uses_only_wasi_is_pure() {
    let host = host(&number("(i64.const 1)")).await;
    assert!(host.provider("t").unwrap().pure_step);
    let imports = host.info("guest.wasm").unwrap().imports;
    assert!(imports.iter().any(|name| name.starts_with("wasi:io/")), "{imports:?}");
}
