//! Restate's server with a handler on its Rust SDK: the rival for durable runs. `cargo xtask bench` installs both.

use std::{
    env::consts::{ARCH, OS},
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::client::Client;

/// A first start makes its logs and partitions.
const PATIENCE: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(100);

/// A server and its handler, on ports of their own; killed when this is dropped.
pub(crate) struct Restate {
    server: Process,
    _handler: Process,
    /// Where handlers are called.
    pub(crate) ingress: String,
    /// Where the server tells of itself.
    pub(crate) node: String,
    _folder: TempDir,
}

struct Process(Child);

impl Restate {
    /// Starts both with syncs as they are by default, and registers the handler.
    pub(crate) async fn start(partitions: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (handler, address) = handler()?;
        let log = folder.path().join("server.log");
        let server = server(folder.path(), &log, partitions)?;
        let ingress = listening(&log, "http-ingress-server").await?;
        let admin = listening(&log, "admin-api-server").await?;
        let node = listening(&log, "message-fabric-server").await?;
        register(&admin, &address).await?;
        Ok(Self { server, _handler: handler, ingress, node, _folder: folder })
    }

    /// The server's process, without the handler's.
    pub(crate) fn pid(&self) -> u32 {
        self.server.0.id()
    }
}

fn handler() -> Result<(Process, String)> {
    let program = stepcell_tests::target().join("restate/release/restate-handler");
    let mut handler = Process(spawn(Command::new(&program).stdout(Stdio::piped()), &program)?);
    let mut line = String::new();
    BufReader::new(handler.0.stdout.take().context("it is piped")?).read_line(&mut line)?;
    let address = line.trim().strip_prefix("listening on ").context("the handler did not start")?;
    Ok((handler, address.to_owned()))
}

fn server(folder: &Path, log: &Path, partitions: usize) -> Result<Process> {
    let program = program()?;
    let mut command = Command::new(&program);
    command
        .args(["--no-logo", "--log-format", "json", "--node-name", "bench"])
        // Loopback alone, and no port that anybody else may have.
        .args(["--listen-mode", "tcp", "--bind-ip", "127.0.0.1", "--use-random-ports", "true"])
        .args(["--default-num-partitions", &partitions.to_string(), "--base-dir"])
        .arg(folder.join("data"))
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("RESTATE_DISABLE_TELEMETRY", "true")
        .env("DO_NOT_TRACK", "1")
        .stdout(File::create(log)?)
        .stderr(Stdio::null());
    spawn(&mut command, &program).map(Process)
}

/// As npm names its packages.
fn program() -> Result<PathBuf> {
    let os = if OS == "macos" { "darwin" } else { OS };
    let arch = match ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => bail!("Restate's server is not shipped for {other}"),
    };
    let package = format!("node_modules/@restatedev/restate-server-{os}-{arch}/bin/restate-server");
    Ok(stepcell_tests::target().join("tools/restate").join(package))
}

fn spawn(command: &mut Command, program: &Path) -> Result<Child> {
    let started = command.stdin(Stdio::null()).spawn();
    started.with_context(|| format!("starting {}, which `cargo xtask bench` installs", program.display()))
}

/// The address of one of its listeners, which it logs once it is there.
async fn listening(log: &Path, name: &str) -> Result<String> {
    let started = Instant::now();
    loop {
        let text = fs::read_to_string(log)?;
        let spans = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut ports = spans.filter_map(|line| {
            let span = line.get("span")?;
            (span.get("server_name")? == name).then(|| span.get("server.port")?.as_u64())?
        });
        if let Some(port) = ports.next() {
            return Ok(format!("http://127.0.0.1:{port}"));
        }
        ensure!(started.elapsed() < PATIENCE, "Restate's server does not listen as {name}: {text}");
        sleep(ASK_EVERY).await;
    }
}

/// Tells the server of its handler, as soon as it can be told.
async fn register(admin: &str, handler: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        let told = async {
            let body = json!({ "uri": handler }).to_string();
            Client::connect(admin).await?.post("/deployments", body.into()).await
        };
        match told.await {
            Ok(_) => return Ok(()),
            Err(error) if started.elapsed() > PATIENCE => {
                return Err(error.context("registering the handler"));
            }
            Err(_) => sleep(ASK_EVERY).await,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
