//! WASI as a program that was built for it sees it, through the adapter for core modules.

use serde_json::{Value, json};
use stepcell_core::Fault;

use super::*;

const P1: &str = r#"
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
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

/// With the folder `at` of the temporary one granted.
async fn with_folder(guest: &Guest, rule: Value) -> (Host, TempDir) {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("in");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "hello").unwrap();
    fs::write(temp.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("../secret", folder.join("link")).unwrap();
    std::os::unix::fs::symlink("file", folder.join("inner")).unwrap();
    let mut rule = rule;
    rule["path"] = folder.to_str().unwrap().into();
    let (grant, problems) = Grant::read(&json!({ "files": [rule] }), stepcell_core::grant::Level::Operator);
    assert_eq!(problems, []);
    let host = Host::with(&[("guest.wasm", guest.module())], |options| {
        options.grants.insert("t".to_owned(), grant);
    })
    .await;
    (host, temp)
}

/// Opens `name` in the first folder, for reading or also for writing, following links, and leaves the error.
fn open(name: &str, write: bool) -> String {
    let stores: String = name
        .bytes()
        .enumerate()
        .map(|(at, byte)| format!("(i32.store8 (i32.const {}) (i32.const {byte}))", 600 + at))
        .collect();
    // fd_read, and fd_write with the flag that makes a file.
    let (rights, flags) = if write { (0x42, 1) } else { (0x2, 0) };
    format!(
        "(block (result i64) {stores} (i64.extend_i32_u (call $open (i32.const 3) (i32.const 1)
            (i32.const 600) (i32.const {}) (i32.const {flags}) (i64.const {rights}) (i64.const 0)
            (i32.const 0) (i32.const 800))))",
        name.len()
    )
}

/// The number of the error that opening gives.
async fn opened(name: &str, write: bool, rule: Value) -> String {
    let (host, _temp) = with_folder(&number(&open(name, write)), rule).await;
    done(host.run("t", "{}").await)
}

#[tokio::test]
async fn a_granted_folder_is_there() {
    let read = json!({"at": "/in"});
    assert_eq!(opened("file", false, read.clone()).await, "0");
    assert_eq!(opened("inner", false, read.clone()).await, "0");
    assert_ne!(opened("none", false, read).await, "0");
}

#[tokio::test]
async fn nothing_leads_out_of_a_folder() {
    for name in ["../secret", "link", "/etc/passwd", "x/../../secret"] {
        assert_ne!(opened(name, false, json!({"at": "/in", "access": "write"})).await, "0", "{name}");
    }
}

#[tokio::test]
async fn reading_is_not_writing() {
    assert_ne!(opened("file", true, json!({"at": "/in"})).await, "0");
    assert_ne!(opened("new", true, json!({"at": "/in"})).await, "0");
    assert_eq!(opened("new", true, json!({"at": "/in", "access": "write"})).await, "0");
}

#[tokio::test]
async fn bytes_are_read_from_a_file() {
    let open = open("file", false);
    let guest = number(&format!(
        "(block (result i64) (drop {open})
            (i32.store (i32.const 820) (i32.const 900)) (i32.store (i32.const 824) (i32.const 8))
            (drop (call $read (i32.load (i32.const 800)) (i32.const 820) (i32.const 1) (i32.const 816)))
            (i64.load32_u (i32.const 900)))"
    ));
    let (host, _temp) = with_folder(&guest, json!({"at": "/in"})).await;
    assert_eq!(done(host.run("t", "{}").await), u32::from_le_bytes(*b"hell").to_string());
}

#[tokio::test]
async fn the_flow_can_take_a_folder_away() {
    let (host, _temp) = with_folder(&number(&open("file", false)), json!({"at": "/in"})).await;
    let (narrow, _) = Grant::read(&json!({"files": []}), stepcell_core::grant::Level::Narrowing);
    let call = Call { grants: vec![Arc::new(narrow), Arc::default()], ..host.call("t") };
    assert_ne!(done(host.sandbox.run(call).await), "0");
}

#[tokio::test]
async fn what_sees_a_folder_is_not_pure() {
    let (host, _temp) = with_folder(&number("(i64.const 1)"), json!({"at": "/in"})).await;
    assert!(!host.provider("t").unwrap().pure_step);
}

#[tokio::test]
async fn a_folder_that_is_gone_is_told() {
    let (host, temp) = with_folder(&number("(i64.const 1)"), json!({"at": "/in"})).await;
    fs::remove_dir_all(temp.path().join("in")).unwrap();
    let completion = host.run("t", "{}").await;
    let told = &completion.denied[0];
    assert_eq!((told.capability.as_str(), told.target.as_str()), ("files", "/in"));
    assert_eq!(done(completion), "1");
}
