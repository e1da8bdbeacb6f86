mod clock;
mod trouble;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{DEADLINE, eventually};

/// A served host on a port of its own, with its data and plugins in a temporary folder; killed with the test.
pub struct Host {
    folder: TempDir,
    process: Child,
    calling: Calling,
    /// `http://127.0.0.1:PORT`
    pub url: String,
    client: reqwest::Client,
}

/// A host to be started.
#[derive(Default)]
pub struct HostBuilder {
    config: String,
    plugins: Vec<PathBuf>,
    calling: Calling,
}

/// How the binary is called, at every start.
#[derive(Default)]
struct Calling {
    /// Where to listen, instead of on any free port.
    listen: Option<String>,
    arguments: Vec<&'static str>,
    environment: Vec<(&'static str, String)>,
    /// The size of the disk, in MiB, where it is one of its own.
    small_disk: Option<u32>,
    failing_syncs: bool,
    moving_clock: bool,
}

impl HostBuilder {
    /// Lines for `stepcell.yaml`.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config.push_str(text);
        self.config.push('\n');
        self
    }

    /// Sets a variable of the host's environment, which holds nothing of the developer's.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.calling.environment.push((name, value.to_owned()));
        self
    }

    /// Lets the host log as much as it can.
    #[must_use]
    pub fn talkative(mut self) -> Self {
        self.calling.arguments.extend(["--log", "trace"]);
        self
    }

    /// Puts the data on a disk of this many MiB, see [`Host::fill_disk`]. It does not outlive the process.
    #[must_use]
    pub fn small_disk(mut self, mebibytes: u32) -> Self {
        self.calling.small_disk = Some(mebibytes);
        self
    }

    /// Puts a program of `tests/guests` into the plugins folder.
    #[must_use]
    pub fn guest(mut self, name: &str) -> Self {
        self.plugins.push(crate::guest(name));
        self
    }

    /// Starts the host and waits until it is ready.
    pub async fn start(self) -> Host {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("plugins")).expect("an empty folder");
        for plugin in &self.plugins {
            let name = plugin.file_name().expect("guests are files");
            fs::copy(plugin, folder.path().join("plugins").join(name)).expect("guests can be copied");
        }
        fs::write(folder.path().join("stepcell.yaml"), &self.config).expect("the folder is ours");
        let (process, url) = serve(folder.path(), &self.calling);
        let host = Host { folder, process, calling: self.calling, url, client: reqwest::Client::new() };
        host.ready().await;
        host
    }
}

impl Host {
    /// A host with the built-ins and the default config.
    pub async fn start() -> Self {
        HostBuilder::default().start().await
    }

    /// A host to be set up first.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// The folder with `stepcell.yaml`, `plugins/` and the data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where operators drop plugins.
    pub fn plugins(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it was killed");
    }

    /// Starts the host again on the same folder.
    pub async fn restart(&mut self) {
        self.kill();
        self.start_again().await;
    }

    /// Starts a host that was killed; gives how long it took from the start of the process until it was ready.
    pub async fn start_again(&mut self) -> Duration {
        let started = Instant::now();
        (self.process, self.url) = serve(self.folder.path(), &self.calling);
        self.ready().await;
        started.elapsed()
    }

    /// Lets the next starts listen where this one does.
    pub fn keep_address(&mut self) {
        self.calling.listen = self.url.strip_prefix("http://").map(str::to_owned);
    }

    /// Lets the disk fail every commit of the next process, or no more.
    pub fn fail_syncs(&mut self, failing: bool) {
        self.calling.failing_syncs = failing;
    }

    /// Starts a host that was killed, and kills it again after this time, ready or not.
    pub async fn start_and_kill(&mut self, after: Duration) {
        self.process = spawn(self.folder.path(), &self.calling);
        tokio::time::sleep(after).await;
        self.kill();
    }

    /// Puts lines that a refusal showed into `stepcell.yaml`, as its reader is told to, and starts the host again.
    pub async fn paste(&mut self, lines: &str) {
        let path = self.folder.path().join("stepcell.yaml");
        let config = fs::read_to_string(&path).expect("the host was started with it");
        fs::write(&path, pasted(&config, lines)).expect("the folder is ours");
        self.restart().await;
    }

    /// What the process has logged, all its starts together.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("serve.log")).unwrap_or_default()
    }

    /// Files of the data folder that hold a text, and the log where that does.
    pub fn files_with(&self, text: &str) -> Vec<PathBuf> {
        let holds = |path: &PathBuf| {
            let bytes = fs::read(path).unwrap_or_default();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        let mut files = files(&self.folder.path().join("stepcell-data"));
        assert!(!files.is_empty(), "the host keeps its data elsewhere");
        files.push(self.folder.path().join("serve.log"));
        files.into_iter().filter(holds).collect()
    }

    async fn ready(&self) {
        eventually("the host is ready", || async {
            let answer = self.client.get(format!("{}/readyz", self.url)).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// A request to `/api/v1` + `path`, not sent yet.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}/api/v1{path}", self.url)).timeout(DEADLINE)
    }

    /// `GET`: status and JSON.
    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path).send().await.expect("the host answers")).await
    }

    /// `POST` of JSON: status and JSON.
    pub async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        answer(self.request(Method::POST, path).json(body).send().await.expect("the host answers")).await
    }

    /// `POST` of YAML: status and JSON.
    pub async fn post_yaml(&self, path: &str, body: &str) -> (StatusCode, Value) {
        let request = self.request(Method::POST, path).header("content-type", "application/yaml");
        answer(request.body(body.to_owned()).send().await.expect("the host answers")).await
    }

    /// Submits a flow in YAML and waits for its end.
    #[track_caller]
    pub fn run(&self, flow: &str) -> impl Future<Output = Value> {
        self.run_with(flow, json!({}))
    }

    /// Submits a flow in YAML with an input and waits for its end.
    pub async fn run_with(&self, flow: &str, input: Value) -> Value {
        let flow: Value = serde_yaml_ng::from_str(flow).expect("the test's flow is YAML");
        let (status, run) = self.post("/runs?wait=60s", &json!({"flow": flow, "input": input})).await;
        assert_eq!(status, StatusCode::OK, "{run:#}");
        run
    }

    /// Submits a flow in YAML; gives the run's id.
    pub async fn submit(&self, flow: &str) -> String {
        let (status, run) = self.post_yaml("/runs", flow).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{run:#}");
        run["run_id"].as_str().expect("an id").to_owned()
    }

    /// Submits a flow in YAML with an input; gives the run's id.
    pub async fn submit_with(&self, flow: &str, input: Value) -> String {
        let flow: Value = serde_yaml_ng::from_str(flow).expect("the test's flow is YAML");
        let (status, run) = self.post("/runs", &json!({"flow": flow, "input": input})).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{run:#}");
        run["run_id"].as_str().expect("an id").to_owned()
    }

    /// Answers an approval.
    pub async fn resume(&self, run: &str, answer: &Value) -> (StatusCode, Value) {
        self.post(&format!("/runs/{run}/resume"), answer).await
    }

    /// Sends an event; gives how many runs it woke.
    pub async fn send(&self, event: &str, body: &Value) -> u64 {
        let (status, delivered) = self.post(&format!("/events/{event}"), body).await;
        assert_eq!(status, StatusCode::OK, "{delivered:#}");
        delivered["woken"].as_u64().expect("a number")
    }

    /// The run as it is.
    pub async fn show(&self, run: &str) -> Value {
        self.get(&format!("/runs/{run}")).await.1
    }

    /// Submits one step as a flow, waits for its end, and gives the step with the run's id beside it.
    pub async fn step(&self, kind: &str, config: Value) -> Value {
        let flow = json!({"name": "one", "steps": [{"id": "a", "type": kind, "config": config}]});
        let (status, run) = self.post("/runs?wait=60s", &json!({"flow": flow})).await;
        assert_eq!(status, StatusCode::OK, "{run:#}");
        let mut step = run["steps"]["a"].clone();
        step["run_id"] = run["run_id"].clone();
        step
    }

    /// All events of a run so far; `run` is anything that has its id.
    pub async fn events(&self, run: &Value) -> Vec<Value> {
        let id = run["run_id"].as_str().expect("an id");
        let mut events: Vec<Value> = Vec::new();
        loop {
            let (_, page) = self.get(&format!("/runs/{id}/events?limit=1000&after={}", events.len())).await;
            let more = page["events"].as_array().unwrap_or_else(|| panic!("no events: {page:#}"));
            if more.is_empty() {
                return events;
            }
            events.extend(more.iter().cloned());
        }
    }

    /// The refusals of a run: the data of its `capability.denied` events.
    pub async fn refusals(&self, run: &Value) -> Vec<Value> {
        let events = self.events(run).await;
        let refusals = events.into_iter().filter(|event| event["type"] == "capability.denied");
        refusals.map(|event| event["data"].clone()).collect()
    }

    /// Waits until the run has a status.
    pub async fn until(&self, run: &str, status: &str) -> Value {
        eventually(&format!("run {run} is {status}"), || async {
            let run = self.show(run).await;
            (run["status"] == status).then_some(run)
        })
        .await
    }

    /// Waits until a step of the run has a status.
    pub async fn until_step(&self, run: &str, step: &str, status: &str) -> Value {
        eventually(&format!("step {step} of run {run} is {status}"), || async {
            let run = self.show(run).await;
            (run["steps"][step]["status"] == status).then_some(run)
        })
        .await
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have been killed by the test already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn answer(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.expect("the answer has a body");
    let value = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text));
    (status, value)
}

/// As a person does it who has `grants:` once.
fn pasted(config: &str, lines: &str) -> String {
    let read =
        |text: &str| serde_yaml_ng::from_str::<Value>(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let (mut all, new) = (read(config), read(lines));
    let keys = new.as_object().unwrap_or_else(|| panic!("no lines of a config: {lines}"));
    if keys.keys().all(|key| all.get(key).is_none()) {
        return format!("{config}\n{lines}\n");
    }
    merge(&mut all, &new);
    // JSON is YAML.
    all.to_string()
}

/// What is named anew replaces what was there.
fn merge(all: &mut Value, new: &Value) {
    match (all, new) {
        (Value::Object(all), Value::Object(new)) => {
            for (key, value) in new {
                merge(all.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (all, new) => *all = new.clone(),
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Starts the binary on a free port.
fn spawn(folder: &Path, calling: &Calling) -> Child {
    let listen = calling.listen.as_deref().unwrap_or("127.0.0.1:0");
    let mut arguments = vec!["serve", "--listen", listen];
    arguments.extend(&calling.arguments);
    let mut command = crate::cli::command(folder, &arguments);
    command.envs(calling.environment.iter().map(|(name, value)| (name, value)));
    let log =
        fs::OpenOptions::new().create(true).append(true).open(folder.join("serve.log")).expect("a file");
    if calling.moving_clock {
        command.envs(clock::environment(folder));
    }
    if let Some(mebibytes) = calling.small_disk {
        command = trouble::on_small_disk(&command, folder, mebibytes);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    let spawned =
        if calling.failing_syncs { trouble::spawn_with_failing_syncs(command) } else { command.spawn() };
    spawned.expect("the binary is built by `cargo xtask test`")
}

/// Starts the binary; gives its address as it prints it.
fn serve(folder: &Path, calling: &Calling) -> (Child, String) {
    let mut process = spawn(folder, calling);
    let mut line = String::new();
    let mut stdout = BufReader::new(process.stdout.take().expect("it is piped"));
    stdout.read_line(&mut line).expect("it prints UTF-8");
    let Some(url) = line.trim().strip_prefix("listening on ") else {
        let log = fs::read_to_string(folder.join("serve.log")).unwrap_or_default();
        panic!("the host did not start: {line}{log}")
    };
    (process, url.to_owned())
}
