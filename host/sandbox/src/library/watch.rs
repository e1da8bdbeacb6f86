//! The system's word that something changed in a folder. Only a hint to look: what changed is found by a scan.

use std::sync::Arc;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Library;

/// Watches as long as it lives.
pub(super) struct Watch {
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches every folder that is there. Where the system has no watches left, regular scans have to do.
    pub(super) fn start(library: &Arc<Library>) -> Self {
        let weak = Arc::downgrade(library);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too, and would make every scan the cause of the next.
            let matters = event.is_ok_and(|event| !event.kind.is_access());
            if let Some(library) = weak.upgrade().filter(|_| matters) {
                library.look_again.notify_one();
            }
        });
        let watcher = watcher.and_then(|watcher| watch_all(watcher, library));
        if let Err(error) = &watcher {
            tracing::debug!(%error, "not every plugin folder can be watched; changes are found by looking");
        }
        Self { _watcher: watcher.ok() }
    }
}

fn watch_all(mut watcher: RecommendedWatcher, library: &Library) -> notify::Result<RecommendedWatcher> {
    for folder in library.folders.iter().filter(|folder| folder.path().is_dir()) {
        watcher.watch(folder.path(), RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}
