//! What readers are to see, where that is not what is in the tree.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use parking_lot::Mutex;
use sled::IVec;
use stepcell_core::{Digest, RunId};
use stepcell_store::{Error, RunSummary, Timer};

use crate::{
    error,
    keys::{EventId, WaitId},
    signals::Kept,
};

/// Entries of one generation. Bounds the memory for runs that are over: twice as many, of less than half a
/// kilobyte each.
const GENERATION_MAX: usize = 8192;

/// The batch that is in the tree but not yet synced, as what was before it.
#[derive(Default)]
pub(crate) struct Overlay {
    /// The runs that it changes, with their summaries of before.
    pub(crate) runs: HashMap<RunId, Option<RunSummary>>,
    /// Timers that it sets.
    pub(crate) set: BTreeSet<Timer>,
    /// Timers that it clears.
    pub(crate) cleared: BTreeSet<Timer>,
    /// Blobs that it adds.
    pub(crate) blobs: HashSet<Digest>,
    /// The keys of submissions that it takes or frees, with who had them before.
    pub(crate) claims: HashMap<Digest, Option<(RunId, Digest)>>,
    /// The waits that it changes, with their rows of before.
    pub(crate) waits: BTreeMap<WaitId, Option<IVec>>,
    /// The events that it adds, or whose taker it notes, as they were before. None of those that it forgets: their
    /// time is over, synced or not.
    pub(crate) events: HashMap<EventId, Option<Kept>>,
}

/// What is counted in each batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Commits since the store was made.
    pub(crate) commits: u64,
    /// Runs that are there and have ended.
    pub(crate) finished: u64,
}

impl Counts {
    pub(crate) fn encode(self) -> [u8; 16] {
        let mut row = [0; 16];
        let (commits, finished) = row.split_at_mut(8);
        commits.copy_from_slice(&self.commits.to_be_bytes());
        finished.copy_from_slice(&self.finished.to_be_bytes());
        row
    }

    pub(crate) fn decode(row: &[u8]) -> Result<Self, Error> {
        let read = || {
            let (commits, finished) = row.split_first_chunk()?;
            let finished = finished.try_into().ok()?;
            Some(Self { commits: u64::from_be_bytes(*commits), finished: u64::from_be_bytes(finished) })
        };
        read().ok_or_else(|| error::damaged("the number of commits", &"its row does not have 16 bytes"))
    }
}

/// What is synced, for those who read while a sync goes on.
pub(crate) struct View(Mutex<Synced>);

#[derive(Default)]
struct Synced {
    overlay: Arc<Overlay>,
    finished: u64,
    heads: Generations<RunId, RunSummary>,
}

/// A summary, as far as it is known without the disk.
pub(crate) enum Known {
    Is(Option<RunSummary>),
    Unknown,
}

impl View {
    /// For a store in which so many runs have ended.
    pub(crate) fn new(finished: u64) -> Self {
        Self(Mutex::new(Synced { finished, ..Synced::default() }))
    }

    /// How many runs there are that have ended.
    pub(crate) fn finished(&self) -> u64 {
        self.0.lock().finished
    }

    /// To be looked at after the tree was read. A batch that was in the tree without being synced is then either
    /// still in here, or it has been synced meanwhile.
    pub(crate) fn overlay(&self) -> Arc<Overlay> {
        Arc::clone(&self.0.lock().overlay)
    }

    pub(crate) fn summary(&self, run: RunId) -> Known {
        let mut synced = self.0.lock();
        if let Some(before) = synced.overlay.runs.get(&run) {
            return Known::Is(before.clone());
        }
        match synced.heads.get(&run) {
            Some(summary) => Known::Is(Some(summary.clone())),
            None => Known::Unknown,
        }
    }

    /// Hides a batch; called before it goes into the tree.
    pub(crate) fn begin(&self, overlay: Overlay) {
        self.0.lock().overlay = Arc::new(overlay);
    }

    /// Shows the batch, which is synced now and has left the runs like this, so many of them ended.
    pub(crate) fn end(&self, runs: HashMap<RunId, Option<RunSummary>>, finished: u64) {
        let mut synced = self.0.lock();
        synced.finished = finished;
        synced.overlay = Arc::default();
        for (run, summary) in runs {
            match summary {
                Some(summary) => synced.heads.insert(run, summary),
                None => synced.heads.remove(&run),
            }
        }
    }
}

/// A map of bounded size that forgets what was not used for long: when the newer half is full it becomes the
/// older one, and what was in the older one is gone.
pub(crate) struct Generations<K, V> {
    newer: HashMap<K, V>,
    older: HashMap<K, V>,
}

impl<K, V> Default for Generations<K, V> {
    fn default() -> Self {
        Self { newer: HashMap::new(), older: HashMap::new() }
    }
}

impl<K: Eq + Hash + Copy, V> Generations<K, V> {
    pub(crate) fn get(&mut self, key: &K) -> Option<&V> {
        if let Some(value) = self.older.remove(key) {
            self.insert(*key, value);
        }
        self.newer.get(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.newer.len() >= GENERATION_MAX && !self.newer.contains_key(&key) {
            self.older = std::mem::take(&mut self.newer);
        }
        self.older.remove(&key);
        self.newer.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) {
        self.newer.remove(key);
        self.older.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_kept_and_the_rest_is_bounded() {
        let mut map = Generations::default();
        for key in 0..10 * GENERATION_MAX {
            map.insert(key, key);
            assert_eq!(map.get(&0), Some(&0), "forgotten after {key}");
        }
        assert!(map.newer.len() <= GENERATION_MAX && map.older.len() <= GENERATION_MAX);
        assert_eq!(map.get(&1), None);
    }
}
