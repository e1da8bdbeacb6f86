//! The sandbox as the engine and the API see it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use stepcell_core::{Catalog, Digest, Failure, Fault, RunId, StepId, catalog::Provider, event::Receipt};
use stepcell_engine::runner::{Call, Completion, Entry as Asked, StepRunner};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    Grant, Options,
    access::{Access, GrantSource},
    cache::Cache,
    capability::{BLOB_READS_MAX, Caller, Room, Services, Usage},
    cells::{Cells, Job},
    compile::Compilers,
    connector::Connector,
    error::Error,
    execution::{Ended, Entry, Returned},
    library::{self, Library, Parts},
    limits::Effective,
    machine,
    mail::Mailer,
    plugin::Described,
    vault::Vault,
    wasi::{Attempt, Folders},
};

/// Loads plugins from folders and runs each execution in a fresh cell. Stops when it is dropped.
pub struct Sandbox {
    shared: Arc<Shared>,
    _stop: DropGuard,
}

pub(crate) struct Shared {
    pub(crate) library: Arc<Library>,
    pub(crate) cells: Arc<Cells>,
    pub(crate) policy: Policy,
}

/// What the operator decided.
pub(crate) struct Policy {
    pub(crate) limits: stepcell_core::Limits,
    host_key: [u8; 32],
    /// By step type.
    grants: HashMap<String, Arc<Grant>>,
    /// By the file's digest and step type.
    for_files: HashMap<Digest, HashMap<String, Arc<Grant>>>,
    none: Arc<Grant>,
}

impl Sandbox {
    /// Starts the threads and the look-out on the folders, and returns before any plugin is loaded; see
    /// [`settled`](Self::settled).
    pub async fn start(options: Options) -> Result<Arc<Self>, Error> {
        let watch = options.watch;
        let shared = tokio::task::spawn_blocking(|| Shared::new(options)).await;
        let shared = Arc::new(shared.map_err(|error| Error::Engine(error.to_string()))??);
        let stop = CancellationToken::new();
        tokio::spawn(library::keep(Arc::clone(&shared.library), watch, stop.clone()));
        Ok(Arc::new(Self { shared, _stop: stop.drop_guard() }))
    }

    /// Waits until every file that is there now is in the catalog or refused.
    pub async fn settled(&self) {
        self.shared.library.settled().await;
    }

    /// What the operator allows this file as this step type, and where that is written.
    pub fn grant_of(&self, kind: &str, digest: Digest) -> (Arc<Grant>, GrantSource) {
        self.shared.grant_of(kind, digest)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    fn new(options: Options) -> Result<Self, Error> {
        let engine = machine::engine().map_err(|error| Error::Engine(format!("{error:#}")))?;
        let cache = Arc::new(Cache::open(&options.cache, &engine)?);
        if let Err(error) = cache.prune() {
            tracing::warn!(%error, "the cache can not be pruned");
        }
        let runtime = tokio::runtime::Handle::current();
        let incoming = Room::default();
        let services = Services {
            connector: Connector::new(options.connector, incoming.clone(), runtime.clone()),
            outgoing: Room::default(),
            incoming,
            blob_reads: tokio::sync::Semaphore::new(BLOB_READS_MAX),
            vault: Vault::new(options.host_key, options.secrets),
            databases: options.databases,
            mailer: options.email.map(|config| Arc::new(Mailer::new(config))),
            runtime,
        };
        let with_folders = with_folders(&options.grants, &options.file_grants);
        let secrets = services.vault.names().map(str::to_owned).collect();
        let cells = Arc::new(Cells::start(engine, services)?);
        let library = Library::new(Parts {
            cells: Arc::clone(&cells),
            compilers: Compilers::new(options.compiler, Arc::clone(&cache)),
            cache,
            host_key: options.host_key,
            folders: options.folders,
            builtins: options.builtins,
            with_folders,
            secrets,
        });
        let policy = Policy {
            limits: options.limits,
            host_key: options.host_key,
            grants: options.grants.into_iter().map(|(kind, grant)| (kind, Arc::new(grant))).collect(),
            for_files: by_file(options.file_grants),
            none: Arc::new(Grant::default()),
        };
        Ok(Self { library: Arc::new(library), cells, policy })
    }

    async fn run(&self, call: Call) -> Completion {
        let started = std::time::Instant::now();
        let digest = call.provider.digest;
        let described = match self.library.loaded(digest) {
            Some(described) => Some(described),
            None => self.library.fetch(digest).await,
        };
        let ended = match described {
            Some(described) => self.cells.run(self.job(call, described).await).await,
            None => Ended::before_start(plugin_gone(&call)),
        };
        completion(ended, started)
    }

    async fn job(&self, call: Call, described: Described) -> Job {
        let (grant, source) = self.grant_of(&call.kind, call.provider.digest);
        let limits = Effective::new(&self.policy.limits, Some(&grant.limits), &call.limits);
        let kind: Arc<str> = call.kind.into();
        let access = Access { kind: Arc::clone(&kind), source, operator: grant, narrowings: call.grants };
        let caller = Caller {
            run: call.run,
            step: Some(call.step.clone()),
            secrets: call.secrets,
            meter: call.meter,
            blobs: Some(call.blobs),
        };
        let attempt = Attempt {
            host_key: self.policy.host_key,
            run: call.run,
            step: Some(call.step),
            number: call.attempt,
            started_at: call.started_at,
        };
        let (config, context) = (call.config, call.context);
        let entry = match call.entry {
            Asked::Execute => Entry::Execute { config, context },
            Asked::Resume { signal } => Entry::Resume { config, context, signal: signal.text().to_owned() },
        };
        let folders = match described.plugin.imports().ask_for_files() {
            true => Folders::open(access.files()).await,
            false => Folders::default(),
        };
        Job {
            plugin: described.plugin,
            entry,
            kind,
            limits,
            access: Arc::new(access),
            caller,
            attempt,
            folders,
            cancel: call.cancel,
        }
    }

    /// The operator's word on a type: on this very file, on the type, or what the host's own files need and no
    /// other file gets.
    pub(crate) fn grant_of(&self, kind: &str, digest: Digest) -> (Arc<Grant>, GrantSource) {
        let Policy { grants, none, .. } = &self.policy;
        if let Some(grant) = self.policy.for_files.get(&digest).and_then(|kinds| kinds.get(kind)) {
            return (Arc::clone(grant), GrantSource::File(digest));
        }
        if let Some(grant) = grants.get(kind) {
            return (Arc::clone(grant), GrantSource::Type);
        }
        if let Some(grant) = self.library.published().shipped.get(&digest) {
            return (Arc::clone(grant), GrantSource::Shipped);
        }
        (Arc::clone(none), GrantSource::Nothing)
    }
}

/// Step types that some grant gives a folder.
fn with_folders(
    grants: &BTreeMap<String, Grant>,
    for_files: &BTreeMap<(String, Digest), Grant>,
) -> HashSet<String> {
    let all = grants.iter().chain(for_files.iter().map(|((kind, _), grant)| (kind, grant)));
    let given = all.filter(|(_, grant)| grant.files.as_ref().is_some_and(|files| !files.is_empty()));
    given.map(|(kind, _)| kind.clone()).collect()
}

fn by_file(grants: BTreeMap<(String, Digest), Grant>) -> HashMap<Digest, HashMap<String, Arc<Grant>>> {
    let mut files: HashMap<Digest, HashMap<String, Arc<Grant>>> = HashMap::new();
    for ((kind, digest), grant) in grants {
        files.entry(digest).or_default().insert(kind, Arc::new(grant));
    }
    files
}

fn completion(ended: Ended, started: std::time::Instant) -> Completion {
    let result = ended.result.and_then(|returned| match returned {
        Returned::Outcome(outcome) => Ok(outcome),
        Returned::Description(_) => Err(crate::trap::host_panic()),
    });
    let Usage { requests, sent_bytes, received_bytes, rows } = ended.usage;
    let receipt = Receipt {
        fuel: ended.fuel,
        total_us: micros(started.elapsed()),
        host_us: micros(ended.host),
        requests,
        sent_bytes,
        received_bytes,
        rows,
        tokens: 0,
    };
    Completion {
        result,
        receipt,
        log: ended.log,
        log_dropped_bytes: ended.log_dropped_bytes,
        denied: ended.denied,
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn plugin_gone(call: &Call) -> Failure {
    let message =
        format!("the plugin `{}` ({}) of this run is gone", call.provider.file, call.provider.digest.short());
    Failure::system(Fault::Unavailable, "plugin_gone", message)
        .with_hint("put the very same file into a plugin folder again, or start a new run")
}

impl StepRunner for Sandbox {
    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.shared.library.published().catalog)
    }

    fn settled(&self) -> BoxFuture<'static, ()> {
        let library = Arc::clone(&self.shared.library);
        Box::pin(async move { library.settled().await })
    }

    fn pinned(&self, digest: Digest) -> BoxFuture<'static, Option<Arc<Provider>>> {
        let library = Arc::clone(&self.shared.library);
        Box::pin(async move {
            if let Some(provider) = find_provider(&library.published().catalog, digest) {
                return Some(provider);
            }
            library.fetch(digest).await.map(|described| library.provider_of_none(&described))
        })
    }

    fn placeholder(&self, run: RunId, step: &StepId, secret: &str) -> String {
        self.shared.cells.services().vault.placeholder(run, step, secret)
    }

    fn run(&self, call: Call) -> BoxFuture<'static, Completion> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.run(call).await })
    }
}

fn find_provider(catalog: &Catalog, digest: Digest) -> Option<Arc<Provider>> {
    let mut providers = catalog.types.values().flat_map(|step_type| &step_type.providers);
    providers.find(|provider| provider.digest == digest).cloned()
}
