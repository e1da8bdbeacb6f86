//! Reads of claims, waits and kept events.

use std::ops::Bound;

use jiff::Timestamp;
use sled::{IVec, Tree};
use stepcell_core::{Digest, RunId, StepId};
use stepcell_store::{Error, KeptEvent, Looker, Taken, Waiter};

use super::{
    Reader,
    listing::{Page, paged},
};
use crate::{
    error,
    keys::{self, EventId, WaitId},
    signals::{self, Kept},
};

/// Where an event stands among those of its name.
type Place = (Timestamp, EventId);

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

    pub(crate) fn kept_event(&self, id: EventId) -> Result<Option<KeptEvent>, Error> {
        let found = self.kept(id)?;
        found.map_or(Ok(None), |kept| self.event_at((kept.at, id), |_| true))
    }

    /// Those that are still to be had of what came before the run, and then all that came since.
    pub(crate) fn kept_events(
        &self,
        name: &str,
        looker: Looker,
        after: Option<(Timestamp, String)>,
        limit: usize,
    ) -> Result<Vec<KeptEvent>, Error> {
        let after = after.map(|(at, id)| (at, EventId::new(name, &id)));
        let is_before = after.is_none_or(|(at, _)| at < looker.since);
        let mut events = if is_before { self.free_events(name, looker, after, limit)? } else { Vec::new() };
        let (first, last) = EventId::ends(name);
        let past = |(at, id): Place| Bound::Excluded(id.part(at, u16::MAX));
        let start = || Bound::Included(first.part(looker.since, 0));
        let mut from = after.filter(|_| !is_before).map_or_else(start, past);
        let last = Bound::Included(last.part(Timestamp::MAX, u16::MAX));
        while events.len() < limit {
            let next = self.tree.range((from, last)).keys().next();
            let Some(key) = next.transpose().map_err(|e| error::sled("read kept events", e))? else { break };
            let place = EventId::read_part(&key).ok_or_else(bad_key)?;
            events.extend(self.event_at(place, |kept| looker.may_have(kept.at, kept.taken))?);
            from = past(place);
        }
        Ok(events)
    }

    /// Events of before the run that it may have all the same.
    fn free_events(
        &self,
        name: &str,
        looker: Looker,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Vec<KeptEvent>, Error> {
        let (first, _) = EventId::ends(name);
        let is_free = |kept: &Kept| kept.at < looker.since && looker.may_have(kept.at, kept.taken);
        paged(limit, after, |from: Option<Place>, limit| {
            let mut page = Page::new(from, None);
            // In the order in which an event has them, so that one which is taken while this reads is found under at
            // least one.
            for taken in [Taken::Nobody, Taken::Run(looker.run)] {
                let (at, id) = from.unwrap_or((Timestamp::MIN, first));
                let (Some(start), Some(end)) = (id.free(taken, at), first.free(taken, looker.since)) else {
                    continue;
                };
                let start = if from.is_some() { Bound::Excluded(start) } else { Bound::Included(start) };
                let keys = self.tree.range((start, Bound::Excluded(end))).keys().take(limit);
                let keys: sled::Result<Vec<IVec>> = keys.collect();
                let keys = keys.map_err(|e| error::sled("look for free events", e))?;
                let places = keys.iter().map(|key| EventId::read_free(key).ok_or_else(bad_key));
                page.join(places.map(|place| Ok((place?, ()))).collect::<Result<_, Error>>()?, limit);
            }
            for (id, before) in self.view.overlay().events.iter().filter(|(id, _)| id.has_name_of(first)) {
                if let Some(before) = before.filter(is_free) {
                    page.correct((before.at, *id), Some(()));
                }
            }
            page.try_map(|place, ()| self.event_at(place, is_free))
        })
    }

    /// Whether the time of a kept event is over, so that a sweep need not bother the committer for nothing.
    pub(crate) fn any_event_over(&self, now: Timestamp) -> Result<bool, Error> {
        let (first, last) = keys::events_over_at(now);
        let first = self.tree.range(first.as_slice()..=last.as_slice()).next();
        Ok(first.transpose().map_err(|e| error::sled("look for events whose time is over", e))?.is_some())
    }

    /// The event of this time, if `admits` does; `None` as well for one that is not synced, or forgotten meanwhile.
    fn event_at(&self, (at, id): Place, admits: impl Fn(&Kept) -> bool) -> Result<Option<KeptEvent>, Error> {
        let of_then = |kept: &Kept| kept.at == at;
        let Some(kept) = self.kept(id)?.filter(of_then).filter(admits) else { return Ok(None) };
        let mut rows = self.tree.range(id.part(at, 0)..=id.part(at, u16::MAX));
        match self.whole(&mut rows, || "a kept event".to_owned()) {
            Ok(Some(bytes)) => signals::kept_event(&bytes, kept.taken).map(Some),
            Err(Error::Damaged { .. }) | Ok(None)
                if !kept_in(&self.tree, id)?.is_some_and(|now| of_then(&now)) =>
            {
                Ok(None)
            }
            Ok(None) => Err(error::damaged("a kept event", &"its parts are missing")),
            Err(error) => Err(error),
        }
    }

    fn kept(&self, id: EventId) -> Result<Option<Kept>, Error> {
        let found = kept_in(&self.tree, id)?;
        Ok(self.view.overlay().events.get(&id).copied().unwrap_or(found))
    }
}

fn bad_key() -> Error {
    error::damaged("a kept event", &"its key can not be read")
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
