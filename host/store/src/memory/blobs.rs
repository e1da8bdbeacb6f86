//! Blobs in memory, and who holds them.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
};

use bytes::Bytes;
use jiff::Timestamp;
use stepcell_core::{Digest, RunId};

use crate::{BlobRef, Error, Hold};

#[derive(Default)]
pub(super) struct Blobs {
    by_digest: HashMap<Digest, Blob>,
    by_run: HashMap<RunId, BTreeSet<Digest>>,
}

struct Blob {
    bytes: Bytes,
    /// How many runs hold it.
    runs: usize,
    until: Option<Timestamp>,
}

impl Blobs {
    /// Keeps bytes; gives whether they are new.
    pub(super) fn put(&mut self, digest: Digest, bytes: Bytes, hold: Hold) -> bool {
        let is_new = !self.by_digest.contains_key(&digest);
        let blob = self.by_digest.entry(digest).or_insert(Blob { bytes, runs: 0, until: None });
        match hold {
            Hold::Until(until) => blob.until = blob.until.max(Some(until)),
            Hold::Run(run) => {
                if self.by_run.entry(run).or_default().insert(digest) {
                    blob.runs += 1;
                }
            }
        }
        is_new
    }

    pub(super) fn get(&self, digest: Digest) -> Option<&Bytes> {
        self.by_digest.get(&digest).map(|blob| &blob.bytes)
    }

    pub(super) fn of_run(&self, run: RunId, after: Option<Digest>, limit: usize) -> Vec<Digest> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let held = self.by_run.get(&run).into_iter();
        held.flat_map(|held| held.range((from, Bound::Unbounded))).take(limit).copied().collect()
    }

    /// Fails for a blob that is not there and does not come with its bytes.
    pub(super) fn check(&self, refs: &[BlobRef]) -> Result<(), Error> {
        let missing = refs.iter().find(|blob| blob.bytes.is_none() && self.get(blob.digest).is_none());
        missing.map_or(Ok(()), |blob| Err(Error::BlobMissing { digest: blob.digest }))
    }

    /// Lets the run hold blobs that [`check`](Self::check) has passed.
    pub(super) fn hold(&mut self, run: RunId, refs: Vec<BlobRef>) {
        for BlobRef { digest, bytes } in refs {
            if let Some(bytes) = bytes.or_else(|| self.get(digest).cloned()) {
                self.put(digest, bytes, Hold::Run(run));
            }
        }
    }

    /// The run is gone.
    pub(super) fn release(&mut self, run: RunId) {
        for digest in self.by_run.remove(&run).unwrap_or_default() {
            if let Some(blob) = self.by_digest.get_mut(&digest) {
                blob.runs = blob.runs.saturating_sub(1);
                if blob.runs == 0 && blob.until.is_none() {
                    self.by_digest.remove(&digest);
                }
            }
        }
    }

    /// Ends the holds whose time is over.
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.by_digest.retain(|_, blob| {
            blob.until = blob.until.filter(|until| *until > now);
            blob.runs > 0 || blob.until.is_some()
        });
    }
}
