//! The whole crate at work: files in folders, a real compiler in a process of its own, real cells.

mod capabilities;
mod cells;
mod folders;
mod guest;
mod limits;
mod wasi;

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use stepcell_core::{Digest, Failure, RunId, StepId, catalog::Provider};
use stepcell_engine::meter::Meter;
use stepcell_engine::runner::{
    Call, Completion, Entry, LimitsRequest, NoBlobs, Outcome, PluginInfo, PluginState, Plugins as _,
    StepRunner as _,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{Compiler, Grant, Options, Sandbox};
use guest::Guest;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A sandbox on folders of its own.
struct Host {
    temp: TempDir,
    sandbox: Arc<Sandbox>,
}

impl Host {
    async fn start() -> Self {
        Self::with(&[], |_| {}).await
    }

    /// Starts with these files in the folder, and options as changed.
    async fn with(files: &[(&str, Vec<u8>)], change: impl FnOnce(&mut Options)) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let plugins = temp.path().join("plugins");
        fs::create_dir(&plugins).unwrap();
        for (name, bytes) in files {
            fs::write(plugins.join(name), bytes).unwrap();
        }
        let mut options = options(temp.path());
        change(&mut options);
        let sandbox = Sandbox::start(options).await.unwrap();
        tokio::time::timeout(PATIENCE, sandbox.settled()).await.unwrap();
        Self { temp, sandbox }
    }

    /// One plugin, ready to be called.
    async fn of(guest: &Guest) -> Self {
        Self::with(&[("guest.wasm", guest.component())], |_| {}).await
    }

    fn folder(&self) -> PathBuf {
        self.temp.path().join("plugins")
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder().join(name), bytes).unwrap();
    }

    fn provider(&self, kind: &str) -> Option<Arc<Provider>> {
        self.sandbox.catalog().types.get(kind)?.providers.first().cloned()
    }

    fn call(&self, kind: &str) -> Call {
        call(self.provider(kind).unwrap(), "{}")
    }

    async fn run(&self, kind: &str, config: &str) -> Completion {
        self.sandbox.run(call(self.provider(kind).unwrap(), config)).await
    }

    async fn failure(&self, kind: &str) -> Failure {
        self.run(kind, "{}").await.result.unwrap_err()
    }

    fn info(&self, name: &str) -> Option<PluginInfo> {
        self.sandbox.list().into_iter().find(|info| info.file.ends_with(name))
    }

    fn refusal(&self, name: &str) -> Option<String> {
        match self.info(name)?.state {
            PluginState::Refused { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// Waits until the folder shows what is looked for.
    async fn until<T>(&self, look: impl Fn(&Self) -> Option<T>) -> T {
        let library = &self.sandbox.shared().library;
        tokio::time::timeout(PATIENCE, library.changed(|_| look(self))).await.unwrap().unwrap()
    }
}

fn options(folder: &Path) -> Options {
    Options {
        folders: vec![folder.join("plugins")],
        host_key: [7; 32],
        watch: true,
        ..Options::new(folder.join("cache"), compiler())
    }
}

/// This very program, told to run one test: [`compiles_what_it_is_given`].
fn compiler() -> Compiler {
    let args = ["tests::compiles_what_it_is_given", "--exact", "--test-threads=1"];
    Compiler { program: env::current_exe().unwrap(), args: args.map(Into::into).to_vec() }
}

/// As a test by itself it shows that the compiler gives its reason; as a compiler it is handed two paths,
/// which the test runner takes for the names of tests that do not exist.
#[test]
fn compiles_what_it_is_given() {
    let args: Vec<PathBuf> = env::args_os().map(PathBuf::from).collect();
    if let [.., input, output] = args.as_slice()
        && input.is_absolute()
    {
        crate::compile_child(input, output).unwrap();
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let (input, output) = (temp.path().join("in"), temp.path().join("out"));
    fs::write(&input, b"\0asm\x0d\0\x01\0junk").unwrap();
    let error = crate::compile::child::compile(&input, &output).unwrap_err();
    assert!(error.to_string().starts_with("it is no valid component"), "{error}");
    assert!(!output.exists());
}

fn call(provider: Arc<Provider>, config: &str) -> Call {
    Call {
        run: RunId::from_bytes([1; 16]),
        step: StepId::new("a").unwrap(),
        kind: provider.describe.kind.clone(),
        attempt: 1,
        started_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        provider,
        entry: Entry::Execute,
        config: config.to_owned(),
        context: "{}".to_owned(),
        limits: LimitsRequest::default(),
        grants: Vec::new(),
        secrets: Vec::new(),
        meter: Arc::new(Meter::unlimited()),
        blobs: Arc::new(NoBlobs),
        cancel: CancellationToken::new(),
    }
}

fn done(completion: Completion) -> String {
    match completion.result.unwrap() {
        Outcome::Done(output) => output.text().to_owned(),
        other => panic!("{other:?}"),
    }
}
