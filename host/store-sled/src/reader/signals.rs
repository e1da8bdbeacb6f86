//! Reads of claims, waits and kept events.

use std::ops::Bound;

use jiff::Timestamp;
use sled::{IVec, Tree};
use stepcell_core::{Digest, RunId, StepId};
use stepcell_store::{Error, KeptEvent, Waiter};

use super::{
    Reader,
    listing::{Page, paged},
};
use crate::{
    error,
    keys::{self, EventId, WaitId},
    parts::{self, Head},
    signals::{self, Kept},
};

impl Reader {
    pub(crate) fn claimed(&self, key: Digest) -> Result<Option<(RunId, Digest)>, Error> {
        let found = claimed_in(&self.tree, key)?;
        Ok(self.view.overlay().claims.get(&key).copied().unwrap_or(found))
    }

    pub(crate) fn waits(
        &self,
        name: &str,
        after: Option<(RunId, StepId)>,
        limit: usize,
    ) -> Result<Vec<Waiter>, Error> {
        let (first, last) = WaitId::ends(name);
        let after = after.map(|(run, step)| WaitId::new(name, run, &step));
        paged(limit, after, |from: Option<WaitId>, limit| {
            let start = from.map_or(Bound::Included(first.key()), |from| Bound::Excluded(from.key()));
            let rows = self.tree.range((start, Bound::Included(last.key()))).take(limit);
            let rows: sled::Result<Vec<_>> = rows.collect();
            let rows = rows.map_err(|e| error::sled("read who waits", e))?;
            let until = rows.last().filter(|_| rows.len() == limit).and_then(|(key, _)| WaitId::read(key));
            let mut page = Page::new(from, until);
            for (key, row) in rows {
                let id =
                    WaitId::read(&key).ok_or_else(|| error::damaged("a wait", &"its key can not be read"))?;
                page.rows.insert(id, signals::waiter(id.run, &row)?);
            }
            for (id, before) in self.view.overlay().waits.range(first..=last) {
                let before = before.as_ref().map(|row| signals::waiter(id.run, row)).transpose()?;
                page.correct(*id, before);
            }
            Ok(page)
        })
    }

    pub(crate) fn kept_events(
        &self,
        name: &str,
        after: Option<(Timestamp, String)>,
        limit: usize,
    ) -> Result<Vec<KeptEvent>, Error> {
        let (first, last) = EventId::ends(name);
        let past = |id: EventId, at| Bound::Excluded(id.part(at, u16::MAX));
        let mut from = after.map_or(Bound::Included(first), |(at, id)| past(EventId::new(name, &id), at));
        let mut events = Vec::new();
        while events.len() < limit {
            let next = self.tree.range((from, Bound::Included(last))).next();
            let Some((key, first)) = next.transpose().map_err(|e| error::sled("read kept events", e))? else {
                break;
            };
            let (id, at) = EventId::read_part(&key)
                .ok_or_else(|| error::damaged("a kept event", &"its key can not be read"))?;
            events.extend(self.kept_event(id, at, &first)?);
            from = past(id, at);
        }
        Ok(events)
    }

    /// Whether the time of a kept event is over, so that a sweep need not bother the committer for nothing.
    pub(crate) fn any_event_over(&self, now: Timestamp) -> Result<bool, Error> {
        let (first, last) = keys::events_over_at(now);
        let first = self.tree.range(first.as_slice()..=last.as_slice()).next();
        Ok(first.transpose().map_err(|e| error::sled("look for events whose time is over", e))?.is_some())
    }

    /// The event that begins with this part; `None` for one that is not synced, or forgotten meanwhile.
    fn kept_event(&self, id: EventId, at: Timestamp, first: &[u8]) -> Result<Option<KeptEvent>, Error> {
        let bytes = self.parts_of(id, at, first)?;
        let found = kept_in(&self.tree, id)?;
        let kept = self.view.overlay().events.get(&id).copied().unwrap_or(found);
        match (kept.filter(|kept| kept.at == at), bytes) {
            (None, _) => Ok(None),
            (Some(kept), Some(bytes)) => signals::kept_event(&bytes, kept.taken).map(Some),
            // What is forgotten goes whole, so that the row was read before that or it would be gone as well.
            (Some(_), None) if kept_in(&self.tree, id)?.is_none() => Ok(None),
            (Some(_), None) => Err(error::damaged("a kept event", &"a part of it is missing")),
        }
    }

    fn parts_of(&self, id: EventId, at: Timestamp, first: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Some(Head::Inline { here, more, .. }) = parts::head(first) else { return Ok(None) };
        let mut whole = here.to_vec();
        for part in 1..=more {
            let found = self.tree.get(id.part(at, part)).map_err(|e| error::sled("read a kept event", e))?;
            let Some(found) = found else { return Ok(None) };
            whole.extend_from_slice(&found);
        }
        Ok(Some(whole))
    }
}

/// The run that has a key, as it is in the tree, synced or not.
pub(crate) fn claimed_in(tree: &Tree, key: Digest) -> Result<Option<(RunId, Digest)>, Error> {
    let Some(row) = tree.get(keys::claim(key)).map_err(|e| error::sled("look up a claim", e))? else {
        return Ok(None);
    };
    let read = || {
        let (run, body) = row.split_first_chunk()?;
        Some((RunId::from_bytes(*run), Digest::from_bytes(body.try_into().ok()?)))
    };
    read().map(Some).ok_or_else(|| error::damaged("a claim", &"its row can not be read"))
}

/// The digest of the key under which a run was submitted, as it is in the tree, synced or not.
pub(crate) fn key_of_run(tree: &Tree, run: RunId) -> Result<Option<Digest>, Error> {
    let Some(key) = tree.get(keys::claim_of_run(run)).map_err(|e| error::sled("look up a claim", e))? else {
        return Ok(None);
    };
    let key = key.as_ref().try_into().map(Digest::from_bytes);
    key.map(Some).map_err(|_| error::damaged(format_args!("the key of run {run}"), &"it is no digest"))
}

/// What changes of an event, as it is in the tree, synced or not.
pub(crate) fn kept_in(tree: &Tree, id: EventId) -> Result<Option<Kept>, Error> {
    let row = tree.get(id.key()).map_err(|e| error::sled("look up an event", e))?;
    row.map(|row: IVec| Kept::decode(&row)).transpose()
}
