//! The parts wired together: a store, a sandbox, an engine, and the API over them.

mod folders;
mod options;

use std::{path::Path, sync::Arc, thread::available_parallelism, time::Duration};

use stepcell_api::Api;
use stepcell_core::{Catalog, Digest, grant::Grant};
use stepcell_engine::{
    Admission, DEFAULT_EVENTS_KEPT, Engine, PluginInfo, PluginState, Plugins, Retention, StepRunner,
};
use stepcell_sandbox::{GrantSource, Options, Sandbox};
use stepcell_store::{MemoryStore, SharedStore};
use stepcell_store_sled::{DataDir, SledStore};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::{
    args::Global,
    config::{Concurrency, Config, StoreKind},
    error::Error,
    output::note,
    text,
};

/// Threads that drive runs, however few cores there are. Two keep one run that computes from delaying all others.
const DRIVER_THREADS_MIN: usize = 2;
/// How long loading may take before the user is told what it waits for. A warm cache takes far less.
const PATIENCE: Duration = Duration::from_secs(1);

/// The plugins of the folders, without an engine.
#[derive(Clone)]
pub(crate) struct PluginSet {
    sandbox: Arc<Sandbox>,
}

impl PluginSet {
    /// Starts loading the folders as they are now; later changes are not looked for.
    pub(crate) async fn load(config: &Config, global: &Global) -> Result<Self, Error> {
        Self::start(options::describing(config, global).await?).await
    }

    async fn start(options: Options) -> Result<Self, Error> {
        let sandbox = Sandbox::start(options).await.map_err(|error| {
            let hint = error.hint();
            Error::System {
                message: "the sandbox can not be started".to_owned(),
                hint,
                source: Some(error.into()),
            }
        })?;
        Ok(Self { sandbox })
    }

    /// Waits until every file is in the catalog or refused, and names those that are refused.
    pub(crate) async fn settled(&self) {
        let settled = self.sandbox.settled();
        tokio::pin!(settled);
        if tokio::time::timeout(PATIENCE, &mut settled).await.is_err() {
            let files = self.list().into_iter().filter(|file| file.state == PluginState::Loading);
            let files: Vec<String> = files.map(|file| text::line(&file.file)).collect();
            note(&format!("compiling for the first time, then kept: {}", files.join(", ")));
            settled.await;
        }
        for file in self.list() {
            if let PluginState::Refused { reason, hint } = &file.state {
                note(&format!("warning: `{}` is refused: {}", text::line(&file.file), text::line(reason)));
                for line in hint.iter().flat_map(|hint| hint.lines()) {
                    note(&format!("  hint: {}", text::line(line)));
                }
            }
        }
    }

    /// The same without a word to the user.
    pub(crate) async fn ready(&self) {
        self.sandbox.settled().await;
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.sandbox.catalog()
    }

    pub(crate) fn list(&self) -> Vec<PluginInfo> {
        self.sandbox.list()
    }

    /// What the operator allows a file as a step type, and where that is written.
    pub(crate) fn grant_of(&self, kind: &str, digest: Digest) -> (Arc<Grant>, GrantSource) {
        self.sandbox.grant_of(kind, digest)
    }
}

/// Everything that runs flows in this process.
pub(crate) struct Host {
    plugins: PluginSet,
    engine: Engine,
    _drivers: Drivers,
}

/// The threads that drive runs and do the waiting of their steps. They are not those that answer HTTP: a flow whose
/// templates compute for long delays other runs, and nobody who asks how the host is.
struct Drivers {
    handle: Handle,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl Drivers {
    fn start() -> Result<Self, Error> {
        let threads = available_parallelism().map_or(DRIVER_THREADS_MIN, usize::from).max(DRIVER_THREADS_MIN);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("driver")
            .enable_all()
            .build()
            .map_err(|error| Error::System {
                message: "the threads that drive runs can not be started".to_owned(),
                hint: None,
                source: Some(error.into()),
            })?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// The plugins of a host that runs steps. What steps wait for is brought by the threads that drive their runs, so
    /// that none has to wake another for it.
    async fn load(
        &self,
        config: &Config,
        global: &Global,
        host_key: [u8; 32],
        watch: bool,
    ) -> Result<PluginSet, Error> {
        let (config, global) = (config.clone(), global.clone());
        let loading =
            async move { PluginSet::start(options::running(&config, &global, host_key, watch).await?).await };
        let loaded = self.handle.spawn(loading).await;
        loaded.map_err(|error| Error::system("starting the sandbox was cut short", error))?
    }
}

impl Drop for Drivers {
    fn drop(&mut self) {
        // A runtime may not be waited for on another's threads; what it drove has been stopped before.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Host {
    /// For one command: runs end with the process.
    pub(crate) async fn in_memory(config: &Config, global: &Global) -> Result<Self, Error> {
        let drivers = Drivers::start()?;
        let plugins = drivers.load(config, global, options::fresh_key(), false).await?;
        Self::over(Arc::new(MemoryStore::new()), plugins, config, drivers).await
    }

    /// For a server: the folders are watched, and runs are kept where the config says.
    pub(crate) async fn lasting(config: &Config, global: &Global) -> Result<Self, Error> {
        let (store, host_key): (SharedStore, _) = match config.store {
            StoreKind::Memory => (Arc::new(MemoryStore::new()), options::fresh_key()),
            StoreKind::Sled => {
                let (store, host_key) = open_store(config).await?;
                (Arc::new(store), host_key)
            }
        };
        let drivers = Drivers::start()?;
        let plugins = drivers.load(config, global, host_key, true).await?;
        Self::over(store, plugins, config, drivers).await
    }

    async fn over(
        store: SharedStore,
        plugins: PluginSet,
        config: &Config,
        drivers: Drivers,
    ) -> Result<Self, Error> {
        let mut options = stepcell_engine::Options::new(store, plugins.sandbox.clone());
        options.budget = config.budget;
        options.admission = admission(&config.concurrency);
        options.retention = Retention { age: config.retention.age, runs: config.retention.runs };
        options.events_kept = config.events_kept.unwrap_or(DEFAULT_EVENTS_KEPT);
        options.runtime = drivers.handle.clone();
        let engine = Engine::start(options).await.map_err(Error::engine)?;
        Ok(Self { plugins, engine, _drivers: drivers })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn plugins(&self) -> &PluginSet {
        &self.plugins
    }

    /// The HTTP API of this host.
    pub(crate) fn api(&self) -> Api {
        Api::new(stepcell_api::Options {
            engine: self.engine.clone(),
            runner: self.plugins.sandbox.clone(),
            plugins: self.plugins.sandbox.clone(),
            hosts: Vec::new(),
        })
    }

    /// Stops driving runs. Those under way go on at the next start, where the store lasts.
    pub(crate) async fn shutdown(self) {
        self.engine.shutdown().await;
    }
}

/// What the config says of runs and steps at a time; the engine's defaults for what it does not.
fn admission(concurrency: &Concurrency) -> Admission {
    let Concurrency { runs, queue, flows, steps } = concurrency;
    let default = Admission::default();
    Admission {
        active: runs.unwrap_or(default.active),
        queue: queue.unwrap_or(default.queue),
        flows: flows.clone(),
        steps: steps.clone(),
    }
}

/// A file with what the operator's config allows it.
pub(crate) struct Inspected {
    pub(crate) info: PluginInfo,
    pub(crate) granted: (Arc<Grant>, GrantSource),
}

/// What one file is, checked as if it lay in a plugin folder, and what it would get.
pub(crate) async fn inspect(file: &Path, config: &Config, global: &Global) -> Result<Inspected, Error> {
    let options = options::describing(config, global).await?;
    let builtins = options.builtins.clone();
    let info = inspected(file, options).await?;
    let kind = info.describe.as_ref().map(|describe| describe.kind.clone()).unwrap_or_default();
    let granted = match config.grants.of(&kind, info.digest) {
        Some((grant, source)) => (Arc::new(grant.clone()), source),
        None => match options::shipped(builtins, info.digest).await? {
            Some(grant) => (grant, GrantSource::Shipped),
            None => (Arc::default(), GrantSource::Nothing),
        },
    };
    Ok(Inspected { info, granted })
}

async fn inspected(file: &Path, options: Options) -> Result<PluginInfo, Error> {
    stepcell_sandbox::inspect(file, options).await.map_err(|error| {
        Error::call(
            "plugin_unreadable",
            format!("`{}` can not be inspected: {error}", file.display()),
            "name a `.wasm` file",
        )
    })
}

async fn open_store(config: &Config) -> Result<(SledStore, [u8; 32]), Error> {
    let path = config.data.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let data = DataDir::open(&path)?;
        let key = data.host_key()?;
        Ok((SledStore::open(&data)?, key))
    });
    let opened: Result<_, stepcell_store::Error> =
        opened.await.map_err(|error| Error::system("opening the store was cut short", error))?;
    opened.map_err(|error| {
        let hint = error.hint().unwrap_or("name a folder that this user may write to with `--data`");
        let message = format!("the data folder `{}` can not be opened", config.data.display());
        Error::system(message, error).or_hint(hint)
    })
}
