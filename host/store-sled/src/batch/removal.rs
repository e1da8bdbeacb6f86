//! What goes: runs, what they held, and holds whose time is over.

use jiff::Timestamp;
use sled::IVec;
use stepcell_core::RunId;
use stepcell_store::{Error, Hold, Timer};

use super::{Base, Batch};
use crate::{
    error,
    keys::{self, WaitId},
    write::Change,
};

/// Rows that are cleared away at a time, about. Keeps a batch as small as
/// [`Write::log_bytes`](crate::write::Write::log_bytes) says.
pub(super) const ROWS_PER_CLEAR: usize = 1024;
/// Rows of a wait.
const ROWS_PER_WAIT: usize = 2;
/// Rows that the end of a hold may take with it: a small blob's, and those that say who holds it.
const ROWS_PER_HOLD: usize = 20;
/// Holds of a time that end together, and may each take a blob with them.
const HOLDS_PER_EXPIRY: usize = ROWS_PER_CLEAR / ROWS_PER_HOLD;

impl Batch {
    /// Takes a run out of sight. What it had is cleared away later, bit by bit: it may be more than a batch takes,
    /// and until the sync it can still be read.
    pub(super) fn remove(&mut self, run: RunId, base: &Base<'_>) -> Result<bool, Error> {
        let Some(before) = self.summary(run, base)? else { return Ok(false) };
        if !before.status.is_final() {
            return Err(Error::Unfinished { run, status: before.status });
        }
        self.release_claim(run, base)?;
        self.reindex(run, Some(&before), None);
        self.changes.remove(&keys::run(run));
        self.changes.insert(&keys::removed(run), &[]);
        self.overlay.runs.entry(run).or_insert(Some(before));
        self.runs.insert(run, None);
        self.changed = true;
        Ok(true)
    }

    /// Takes away a part of what removed runs had; gives whether there is more. Of a run that is there, it only
    /// takes the mark away that there may be none.
    pub(super) fn clear(&mut self, runs: Vec<RunId>, base: &Base<'_>) -> Result<bool, Error> {
        let mut room = ROWS_PER_CLEAR;
        for run in runs {
            let is_gone = self.summary(run, base)?.is_none();
            if is_gone && !self.clear_run(run, &mut room, base)? {
                return Ok(true);
            }
            for key in [keys::removed(run), keys::early(run)] {
                if base.tree.contains_key(key).map_err(|e| error::sled("look up a removed run", e))? {
                    self.changes.remove(&key);
                    self.changed = true;
                    room = room.saturating_sub(1);
                }
            }
        }
        Ok(false)
    }

    /// Takes away what a removed run had, as far as there is room; gives whether that was all.
    fn clear_run(&mut self, run: RunId, room: &mut usize, base: &Base<'_>) -> Result<bool, Error> {
        let events = base.tree.range(keys::events(run, 0, 0)..=keys::events(run, u64::MAX, u16::MAX));
        let events = keys_of(events.keys().take(*room + 1))?;
        self.changed |= !events.is_empty();
        events.iter().take(*room).for_each(|key| self.changes.remove(key));
        if events.len() > *room {
            return Ok(false);
        }
        *room -= events.len();
        Ok(self.clear_waits(run, room, base)? && self.clear_holds(run, room, base)?)
    }

    /// Ends the waits of a removed run, as far as there is room; gives whether that was all.
    fn clear_waits(&mut self, run: RunId, room: &mut usize, base: &Base<'_>) -> Result<bool, Error> {
        let most = *room / ROWS_PER_WAIT;
        let waits = keys_of(base.tree.scan_prefix(keys::waits_of_run(run)).keys().take(most + 1))?;
        let ends = waits.iter().take(most).filter_map(|key| WaitId::read_of_run(key)).map(|id| (id, None));
        let ends = self.changed_waits(ends.collect(), base.tree)?;
        *room = room.saturating_sub(ROWS_PER_WAIT * ends.len());
        self.changed |= !ends.is_empty();
        self.signals.set_waits(ends);
        Ok(waits.len() <= most)
    }

    /// Ends what a removed run holds, as far as there is room; gives whether that was all.
    fn clear_holds(&mut self, run: RunId, room: &mut usize, base: &Base<'_>) -> Result<bool, Error> {
        let most = *room / ROWS_PER_HOLD;
        let held = keys_of(base.tree.scan_prefix(keys::all_of_run(run)).keys().take(most + 1))?;
        for digest in held.iter().take(most).filter_map(|key| keys::held_digest(key)) {
            self.holds.look_up_end(digest, Hold::Run(run), base.tree)?;
            let rows = self.holds.release(digest, Hold::Run(run));
            *room = room.saturating_sub(rows);
            self.changed = true;
        }
        Ok(held.len() <= most)
    }

    /// Ends some of the holds that are over; gives whether there are more.
    pub(super) fn expire(&mut self, now: Timestamp, base: &Base<'_>) -> Result<bool, Error> {
        let (first, last) = keys::over_at(now);
        let over = base.tree.range(first.as_slice()..=last.as_slice());
        let over = keys_of(over.keys().take(HOLDS_PER_EXPIRY + 1))?;
        for key in over.iter().take(HOLDS_PER_EXPIRY) {
            if let Some((until, digest)) = keys::read_until(key) {
                self.holds.look_up_end(digest, Hold::Until(until), base.tree)?;
                self.holds.release(digest, Hold::Until(now));
            }
            self.changes.remove(key);
            self.changed = true;
        }
        Ok(over.len() > HOLDS_PER_EXPIRY)
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

pub(super) fn keys_of(keys: impl Iterator<Item = sled::Result<IVec>>) -> Result<Vec<IVec>, Error> {
    let keys: sled::Result<Vec<IVec>> = keys.collect();
    keys.map_err(|e| error::sled("read what is to be removed", e))
}
