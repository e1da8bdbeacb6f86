//! Every plugin there is: the files in the folders, what became of each, and the catalog they make.

mod files;
mod keeper;
mod listing;
mod watch;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::RwLock;
use stepcell_core::{Catalog, Digest, Limits, catalog::Provider};
use stepcell_engine::runner::{LimitsRequest, PluginInfo};
use tokio::sync::{Notify, watch as channel};
use tokio_util::sync::CancellationToken;

pub(crate) use keeper::keep;
pub(crate) use listing::refused as refused_state;

use crate::{
    access::Access,
    cache::{Cache, Entry as CacheEntry},
    capability::Caller,
    cells::{Cells, Job},
    compile::Compilers,
    execution::{Entry, Returned},
    folder::{Folder, Shipped},
    limits::Effective,
    plugin::{self, Described, Plugin, Refusal},
    wasi::{Attempt, Folders},
};

/// Plugins that no file stands for any more and that stay loaded, for the runs that pinned them. More are
/// loaded again from the cache when they are needed.
const RETIRED_MAX: usize = 16;
/// What `describe` may use: it computes nothing, but an interpreter has to start for it.
const DESCRIBE_LIMITS: Limits = Limits {
    fuel: 2_000_000_000,
    memory: 256 << 20,
    time: std::time::Duration::from_secs(10),
    output: plugin::DESCRIBE_BYTES_MAX,
    request: 0,
    response: 0,
    requests: 0,
};

/// The plugins of one host.
pub(crate) struct Library {
    cells: Arc<Cells>,
    cache: Arc<Cache>,
    compilers: Compilers,
    host_key: [u8; 32],
    folders: Vec<Arc<Folder>>,
    /// Folders from here on are the host's own.
    builtins_from: usize,
    /// Step types that some grant gives a folder: what they do depends on what lies there.
    with_folders: HashSet<String>,
    /// By digest; more than the catalog has, see [`RETIRED_MAX`].
    loaded: RwLock<HashMap<Digest, Described>>,
    published: ArcSwap<Published>,
    ready: channel::Sender<bool>,
    /// Counts every publication, for whoever waits for a change.
    version: channel::Sender<u64>,
    look_again: Notify,
    /// One change over HTTP at a time: each waits until its file is seen, and must not be overtaken.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

/// What the library showed last.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) files: Vec<PluginInfo>,
    /// For each of `files` the folder, by its place in the config, and the name within it.
    pub(crate) places: Vec<(usize, String)>,
    /// What files that came with the host get without a line of config, by the list in their own folder.
    pub(crate) shipped: Arc<Shipped>,
}

/// A file in a folder of the operator's.
pub(crate) struct OwnFile {
    pub(crate) info: PluginInfo,
    pub(crate) folder: Arc<Folder>,
    pub(crate) name: String,
}

/// What a library is made of.
pub(crate) struct Parts {
    pub(crate) cells: Arc<Cells>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) compilers: Compilers,
    pub(crate) host_key: [u8; 32],
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) builtins: Option<PathBuf>,
    /// Step types that some grant gives a folder.
    pub(crate) with_folders: HashSet<String>,
    /// Names of the secrets, for the catalog.
    pub(crate) secrets: BTreeSet<String>,
}

impl Library {
    pub(crate) fn new(parts: Parts) -> Self {
        let builtins_from = parts.folders.len();
        let folders: Vec<_> =
            parts.folders.into_iter().chain(parts.builtins).map(Folder::new).map(Arc::new).collect();
        let shown = folders.iter().map(|folder| folder.path().display().to_string()).collect();
        let catalog = Arc::new(Catalog { folders: shown, secrets: parts.secrets, ..Catalog::default() });
        let published = Published { catalog, ..Published::default() };
        Self {
            cells: parts.cells,
            cache: parts.cache,
            compilers: parts.compilers,
            host_key: parts.host_key,
            folders,
            builtins_from,
            with_folders: parts.with_folders,
            loaded: RwLock::default(),
            published: ArcSwap::from_pointee(published),
            ready: channel::Sender::new(false),
            version: channel::Sender::new(0),
            look_again: Notify::new(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// What there is now.
    pub(crate) fn published(&self) -> arc_swap::Guard<Arc<Published>> {
        self.published.load()
    }

    /// Whether every file that was there at the start is described or refused.
    pub(crate) fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits until [`is_ready`](Self::is_ready).
    pub(crate) async fn settled(&self) {
        // The sender lives as long as `self`.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// The folder that new plugins are put into; none where there are only the host's own.
    pub(crate) fn first_folder(&self) -> Option<Arc<Folder>> {
        self.folders.first().filter(|_| self.builtins_from > 0).cloned()
    }

    /// The files of a type: the operator's, with their places, and the host's own.
    pub(crate) fn files_of(&self, kind: &str) -> (Vec<OwnFile>, Vec<PluginInfo>) {
        let published = self.published();
        let (mut own, mut builtin) = (Vec::new(), Vec::new());
        for (info, (folder, name)) in published.files.iter().zip(&published.places) {
            if info.describe.as_ref().is_none_or(|describe| describe.kind != kind) {
                continue;
            }
            match self.folders.get(*folder) {
                Some(place) if *folder < self.builtins_from => {
                    own.push(OwnFile { info: info.clone(), folder: Arc::clone(place), name: name.clone() });
                }
                _ => builtin.push(info.clone()),
            }
        }
        (own, builtin)
    }

    /// Looks at the folders and waits until what they show has something; `None` when the library stops.
    pub(crate) async fn changed<T>(&self, mut look: impl FnMut(&Published) -> Option<T>) -> Option<T> {
        let mut versions = self.version.subscribe();
        loop {
            versions.mark_unchanged();
            if let Some(found) = look(&self.published()) {
                return Some(found);
            }
            self.look_again.notify_one();
            versions.changed().await.ok()?;
        }
    }

    /// A plugin that is loaded.
    pub(crate) fn loaded(&self, digest: Digest) -> Option<Described> {
        self.loaded.read().get(&digest).cloned()
    }

    /// A plugin by digest, from the cache where no file stands for it any more.
    pub(crate) async fn fetch(self: &Arc<Self>, digest: Digest) -> Option<Described> {
        if let Some(described) = self.loaded(digest) {
            return Some(described);
        }
        let fetched = match self.from_cache(digest).await {
            Some(found) => found,
            None => self.compile_kept(digest).await?,
        };
        fetched
            .inspect_err(|refusal| tracing::warn!(%digest, reason = ?refusal.reason, "a pinned plugin can not be loaded"))
            .ok()
    }

    /// A file's content made into a plugin: loaded already, or from the cache, or compiled and described.
    pub(crate) async fn prepare(
        self: &Arc<Self>,
        digest: Digest,
        bytes: Vec<u8>,
    ) -> Result<Described, Refusal> {
        if let Some(described) = self.loaded(digest) {
            return Ok(described);
        }
        if let Some(found) = self.from_cache(digest).await {
            return found;
        }
        let cache = Arc::clone(&self.cache);
        let kept = tokio::task::spawn_blocking(move || cache.keep_file(digest, &bytes)).await;
        let file = match kept {
            Ok(Ok(file)) => file,
            Ok(Err(error)) => return Err(Refusal::new(format!("it can not be kept in the cache: {error}"))),
            Err(_) => return Err(Refusal::new("it can not be kept in the cache")),
        };
        self.compile(digest, file).await
    }

    async fn compile_kept(self: &Arc<Self>, digest: Digest) -> Option<Result<Described, Refusal>> {
        let file = self.cache.file(digest)?;
        Some(self.compile(digest, file).await)
    }

    async fn compile(self: &Arc<Self>, digest: Digest, file: PathBuf) -> Result<Described, Refusal> {
        tracing::info!(%digest, "compiling a plugin");
        self.compilers.compile(digest, file).await?;
        match self.from_cache(digest).await {
            Some(found) => found,
            None => Err(Refusal::new("its compiled code can not be loaded")),
        }
    }

    /// `None` where the cache has no code for it.
    async fn from_cache(self: &Arc<Self>, digest: Digest) -> Option<Result<Described, Refusal>> {
        let library = Arc::clone(self);
        let load = move || {
            let engine = library.cells.engine();
            let component = library.cache.component(engine, digest)?;
            let plugin = Plugin::link(engine, library.cells.linker(), &component, digest);
            Some((plugin, library.cache.entry(digest)))
        };
        let (plugin, entry) = tokio::task::spawn_blocking(load).await.ok()??;
        let plugin = match plugin {
            Ok(plugin) => Arc::new(plugin),
            Err(refusal) => return Some(Err(refusal)),
        };
        let describe = match entry {
            Some(entry) => Arc::new(entry.describe),
            None => match self.describe(&plugin).await {
                Ok(describe) => Arc::new(describe),
                Err(refusal) => return Some(Err(refusal)),
            },
        };
        let described = Described { plugin, describe };
        self.loaded.write().insert(digest, described.clone());
        Some(Ok(described))
    }

    /// Asks a plugin for its catalog entry, in a cell that can reach nothing, and keeps the answer.
    async fn describe(&self, plugin: &Arc<Plugin>) -> Result<stepcell_core::catalog::Describe, Refusal> {
        let digest = plugin.digest();
        let ended = self.cells.run(self.describe_job(plugin)).await;
        let text = match ended.result {
            Ok(Returned::Description(text)) => text,
            Ok(Returned::Outcome(_)) => return Err(Refusal::new("its `describe` returned nothing")),
            Err(failure) => {
                let refusal = Refusal::new(format!("its `describe` failed: {}", failure.message));
                return Err(failure.hint.into_iter().fold(refusal, Refusal::with_hint));
            }
        };
        let describe = plugin::parse_description(text)?;
        let entry = CacheEntry::new(describe.clone());
        let cache = Arc::clone(&self.cache);
        let kept = tokio::task::spawn_blocking(move || cache.keep_entry(digest, &entry)).await;
        if !matches!(kept, Ok(Ok(()))) {
            tracing::warn!(%digest, "a catalog entry can not be kept in the cache");
        }
        Ok(describe)
    }

    fn describe_job(&self, plugin: &Arc<Plugin>) -> Job {
        Job {
            plugin: Arc::clone(plugin),
            entry: Entry::Describe,
            kind: "describe".into(),
            limits: Effective::new(&DESCRIBE_LIMITS, None, &LimitsRequest::default()),
            access: Arc::new(Access::new("describe".into(), Arc::default())),
            caller: Caller::none(),
            attempt: Attempt::none(self.host_key),
            folders: Folders::default(),
            cancel: CancellationToken::new(),
        }
    }

    /// A catalog entry for one file.
    fn provider(&self, file: &str, described: &Described) -> Arc<Provider> {
        let Described { plugin, describe } = described;
        let looks_around = plugin.imports().ask_for_files() && self.with_folders.contains(&describe.kind);
        Arc::new(Provider {
            file: file.to_owned(),
            digest: plugin.digest(),
            describe: Arc::clone(describe),
            pure_step: plugin.imports().is_pure() && !looks_around,
            control: plugin.is_control(),
        })
    }

    /// A catalog entry for a plugin without a file.
    pub(crate) fn provider_of_none(&self, described: &Described) -> Arc<Provider> {
        self.provider(&format!("{}.wasm", described.plugin.digest().short()), described)
    }

    /// Forgets plugins that no file stands for, but for a few, which runs may have pinned.
    fn retire(&self, live: &HashSet<Digest>) {
        let mut loaded = self.loaded.write();
        let mut retired: Vec<Digest> =
            loaded.keys().filter(|digest| !live.contains(digest)).copied().collect();
        let surplus = retired.len().saturating_sub(RETIRED_MAX);
        for digest in retired.drain(..surplus) {
            loaded.remove(&digest);
        }
    }
}
