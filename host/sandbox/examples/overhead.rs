//! Prints what the sandbox adds to the bare wasmtime loop, for every plugin of a folder that takes no config.
//!
//! `cargo run -p stepcell-sandbox --example overhead -- target/plugins`

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement, run by hand"
)]

use std::{
    env,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use stepcell_core::{RunId, StepId, catalog::Provider};
use stepcell_engine::{
    meter::Meter,
    runner::{Call, Entry, LimitsRequest, NoBlobs, Plugins as _, StepRunner as _},
};
use stepcell_sandbox::{Compiler, Options, Sandbox, bench, compile_child};
use tokio_util::sync::CancellationToken;

const CALLS: usize = 2_000;
const CONTEXT: &str = r#"{"input":{"id":7},"steps":{},"step":{"id":"a","attempt":1,"idempotency_key":"k"}}"#;

fn main() -> ExitCode {
    let args: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    if let [command, input, output] = args.as_slice()
        && command.as_os_str() == "compile-plugin"
    {
        return compile_child(input, output).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let folder = args.into_iter().next().unwrap_or_else(|| "target/plugins".into());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(runtime.spawn(measure(folder))).unwrap();
    ExitCode::SUCCESS
}

async fn measure(folder: PathBuf) {
    let started = Instant::now();
    let compiler = Compiler { program: env::current_exe().unwrap(), args: vec!["compile-plugin".into()] };
    let cache = env::temp_dir().join("stepcell-overhead");
    let sandbox =
        Sandbox::start(Options { folders: vec![folder], ..Options::new(cache, compiler) }).await.unwrap();
    println!("started in {:?}", started.elapsed());
    sandbox.settled().await;
    println!("settled in {:?}, {} MB resident", started.elapsed(), resident_mb());
    for info in sandbox.list() {
        println!("{} {:?} {:?}", info.file, info.state, info.capabilities);
    }
    let configs = [
        ("transform", None, r#"{"output":{"a":1,"b":[1,2,3],"c":"x"}}"#),
        ("condition", None, r#"{"expression":true}"#),
        (
            "inline_code",
            Some("javascript"),
            r#"{"language":"javascript","input":{"a":2},"code":"result = input.a + 1"}"#,
        ),
        (
            "inline_code",
            Some("python"),
            r#"{"language":"python","input":{"a":2},"code":"result = input['a'] + 1"}"#,
        ),
    ];
    for (kind, language, config) in configs {
        let catalog = sandbox.catalog();
        let Some(step_type) = catalog.types.get(kind) else { continue };
        let wanted = |provider: &&Arc<Provider>| {
            language
                .is_none_or(|language| provider.describe.matches.get("language") == Some(&language.into()))
        };
        let Some(provider) = step_type.providers.iter().find(wanted) else { continue };
        compare(&sandbox, kind, provider, config).await;
    }
    beside_loops(&sandbox).await;
    println!("{} MB resident", resident_mb());
}

/// What a short step, and a timer of the runtime, wait while a hundred loops run.
async fn beside_loops(sandbox: &Arc<Sandbox>) {
    let catalog = sandbox.catalog();
    let (Some(code), Some(transform)) = (catalog.types.get("inline_code"), catalog.types.get("transform"))
    else {
        return;
    };
    let endless = r#"{"language":"javascript","code":"for(;;);"}"#;
    let Some(javascript) = code.providers.iter().find(|provider| provider.file.contains("javascript")) else {
        return;
    };
    let Some(transform) = transform.providers.first() else { return };
    let cancel = CancellationToken::new();
    let calls = (0..100).map(|_| Call { cancel: cancel.clone(), ..call("inline_code", javascript, endless) });
    let loops: Vec<_> = calls.map(|call| tokio::spawn(sandbox.run(call))).collect();
    let (mut steps, mut timers) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let started = Instant::now();
        assert!(sandbox.run(call("transform", transform, r#"{"output":1}"#)).await.result.is_ok());
        steps.push(started.elapsed());
        let started = Instant::now();
        tokio::time::sleep(Duration::from_millis(1)).await;
        timers.push(started.elapsed());
    }
    steps.sort_unstable();
    timers.sort_unstable();
    println!(
        "beside 100 loops: a step p50 {:?} p99 {:?}, a 1 ms timer p50 {:?} p99 {:?} max {:?}",
        steps[150], steps[297], timers[150], timers[297], timers[299]
    );
    let started = Instant::now();
    cancel.cancel();
    for running in loops {
        let _ = running.await;
    }
    println!("all 100 cancelled within {:?}", started.elapsed());
}

async fn compare(sandbox: &Arc<Sandbox>, kind: &str, provider: &Arc<Provider>, config: &str) {
    let calls = if provider.file.contains("python") { CALLS / 10 } else { CALLS };
    let first = Instant::now();
    let completion = sandbox.run(call(kind, provider, config)).await;
    println!("{kind} {}: first {:?}: {:?}", provider.file, first.elapsed(), completion.result);
    let mut whole = Vec::with_capacity(calls);
    for _ in 0..calls {
        let call = call(kind, provider, config);
        let started = Instant::now();
        let completion = sandbox.run(call).await;
        whole.push(started.elapsed());
        assert!(completion.result.is_ok());
    }
    let (config, context) = (config.to_owned(), CONTEXT.to_owned());
    let bare = tokio::task::block_in_place(|| {
        bench::bare_call_loop(sandbox, provider.digest, &config, &context, calls)
    });
    let (bare, whole) = (bare.map(median), median(whole));
    println!("  bare {bare:?}, whole {whole:?} (p50, p95)");
}

fn call(kind: &str, provider: &Arc<Provider>, config: &str) -> Call {
    Call {
        run: RunId::from_bytes([1; 16]),
        step: StepId::new("a").unwrap(),
        kind: kind.to_owned(),
        attempt: 1,
        started_at: jiff::Timestamp::now(),
        provider: Arc::clone(provider),
        entry: Entry::Execute,
        config: config.to_owned(),
        context: CONTEXT.to_owned(),
        limits: LimitsRequest::default(),
        grants: Vec::new(),
        secrets: Vec::new(),
        meter: Arc::new(Meter::unlimited()),
        blobs: Arc::new(NoBlobs),
        cancel: CancellationToken::new(),
    }
}

fn median(mut times: Vec<Duration>) -> Option<(Duration, Duration)> {
    times.sort_unstable();
    Some((*times.get(times.len() / 2)?, *times.get(times.len() * 95 / 100)?))
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or_default() / 1024
}
