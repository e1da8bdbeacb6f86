//! Executions side by side: fresh cells, cancelling, and short steps beside loops.

use std::time::Instant;

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn a_cell_starts_anew_every_time() {
    // Counts at address 600, and says so with one digit.
    let count = "(i32.store8 (i32.const 600) (i32.add (i32.load8_u (i32.const 600)) (i32.const 1)))
        (i32.store8 (i32.const 512) (i32.add (i32.load8_u (i32.const 600)) (i32.const 48)))
        (call $ok (i32.const 512) (i32.const 1))";
    let host = Host::of(&Guest::new("t", count)).await;
    for _ in 0..3 {
        assert_eq!(done(host.run("t", "{}").await), "1");
    }
}

#[tokio::test]
async fn config_and_output_pass_through_unchanged() {
    let host = Host::of(&Guest::echo("t")).await;
    let config = r#"{"ü": [1, 2.50, null], "b": "\u0041"}"#;
    assert_eq!(done(host.run("t", config).await), config);
}

#[tokio::test]
async fn cancelling_ends_a_loop_at_once() {
    let host = Host::of(&Guest::loops("t")).await;
    let free = host.sandbox.shared().cells.free_room();
    let call = host.call("t");
    let cancel = call.cancel.clone();
    let running = tokio::spawn(host.sandbox.run(call));
    until_room(&host, |room| room < free).await;
    let cancelled = Instant::now();
    cancel.cancel();
    let completion = running.await.unwrap();
    assert_eq!(completion.result.unwrap_err().code.as_deref(), Some("cancelled"));
    assert!(cancelled.elapsed() < Duration::from_millis(100), "{:?}", cancelled.elapsed());
}

#[tokio::test]
async fn what_was_cancelled_before_it_started_does_not_run() {
    let host = Host::of(&Guest::loops("t")).await;
    let call = host.call("t");
    call.cancel.cancel();
    let completion = host.sandbox.run(call).await;
    assert_eq!(completion.result.unwrap_err().code.as_deref(), Some("cancelled"));
    assert_eq!(completion.receipt.fuel, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_step_passes_a_hundred_loops_and_all_of_them_can_be_cancelled() {
    let files = [("loop.wasm", Guest::loops("l").component()), ("echo.wasm", Guest::echo("e").component())];
    let host = Host::with(&files, |_| {}).await;
    let cancel = CancellationToken::new();
    let loops: Vec<_> = (0..100)
        .map(|_| tokio::spawn(host.sandbox.run(Call { cancel: cancel.clone(), ..host.call("l") })))
        .collect();
    // They would run for minutes.
    let started = Instant::now();
    for _ in 0..20 {
        assert_eq!(done(host.run("e", "{}").await), "{}");
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(loops.iter().all(|running| !running.is_finished()));
    cancel.cancel();
    for completion in join_all(loops).await {
        assert_eq!(completion.unwrap().result.unwrap_err().code.as_deref(), Some("cancelled"));
    }
}

#[tokio::test]
async fn an_execution_that_nobody_waits_for_gives_its_room_back() {
    let host = Host::of(&Guest::loops("t")).await;
    let free = host.sandbox.shared().cells.free_room();
    let running = tokio::spawn(host.sandbox.run(host.call("t")));
    until_room(&host, |room| room < free).await;
    running.abort();
    until_room(&host, |room| room == free).await;
}

async fn until_room(host: &Host, wanted: impl Fn(usize) -> bool) {
    let wait = async {
        while !wanted(host.sandbox.shared().cells.free_room()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

#[tokio::test]
async fn a_type_that_asks_for_nothing_is_pure() {
    let host = Host::of(&Guest::echo("t")).await;
    let provider = host.provider("t").unwrap();
    assert!(provider.pure_step);
    assert!(!provider.control);
}

/// Sends `GET` to the address in its config, and returns whatever comes as an empty object.
fn sends() -> Guest {
    let send = r#"(i32.store (i32.const 512) (i32.const 0x00544547))
        (call $send (i32.const 512) (i32.const 3) (local.get $config) (local.get $config_len)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 700))
        (i32.store (i32.const 512) (i32.const 0x7d7b))
        (call $ok (i32.const 512) (i32.const 2))"#;
    let params = "i32 ".repeat(13);
    let import = format!(r#"(import "stepcell:http/http@0.1.0" "send" (func $send (param {params})))"#);
    Guest::new("t", send).importing(&import, "import stepcell:http/http@0.1.0;")
}

async fn silent_peer() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    (listener, url)
}

async fn with_http(url: &str) -> Host {
    let rule = crate::HttpRule::parse(url).unwrap();
    Host::with(&[("guest.wasm", sends().component())], |options| {
        options.grants.insert("t".to_owned(), Grant { http: Some(vec![rule]), ..Grant::default() });
    })
    .await
}

#[tokio::test]
async fn a_wait_in_a_host_call_ends_with_the_time() {
    let (_listener, url) = silent_peer().await;
    let host = with_http(&url).await;
    let limits = LimitsRequest { time: Some(Duration::from_millis(100)), ..LimitsRequest::default() };
    let completion = host.sandbox.run(Call { limits, ..call(host.provider("t").unwrap(), &url) }).await;
    assert_eq!(completion.result.unwrap_err().code.as_deref(), Some("time_exceeded"));
    assert!(completion.receipt.host_us >= 50_000, "{:?}", completion.receipt);
}

#[tokio::test]
async fn a_wait_in_a_host_call_can_be_cancelled() {
    let (listener, url) = silent_peer().await;
    let host = with_http(&url).await;
    let call = call(host.provider("t").unwrap(), &url);
    let cancel = call.cancel.clone();
    let running = tokio::spawn(host.sandbox.run(call));
    let _peer = listener.accept().await.unwrap();
    cancel.cancel();
    assert_eq!(running.await.unwrap().result.unwrap_err().code.as_deref(), Some("cancelled"));
}

#[tokio::test]
async fn what_is_not_granted_is_on_the_completion() {
    let host = Host::of(&sends()).await;
    let completion = host.run("t", "http://127.0.0.1:1/").await;
    assert_eq!(completion.denied.len(), 1, "{:?}", completion.result);
    assert_eq!(completion.denied[0].capability, "http");
    assert!(!host.provider("t").unwrap().pure_step);
}
