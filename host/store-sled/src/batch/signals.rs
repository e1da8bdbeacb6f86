//! Claims, waits and kept events.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use sled::{IVec, Tree};
use stepcell_core::{Digest, RunId};
use stepcell_store::{Error, Taken};

use super::{Base, Batch, ROWS_PER_CLEAR, keys_of};
use crate::{
    changes::Changes,
    error,
    keys::{self, EventId, WaitId},
    reader,
    signals::Kept,
    view::Overlay,
    write::ClaimWrite,
};

/// Rows that an event has beside its parts.
const ROWS_BESIDE_PARTS: usize = 3;

/// Part of a batch: what it leaves the rows like that it has looked up.
#[derive(Default)]
pub(super) struct Signals {
    claims: HashMap<Digest, Option<(RunId, Digest)>>,
    /// The keys that it lets runs have.
    keys: HashMap<RunId, Digest>,
    waits: BTreeMap<WaitId, Wait>,
    events: HashMap<EventId, Option<Kept>>,
    /// The events that it keeps: none of their rows are in the tree.
    new_events: HashSet<EventId>,
}

/// The row of a wait, as the tree has it and as the batch leaves it.
pub(super) struct Wait {
    before: Option<IVec>,
    now: Option<IVec>,
}

impl Signals {
    /// Takes in waits that were looked up.
    pub(super) fn set_waits(&mut self, waits: Vec<(WaitId, Wait)>) {
        self.waits.extend(waits);
    }

    /// Writes the changes of waits down.
    pub(super) fn seal(self, changes: &mut Changes, overlay: &mut Overlay) {
        for (id, Wait { before, now }) in self.waits {
            if before == now {
                continue;
            }
            match now {
                Some(row) => {
                    changes.insert(id.key().as_slice(), row);
                    changes.insert(id.of_run().as_slice(), &[]);
                }
                None => {
                    changes.remove(id.key().as_slice());
                    changes.remove(id.of_run().as_slice());
                }
            }
            overlay.waits.insert(id, before);
        }
    }
}

impl Batch {
    /// Fails where another run has the key.
    pub(super) fn check_claim(&self, claim: Option<&ClaimWrite>, base: &Base<'_>) -> Result<(), Error> {
        let Some(ClaimWrite { key, .. }) = claim else { return Ok(()) };
        let claimed = match self.signals.claims.get(key) {
            Some(claimed) => *claimed,
            None => reader::claimed_in(base.tree, *key)?,
        };
        claimed.map_or(Ok(()), |(run, body)| Err(Error::Claimed { run, body }))
    }

    /// Lets the run have a key that is free.
    pub(super) fn claim(&mut self, run: RunId, ClaimWrite { key, body }: ClaimWrite) {
        self.changes
            .insert(keys::claim(key).as_slice(), [run.as_bytes().as_slice(), body.as_bytes()].concat());
        self.changes.insert(&keys::claim_of_run(run), key.as_bytes());
        self.signals.keys.insert(run, key);
        self.set_claim(key, Some((run, body)), None);
    }

    /// The key of a run that goes is free again.
    pub(super) fn release_claim(&mut self, run: RunId, base: &Base<'_>) -> Result<(), Error> {
        let key = match self.signals.keys.remove(&run) {
            Some(key) => Some(key),
            None => reader::key_of_run(base.tree, run)?,
        };
        let Some(key) = key else { return Ok(()) };
        let before = reader::claimed_in(base.tree, key)?;
        self.changes.remove(keys::claim(key).as_slice());
        self.changes.remove(&keys::claim_of_run(run));
        self.set_claim(key, None, before);
        Ok(())
    }

    /// Reads what waits are like before they change.
    pub(super) fn changed_waits(
        &self,
        changes: Vec<(WaitId, Option<IVec>)>,
        tree: &Tree,
    ) -> Result<Vec<(WaitId, Wait)>, Error> {
        let looked_up = changes.into_iter().map(|(id, now)| {
            let before = match self.signals.waits.get(&id) {
                Some(wait) => wait.before.clone(),
                None => tree.get(id.key()).map_err(|e| error::sled("look up a wait", e))?,
            };
            Ok((id, Wait { before, now }))
        });
        looked_up.collect()
    }

    /// Keeps an event; gives whether it is new.
    pub(super) fn put_event(
        &mut self,
        id: EventId,
        kept: Kept,
        rows: Vec<IVec>,
        base: &Base<'_>,
    ) -> Result<bool, Error> {
        if self.kept(id, base.tree)?.is_some() {
            return Ok(false);
        }
        self.put_rows(rows, |part| IVec::from(id.part(kept.at, part).as_slice()));
        self.changes.insert(id.by_until(kept.until).as_slice(), &[]);
        self.set_event(id, kept);
        self.signals.new_events.insert(id);
        // Also where one of before has gone in this batch: that one's time was over.
        self.overlay.events.insert(id, None);
        Ok(true)
    }

    /// Notes whom an event has woken, if it has woken nobody yet.
    pub(super) fn take_event(&mut self, id: EventId, by: Taken, base: &Base<'_>) -> Result<bool, Error> {
        let Some(kept) = self.kept(id, base.tree)?.filter(|kept| kept.taken.admits(by)) else {
            return Ok(false);
        };
        if kept.taken != by {
            self.not_free(id, kept);
            self.set_event(id, Kept { taken: by, ..kept });
            self.overlay.events.entry(id).or_insert(Some(kept));
        }
        Ok(true)
    }

    /// Forgets some of the events whose time is over; gives whether there are more.
    pub(super) fn forget(&mut self, now: Timestamp, base: &Base<'_>) -> Result<bool, Error> {
        let (first, last) = keys::events_over_at(now);
        let over = base.tree.range(first.as_slice()..=last.as_slice());
        let over = keys_of(over.keys().take(ROWS_PER_CLEAR + 1))?;
        let mut left = ROWS_PER_CLEAR;
        for key in &over {
            let id = EventId::read_by_until(key);
            // The one that this batch keeps is another one than that whose time is over.
            if id.is_some_and(|id| self.signals.new_events.contains(&id)) {
                continue;
            }
            let parts = id.map_or(Ok(Some(0)), |id| self.forget_one(id, left, base))?;
            let Some(parts) = parts else { return Ok(true) };
            left = left.saturating_sub(parts + ROWS_BESIDE_PARTS);
            self.changes.remove(key);
            self.changed = true;
        }
        Ok(over.len() > ROWS_PER_CLEAR)
    }

    /// Gives how many parts the event had; `None` where those are too many for what is left of the batch.
    fn forget_one(&mut self, id: EventId, left: usize, base: &Base<'_>) -> Result<Option<usize>, Error> {
        let Some(kept) = self.kept(id, base.tree)? else { return Ok(Some(0)) };
        let parts = reader::parts_in(base.tree, id.part(kept.at, 0))?;
        if usize::from(parts) + ROWS_BESIDE_PARTS > left {
            return Ok(None);
        }
        (0..parts).for_each(|part| self.changes.remove(id.part(kept.at, part).as_slice()));
        self.changes.remove(id.key().as_slice());
        self.not_free(id, kept);
        self.signals.events.insert(id, None);
        Ok(Some(usize::from(parts)))
    }

    /// An event, as far as the batch has come.
    fn kept(&self, id: EventId, tree: &Tree) -> Result<Option<Kept>, Error> {
        match self.signals.events.get(&id) {
            Some(kept) => Ok(*kept),
            None => reader::kept_in(tree, id),
        }
    }

    fn set_event(&mut self, id: EventId, kept: Kept) {
        self.changes.insert(id.key().as_slice(), kept.encode());
        if let Some(key) = id.free(kept.taken, kept.at) {
            self.changes.insert(key.as_slice(), &[]);
        }
        self.signals.events.insert(id, Some(kept));
        self.changed = true;
    }

    /// Takes away the row of before by which those find an event who may have it.
    fn not_free(&mut self, id: EventId, before: Kept) {
        if let Some(key) = id.free(before.taken, before.at) {
            self.changes.remove(key.as_slice());
        }
    }

    fn set_claim(&mut self, key: Digest, now: Option<(RunId, Digest)>, before: Option<(RunId, Digest)>) {
        self.signals.claims.insert(key, now);
        self.overlay.claims.entry(key).or_insert(before);
    }
}
