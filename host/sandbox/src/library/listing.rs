//! The catalog and the list of files that the folders make together.

use std::{cmp::Reverse, collections::HashSet, sync::Arc};

use indexmap::IndexMap;
use serde_json::Value;
use stepcell_core::{Catalog, StepType, catalog::Provider};
use stepcell_engine::runner::{PluginInfo, PluginState};

use super::{
    Library, Published,
    files::{File, Files, Key, State},
};
use crate::{
    folder::Shipped,
    plugin::{Described, Refusal},
};

impl Library {
    /// Makes what the files are now visible to everyone.
    pub(super) fn publish(&self, files: &Files, shipped: &Arc<Shipped>) {
        let mut claims = Claims::default();
        let mut published = Published { shipped: Arc::clone(shipped), ..Published::default() };
        for (key, file) in files.iter() {
            let shown = self.shown(key);
            let lost_to =
                file.serves().and_then(|described| claims.claim(&shown, self.provider(&key.name, described)));
            published.files.push(info(shown, file, lost_to));
            published.places.push((key.folder, key.name.clone()));
        }
        let live: HashSet<_> = files
            .iter()
            .filter_map(|(_, file)| file.serves())
            .map(|described| described.plugin.digest())
            .collect();
        let Catalog { folders, secrets, .. } = (*self.published().catalog).clone();
        let loading = published.files.iter().filter(|file| file.state == PluginState::Loading);
        let loading = loading.map(|file| file.file.clone()).collect();
        published.catalog = Arc::new(Catalog { types: claims.into_types(), folders, loading, secrets });
        self.tell_changes(&published);
        self.published.store(Arc::new(published));
        self.retire(&live);
        self.version.send_modify(|version| *version += 1);
    }

    fn shown(&self, key: &Key) -> String {
        self.folders.get(key.folder).map_or_else(|| key.name.clone(), |folder| folder.shown(&key.name))
    }

    /// One line in the log for each file whose state is news.
    fn tell_changes(&self, new: &Published) {
        let old = self.published.load();
        for info in &new.files {
            let known = old.files.iter().any(|before| {
                before.file == info.file && before.digest == info.digest && before.state == info.state
            });
            match &info.state {
                _ if known => {}
                PluginState::Loading => tracing::debug!(file = ?info.file, "plugin found"),
                PluginState::Ready { kind } => {
                    tracing::info!(file = ?info.file, r#type = %kind, "plugin ready")
                }
                PluginState::Refused { reason, hint } => {
                    tracing::warn!(file = ?info.file, ?reason, ?hint, "plugin refused");
                }
            }
        }
        for gone in old.files.iter().filter(|before| !new.files.iter().any(|info| info.file == before.file)) {
            tracing::info!(file = ?gone.file, "plugin gone");
        }
    }
}

/// Who serves what. The first to claim a type with a match has it.
#[derive(Default)]
struct Claims(IndexMap<String, Vec<Claim>>);

struct Claim {
    /// The file as the operator would write it.
    shown: String,
    provider: Arc<Provider>,
}

impl Claims {
    /// Gives the file that was first, where one was.
    fn claim(&mut self, shown: &str, provider: Arc<Provider>) -> Option<String> {
        let describe = &provider.describe;
        let claims = self.0.entry(describe.kind.clone()).or_default();
        let first = claims.iter().find(|claim| claim.provider.describe.matches == describe.matches);
        if let Some(first) = first {
            return Some(first.shown.clone());
        }
        claims.push(Claim { shown: shown.to_owned(), provider });
        None
    }

    /// With the most specific provider first, so that the first that fits is the right one.
    fn into_types(self) -> IndexMap<String, StepType> {
        let mut types: IndexMap<_, _> = self
            .0
            .into_iter()
            .map(|(kind, claims)| {
                let mut providers: Vec<_> = claims.into_iter().map(|claim| claim.provider).collect();
                providers.sort_by_key(|provider| Reverse(provider.describe.matches.len()));
                (kind, StepType { providers })
            })
            .collect();
        types.sort_unstable_keys();
        types
    }
}

fn info(shown: String, file: &File, lost_to: Option<String>) -> PluginInfo {
    let state = match (file.state(), lost_to) {
        (State::Ready(described), Some(winner)) => lost(described, &winner),
        (State::Ready(described), None) => PluginState::Ready { kind: described.describe.kind.clone() },
        (State::Loading, _) => PluginState::Loading,
        (State::Refused { refusal, .. }, _) => refused(refusal.clone()),
    };
    let digest = match file.state() {
        State::Ready(described) => Some(described.plugin.digest()),
        State::Refused { digest, .. } => digest,
        State::Loading => None,
    };
    let described = file.serves();
    let imports = described.map(|described| described.plugin.imports());
    PluginInfo {
        file: shown,
        digest,
        bytes: file.bytes(),
        imports: imports.map(|imports| imports.names().to_vec()).unwrap_or_default(),
        capabilities: imports.map(|imports| imports.capabilities()).unwrap_or_default(),
        state,
        describe: described.map(|described| Arc::clone(&described.describe)),
    }
}

fn lost(described: &Described, winner: &str) -> PluginState {
    let describe = &described.describe;
    let matching = match describe.matches.is_empty() {
        true => String::new(),
        false => format!(" for {}", Value::from_iter(describe.matches.clone())),
    };
    refused(
        Refusal::new(format!("`{}`{matching} is served by `{winner}` already", describe.kind))
            .with_hint("remove one of the two; files win in the order of the folders and of their names, and the built-ins come last"),
    )
}

pub(crate) fn refused(refusal: Refusal) -> PluginState {
    PluginState::Refused { reason: refusal.reason, hint: refusal.hint }
}
