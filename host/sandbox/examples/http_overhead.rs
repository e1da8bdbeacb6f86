//! Prints what a granted call through `http_request` takes, against the same call by a plain hyper client.
//!
//! `cargo run -p stepcell-sandbox --example http_overhead -- target/plugins`

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement, run by hand"
)]

use std::{
    convert::Infallible,
    env,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use stepcell_core::{RunId, StepId, catalog::Provider};
use stepcell_engine::{
    meter::Meter,
    runner::{Call, Entry, LimitsRequest, NoBlobs, StepRunner as _},
};
use stepcell_sandbox::{Compiler, Grant, HttpRule, Options, Sandbox, compile_child};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const CALLS: usize = 3_000;
const KIND: &str = "http_request";
const ANSWER: &[u8] = br#"{"id":7,"total":119.5,"items":["a","b","c"]}"#;
const CONTEXT: &str = r#"{"input":{},"steps":{},"step":{"id":"a","attempt":1,"idempotency_key":"k"}}"#;

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
    let server = serve();
    let url = format!("http://{server}/orders/7");
    let compiler = Compiler { program: env::current_exe().unwrap(), args: vec!["compile-plugin".into()] };
    let cache = env::temp_dir().join("stepcell-overhead");
    let mut options = Options { folders: vec![folder], ..Options::new(cache, compiler) };
    let rule = HttpRule::parse(&format!("http://{server}")).unwrap();
    options.grants.insert(KIND.to_owned(), Grant { http: Some(vec![rule]), ..Grant::default() });
    let sandbox = Sandbox::start(options).await.unwrap();
    sandbox.settled().await;
    let provider = Arc::clone(&sandbox.catalog().types[KIND].providers[0]);
    let config = format!("{{\"url\":\"{url}\"}}");

    let mut plain = connect(server).await;
    let (mut alone, mut steps) = (Vec::with_capacity(CALLS), Vec::with_capacity(CALLS));
    for round in 0..CALLS + CALLS / 10 {
        let started = Instant::now();
        assert_eq!(ask(&mut plain, server).await, ANSWER);
        let alone_took = started.elapsed();
        let call = call(&provider, &config);
        let started = Instant::now();
        let completion = sandbox.run(call).await;
        let step_took = started.elapsed();
        assert!(completion.result.is_ok(), "{:?}", completion.result);
        // The first ones find nothing warm.
        if round >= CALLS / 10 {
            alone.push(alone_took);
            steps.push(step_took);
        }
    }
    let ([alone50, alone95], [step50, step95]) = (quantiles(alone), quantiles(steps));
    println!("plain   p50 {alone50:?} p95 {alone95:?}");
    println!("step    p50 {step50:?} p95 {step95:?}");
    let ratio = step50.as_secs_f64() / alone50.as_secs_f64();
    println!("added   p50 {:?}, {ratio:.2} times", step50.saturating_sub(alone50));
}

/// A server on a runtime of its own, as a peer would be.
fn serve() -> SocketAddr {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            send.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let service = hyper::service::service_fn(|_| async {
                    let mut answer = http::Response::new(Full::new(Bytes::from_static(ANSWER)));
                    answer.headers_mut().insert("content-type", "application/json".parse().unwrap());
                    Ok::<_, Infallible>(answer)
                });
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
    });
    receive.recv().unwrap()
}

async fn connect(server: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(server).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut SendRequest<Full<Bytes>>, server: SocketAddr) -> Bytes {
    let request = http::Request::get("/orders/7")
        .header("host", server.to_string())
        .header("accept", "*/*")
        .body(Full::default())
        .unwrap();
    sender.ready().await.unwrap();
    let response = sender.send_request(request).await.unwrap();
    response.into_body().collect().await.unwrap().to_bytes()
}

fn call(provider: &Arc<Provider>, config: &str) -> Call {
    Call {
        run: RunId::from_bytes([1; 16]),
        step: StepId::new("a").unwrap(),
        kind: KIND.to_owned(),
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

fn quantiles(mut times: Vec<Duration>) -> [Duration; 2] {
    times.sort_unstable();
    [times[times.len() / 2], times[times.len() * 95 / 100]]
}
