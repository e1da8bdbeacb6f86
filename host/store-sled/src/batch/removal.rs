//! What goes: runs, what they held, and holds whose time is over.

use jiff::Timestamp;
use sled::IVec;
use stepcell_core::RunId;
use stepcell_store::{Error, Hold, Timer};

use super::{Base, Batch};
use crate::{error, keys, write::Change};

/// Rows of events that are cleared away at a time. With [`HOLDS_PER_CLEAR`], keeps a batch as small as
/// [`Write::log_bytes`](crate::write::Write::log_bytes) says.
const EVENTS_PER_CLEAR: usize = 1024;
/// Holds that end at a time; each may take a blob of up to 17 rows with it.
const HOLDS_PER_CLEAR: usize = 32;

impl Batch {
    /// Takes a run out of sight. What it had is cleared away later, bit by bit: it may be more than a batch takes,
    /// and until the sync it can still be read.
    pub(super) fn remove(&mut self, run: RunId, base: &Base<'_>) -> Result<bool, Error> {
        let Some(before) = self.summary(run, base)? else { return Ok(false) };
        if !before.status.is_final() {
            return Err(Error::Unfinished { run, status: before.status });
        }
        self.reindex(run, Some(&before), None);
        self.changes.remove(&keys::run(run));
        self.changes.insert(&keys::removed(run), &[]);
        self.overlay.runs.entry(run).or_insert(Some(before));
        self.runs.insert(run, None);
        self.changed = true;
        Ok(true)
    }

    /// Takes away a part of what a removed run had; gives whether there is more. Of a run that is there, it only
    /// takes the mark away that there may be none.
    pub(super) fn clear(&mut self, run: RunId, base: &Base<'_>) -> Result<bool, Error> {
        if self.summary(run, base)?.is_none() {
            let events = base.tree.range(keys::events(run, 0, 0)..=keys::events(run, u64::MAX, u16::MAX));
            let events = keys_of(events.keys().take(EVENTS_PER_CLEAR))?;
            let held =
                keys_of(base.tree.scan_prefix(keys::all_of_run(run)).keys().take(HOLDS_PER_CLEAR + 1))?;
            let more = events.len() == EVENTS_PER_CLEAR || held.len() > HOLDS_PER_CLEAR;
            for digest in held.iter().take(HOLDS_PER_CLEAR).filter_map(|key| keys::held_digest(key)) {
                self.holds.look_up_end(digest, Hold::Run(run), base.tree)?;
                self.holds.release(digest, Hold::Run(run));
            }
            events.into_iter().for_each(|key| self.changes.remove(key));
            self.changed = true;
            if more {
                return Ok(true);
            }
        }
        for key in [keys::removed(run), keys::early(run)] {
            if base.tree.contains_key(key).map_err(|e| error::sled("look up a removed run", e))? {
                self.changes.remove(&key);
                self.changed = true;
            }
        }
        Ok(false)
    }

    /// Ends some of the holds that are over; gives whether there are more.
    pub(super) fn expire(&mut self, now: Timestamp, base: &Base<'_>) -> Result<bool, Error> {
        let (first, last) = keys::over_at(now);
        let over = base.tree.range(first.as_slice()..=last.as_slice());
        let over = keys_of(over.keys().take(HOLDS_PER_CLEAR + 1))?;
        for key in over.iter().take(HOLDS_PER_CLEAR) {
            if let Some((until, digest)) = keys::read_until(key) {
                self.holds.look_up_end(digest, Hold::Until(until), base.tree)?;
                self.holds.release(digest, Hold::Until(now));
            }
            self.changes.remove(key);
            self.changed = true;
        }
        Ok(over.len() > HOLDS_PER_CLEAR)
    }

    /// Clears those of these timers whose runs are not there.
    pub(super) fn orphans(&mut self, timers: Vec<Timer>, base: &Base<'_>) -> Result<(), Error> {
        for timer in timers {
            if self.summary(timer.run, base)?.is_none() {
                let changes = self.changed_timers(vec![(timer, Change::Clear)], base)?;
                self.timers.extend(changes);
                self.changed = true;
            }
        }
        Ok(())
    }
}

fn keys_of(keys: impl Iterator<Item = sled::Result<IVec>>) -> Result<Vec<IVec>, Error> {
    let keys: sled::Result<Vec<IVec>> = keys.collect();
    keys.map_err(|e| error::sled("read what is to be removed", e))
}
