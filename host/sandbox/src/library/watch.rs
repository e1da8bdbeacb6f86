//! The system's word that something changed in a folder. Only a hint to look: what changed is found by a scan.

use std::sync::Arc;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Library;

/// Watches as long as it lives.
pub(super) struct Watch {
    _watcher: Option<RecommendedWatcher>,
    complete: bool,
}

impl Watch {
    /// Watches every folder that is there. Where the system has no watches left, scans have to do.
    pub(super) fn start(library: &Arc<Library>) -> Self {
        let weak = Arc::downgrade(library);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too, and would make every scan the cause of the next.
            let matters = event.is_ok_and(|event| !event.kind.is_access());
            if let Some(library) = weak.upgrade().filter(|_| matters) {
                library.look_again.notify_one();
            }
        });
        match watcher {
            Ok(mut watcher) => {
                let complete = watch_all(&mut watcher, library);
                Self { _watcher: Some(watcher), complete }
            }
            Err(error) => {
                tracing::warn!(%error, "plugin folders are looked at every second, since they can not be watched");
                Self { _watcher: None, complete: false }
            }
        }
    }

    /// Whether every folder is watched.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }
}

/// Every folder, although one of them may fail; says whether none did.
fn watch_all(watcher: &mut RecommendedWatcher, library: &Library) -> bool {
    let mut complete = true;
    for folder in &library.folders {
        complete &= watcher.watch(folder.path(), RecursiveMode::NonRecursive).is_ok();
    }
    complete
}
