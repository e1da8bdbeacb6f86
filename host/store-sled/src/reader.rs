//! Reads of the tree. All of it may wait for the disk.

mod listing;
mod signals;

use std::{ops::Bound, sync::Arc};

use bytes::Bytes;
use sled::{IVec, Iter, Tree};
use stepcell_core::{Digest, Event, RunId};
use stepcell_store::{Error, RunSummary};

use crate::{
    error,
    files::{self, Files},
    holds, keys, pack,
    parts::{self, Head},
    summary,
    view::{Known, View},
};

pub(crate) use signals::{claimed_in, kept_in, key_of_run};

/// Reads the tree, then looks at the overlay: never the other way round, see [`View::overlay`].
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) tree: Tree,
    pub(crate) files: Arc<Files>,
    pub(crate) view: Arc<View>,
}

impl Reader {
    pub(crate) fn summary(&self, run: RunId) -> Result<Option<RunSummary>, Error> {
        let found = summary_in(&self.tree, run)?;
        match self.view.summary(run) {
            Known::Is(summary) => Ok(summary),
            Known::Unknown => Ok(found),
        }
    }

    pub(crate) fn events(&self, run: RunId, after: u64, limit: usize) -> Result<Vec<Event>, Error> {
        match self.whole_events(run, after, limit) {
            // The run was removed while this was reading.
            Err(Error::Damaged { .. }) if self.summary(run)?.is_none() => Ok(Vec::new()),
            events => events,
        }
    }

    pub(crate) fn blob(&self, digest: Digest) -> Result<Option<Bytes>, Error> {
        if !self.has_blob(digest)? {
            return Ok(None);
        }
        match self.bytes(digest) {
            // The blob was removed while this was reading.
            Err(Error::Damaged { .. }) if !self.has_blob(digest)? => Ok(None),
            bytes => bytes.map(Some),
        }
    }

    pub(crate) fn has_blob(&self, digest: Digest) -> Result<bool, Error> {
        let found = holds::has(&self.tree, digest)?;
        Ok(found && !self.view.overlay().blobs.contains(&digest))
    }

    pub(crate) fn blobs_of(
        &self,
        run: RunId,
        after: Option<Digest>,
        limit: usize,
    ) -> Result<Vec<Digest>, Error> {
        let held = match after {
            None => self.tree.scan_prefix(keys::all_of_run(run)),
            Some(after) => {
                let last = keys::of_run(run, Digest::from_bytes([u8::MAX; 32]));
                self.tree.range((Bound::Excluded(keys::of_run(run, after)), Bound::Included(last)))
            }
        };
        let digest = |key: sled::Result<IVec>| {
            let key = key.map_err(|e| error::sled("read what a run holds", e))?;
            keys::held_digest(&key)
                .ok_or_else(|| error::damaged(format_args!("run {run}"), &"a hold has no digest"))
        };
        held.keys().take(limit).map(digest).collect()
    }

    fn bytes(&self, digest: Digest) -> Result<Bytes, Error> {
        let what = || format!("blob `{digest}`");
        let mut rows = self.tree.range(keys::blob(digest, 0)..=keys::blob(digest, u16::MAX));
        match self.whole(&mut rows, what)? {
            Some(bytes) => files::check(digest, &bytes).map(|()| bytes),
            None => self.files.get(digest)?.ok_or_else(|| error::damaged(what(), &"its file is missing")),
        }
    }

    fn whole_events(&self, run: RunId, after: u64, limit: usize) -> Result<Vec<Event>, Error> {
        let before = || self.view.overlay().runs.get(&run).cloned().flatten();
        // A removal that is not synced has taken the summary away, and nothing else.
        let Some(summary) = summary_in(&self.tree, run)?.or_else(before) else { return Ok(Vec::new()) };
        let mut events = self.stored_events(run, after, limit)?;
        // Read before the events were, so that they are there up to this one at least.
        let last = events.last().map_or(after, |event| event.seq);
        if events.len() < limit && last < summary.seq {
            let reason = format!("event {} is missing, the last one is {}", last + 1, summary.seq);
            return Err(error::damaged(format_args!("run {run}"), &reason));
        }
        if let Some(before) = self.view.overlay().runs.get(&run) {
            let synced = before.as_ref().map_or(0, |before| before.seq);
            events.retain(|event| event.seq <= synced);
        }
        Ok(events)
    }

    /// Events as they are in the tree, synced or not.
    fn stored_events(&self, run: RunId, after: u64, limit: usize) -> Result<Vec<Event>, Error> {
        let Some(first) = after.checked_add(1) else { return Ok(Vec::new()) };
        let what = || format!("run {run}");
        let mut rows = self.tree.range(keys::events(run, first, 0)..=keys::events(run, u64::MAX, u16::MAX));
        let mut events: Vec<Event> = Vec::new();
        while events.len() < limit {
            let Some(bytes) = self.whole(&mut rows, what)? else { break };
            let appended: Vec<Event> =
                serde_json::from_slice(&bytes).map_err(|e| error::damaged(what(), &e))?;
            for event in appended.into_iter().filter(|event| event.seq > after).take(limit - events.len()) {
                let expected = events.last().map_or(first, |last| last.seq + 1);
                if event.seq != expected {
                    return Err(error::damaged(
                        what(),
                        &format!("event {expected} is missing, {} follows", event.seq),
                    ));
                }
                events.push(event);
            }
        }
        Ok(events)
    }

    /// Takes the next thing that was stored in parts, with all of its parts.
    fn whole(&self, rows: &mut Iter, what: impl Fn() -> String) -> Result<Option<Bytes>, Error> {
        let mut next = || rows.next().transpose().map_err(|e| error::sled("read the store", e));
        let Some((_, first)) = next()? else { return Ok(None) };
        match parts::head(&first) {
            Some(Head::Inline { here, more, size }) => {
                let mut whole = here.to_vec();
                for _ in 0..more {
                    let (_, part) = next()?.ok_or_else(|| error::damaged(what(), &"its end is missing"))?;
                    whole.extend_from_slice(&part);
                }
                let unpacked = match size {
                    None => Some(whole),
                    Some(size) => pack::unpack(&whole, size),
                };
                let damaged = || error::damaged(what(), &"it can not be unpacked");
                unpacked.map(|bytes| Some(Bytes::from(bytes))).ok_or_else(damaged)
            }
            Some(Head::InFile(digest)) => match self.files.get(digest)? {
                Some(bytes) => Ok(Some(bytes)),
                None => Err(error::damaged(what(), &format!("its blob `{digest}` is missing"))),
            },
            None => Err(error::damaged(what(), &"it does not start like anything that the store writes")),
        }
    }
}

/// How many parts there are of what begins there; 0 where it is in a file, or where there is nothing.
pub(crate) fn parts_in(tree: &Tree, first: impl AsRef<[u8]>) -> Result<u16, Error> {
    let first = tree.get(first).map_err(|e| error::sled("read the store", e))?;
    match first.as_deref().and_then(parts::head) {
        Some(Head::Inline { more, .. }) => Ok(more.saturating_add(1)),
        Some(Head::InFile(_)) | None => Ok(0),
    }
}

/// A run's summary as it is in the tree, synced or not.
pub(crate) fn summary_in(tree: &Tree, run: RunId) -> Result<Option<RunSummary>, Error> {
    let Some(bytes) = tree.get(keys::run(run)).map_err(|e| error::sled("read a run", e))? else {
        return Ok(None);
    };
    let damaged = || error::damaged(format_args!("the summary of run {run}"), &"its row can not be read");
    summary::decode(&bytes).map(Some).ok_or_else(damaged)
}
