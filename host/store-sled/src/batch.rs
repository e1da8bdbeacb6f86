//! One batch under construction: which writes fit, and what they change.

mod removal;
mod signals;

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use sled::{IVec, Tree};
use stepcell_core::{Digest, RunId, StepId};
use stepcell_store::{BlobRef, Error, Hold, RunSummary, Timer};
use tokio::sync::oneshot;

use crate::{
    changes::Changes,
    error,
    files::Files,
    holds::{self, Holds},
    keys,
    parts::{self, Encoded},
    reader,
    view::{Counts, Known, Overlay, View},
    write::{AppendWrite, Body, Change, Write},
};

use removal::{ROWS_PER_CLEAR, keys_of};
use signals::Signals;

/// What a batch is checked against. The tree holds nothing that is not synced while a batch is being made.
pub(crate) struct Base<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) view: &'a View,
    pub(crate) files: &'a Files,
    pub(crate) counts: Counts,
}

/// The writes that one sync will serve.
#[derive(Default)]
pub(crate) struct Batch {
    changes: Changes,
    changed: bool,
    /// The runs that it writes to, as it leaves them; `None` for one that it removes.
    runs: HashMap<RunId, Option<RunSummary>>,
    timers: BTreeMap<Timer, TimerState>,
    signals: Signals,
    holds: Holds,
    /// Runs that have ended: those that it adds, and those that it takes away.
    ended: u64,
    gone: u64,
    /// Runs that it lets hold a blob before they are there.
    early: HashSet<RunId>,
    overlay: Overlay,
    answers: Vec<Answer>,
}

struct TimerState {
    /// In the tree, so before the batch.
    was_set: bool,
    /// After the last change so far.
    is_set: bool,
}

/// Given after the sync, refusals as well: they may rest on writes of the same batch.
pub(crate) struct Answer {
    done: oneshot::Sender<Result<bool, Error>>,
    result: Result<bool, Error>,
}

impl Batch {
    /// What a write adds to the log, about, with the bytes that it brings for blobs which are not there.
    pub(crate) fn log_bytes(&mut self, write: &Write, base: &Base<'_>) -> Result<usize, Error> {
        let mut sum = write.log_bytes();
        if let Body::Append(append) = &write.body {
            for BlobRef { digest, bytes } in &append.blobs {
                let Some(bytes) = bytes.as_ref().filter(|bytes| !parts::is_large(bytes.len())) else {
                    continue;
                };
                if !self.holds.has(*digest, base.tree)? {
                    sum += parts::log_bytes(bytes.len());
                }
            }
        }
        Ok(sum)
    }

    pub(crate) fn add(&mut self, write: Write, base: &Base<'_>) {
        let result = match write.body {
            Body::Append(append) => self.append(*append, base).map(|()| true),
            Body::Blob { digest, bytes, hold } => self.blob(digest, bytes, hold, base),
            Body::Remove(run) => self.remove(run, base),
            Body::Clear(runs) => self.clear(runs, base),
            Body::Expire(now) => self.expire(now, base),
            Body::Orphans(timers) => self.orphans(timers, base).map(|()| true),
            Body::PutEvent { id, kept, rows } => self.put_event(id, kept, rows, base),
            Body::TakeEvent { id, by } => self.take_event(id, by, base),
            Body::Forget(now) => self.forget(now, base),
        };
        self.answers.push(Answer { done: write.done, result });
    }

    /// Whether there is anything to sync.
    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    /// Ends the batch: what goes into the tree, what hides it until it is synced, and what is left to do then.
    pub(crate) fn seal(mut self, base: &Base<'_>) -> Sealed {
        for (timer, TimerState { was_set, is_set }) in self.timers {
            let key = keys::timer(timer.due, timer.run, timer.step.as_ref());
            if is_set {
                self.changes.insert(key.as_slice(), timer.step.as_ref().map_or("", StepId::as_str));
            } else {
                self.changes.remove(key.as_slice());
            }
            match (was_set, is_set) {
                (false, true) => self.overlay.set.insert(timer),
                (true, false) => self.overlay.cleared.insert(timer),
                _ => false,
            };
        }
        let holds::Sealed { new, files } = self.holds.seal(&mut self.changes);
        self.overlay.blobs.extend(new);
        self.signals.seal(&mut self.changes, &mut self.overlay);
        let Counts { commits, finished } = base.counts;
        let finished = finished.saturating_add(self.ended).saturating_sub(self.gone);
        let counts = Counts { commits: commits + 1, finished };
        self.changes.insert(keys::COUNTS, &counts.encode());
        let Self { changes, overlay, runs, answers, .. } = self;
        Sealed { changes, counts, overlay, runs, files, answers }
    }

    /// Answers all: those that were refused with why, the others with `result`.
    pub(crate) fn answer(self, result: &Result<(), Error>) {
        answer(self.answers, result);
    }

    fn append(&mut self, append: AppendWrite, base: &Base<'_>) -> Result<(), Error> {
        let run = append.run;
        let before = self.summary(run, base)?;
        append.fits(before.as_ref().map_or(0, |summary| summary.seq))?;
        self.check_claim(append.claim.as_ref(), base)?;
        // All that can fail comes before the first change: an append is applied whole or not at all.
        let timers = self.changed_timers(append.timers, base)?;
        let waits = self.changed_waits(append.waits, base.tree)?;
        let brought = self.check_blobs(run, &append.blobs, base)?;
        let was_early = before.is_none() && self.is_early(run, base)?;
        let file = self.put_parts(append.events, run, base, |part| {
            IVec::from(keys::events(run, append.summary.seq, part).as_slice())
        })?;
        for (digest, bytes) in brought {
            self.put_rows(parts::rows(&bytes), |part| IVec::from(keys::blob(digest, part).as_slice()));
        }
        for digest in append.blobs.iter().map(|blob| blob.digest).chain(file) {
            self.holds.hold(digest, Hold::Run(run));
        }
        if was_early {
            self.early.remove(&run);
            self.changes.remove(&keys::early(run));
        }
        self.reindex(run, before.as_ref(), Some(&append.summary));
        self.changes.insert(&keys::run(run), append.encoded_summary);
        self.timers.extend(timers);
        self.signals.set_waits(waits);
        if let Some(claim) = append.claim {
            self.claim(run, claim);
        }
        self.overlay.runs.entry(run).or_insert(before);
        self.runs.insert(run, Some(append.summary));
        self.changed = true;
        Ok(())
    }

    /// Looks up what an append refers to; gives the small blobs among it that are not there, with their bytes.
    fn check_blobs(
        &mut self,
        run: RunId,
        blobs: &[BlobRef],
        base: &Base<'_>,
    ) -> Result<Vec<(Digest, Bytes)>, Error> {
        let mut brought = Vec::new();
        for BlobRef { digest, bytes } in blobs {
            self.holds.look_up(*digest, Hold::Run(run), base.tree)?;
            if self.holds.has(*digest, base.tree)? {
                continue;
            }
            match bytes {
                None => return Err(Error::BlobMissing { digest: *digest }),
                Some(bytes) if parts::is_large(bytes.len()) => base.files.put(*digest, bytes)?,
                Some(bytes) => brought.push((*digest, bytes.clone())),
            }
        }
        Ok(brought)
    }

    /// Whether a run that is not there holds blobs already.
    fn is_early(&self, run: RunId, base: &Base<'_>) -> Result<bool, Error> {
        let marked = || base.tree.contains_key(keys::early(run)).map_err(|e| error::sled("look up a run", e));
        Ok(self.early.contains(&run) || marked()?)
    }

    fn changed_timers(
        &self,
        changes: Vec<(Timer, Change)>,
        base: &Base<'_>,
    ) -> Result<Vec<(Timer, TimerState)>, Error> {
        let looked_up = changes.into_iter().map(|(timer, change)| {
            let was_set = match self.timers.get(&timer) {
                Some(state) => state.was_set,
                None => {
                    let key = keys::timer(timer.due, timer.run, timer.step.as_ref());
                    base.tree.contains_key(key).map_err(|e| error::sled("look up a timer", e))?
                }
            };
            Ok((timer, TimerState { was_set, is_set: change == Change::Set }))
        });
        looked_up.collect()
    }

    fn blob(
        &mut self,
        digest: Digest,
        bytes: Option<Encoded>,
        hold: Hold,
        base: &Base<'_>,
    ) -> Result<bool, Error> {
        self.holds.look_up(digest, hold, base.tree)?;
        let early = match hold {
            Hold::Run(run) if self.summary(run, base)?.is_none() => Some(run),
            _ => None,
        };
        let is_new = !self.holds.has(digest, base.tree)?;
        if is_new {
            match bytes {
                Some(Encoded::Parts(rows)) => {
                    self.put_rows(rows, |part| IVec::from(keys::blob(digest, part).as_slice()));
                }
                // Its file may have gone with its last holder since it was written.
                _ if !base.files.has(digest) => return Err(Error::BlobMissing { digest }),
                _ => {}
            }
        }
        if self.holds.hold(digest, hold) {
            self.changed = true;
            // A run that never gets to the disk is found by this at the next start.
            if let Some(run) = early {
                self.early.insert(run);
                self.changes.insert(&keys::early(run), &[]);
            }
        }
        Ok(is_new)
    }

    /// A run, as far as the batch has come.
    fn summary(&self, run: RunId, base: &Base<'_>) -> Result<Option<RunSummary>, Error> {
        match self.runs.get(&run) {
            Some(summary) => Ok(summary.clone()),
            None => committed(run, base),
        }
    }

    /// Puts what an append wrote; gives the digest of its file, where it is too large for the tree. The run is to
    /// hold that.
    fn put_parts(
        &mut self,
        what: Encoded,
        run: RunId,
        base: &Base<'_>,
        key: impl Fn(u16) -> IVec,
    ) -> Result<Option<Digest>, Error> {
        match what {
            Encoded::Parts(rows) => {
                self.put_rows(rows, key);
                Ok(None)
            }
            Encoded::Large(bytes) => {
                let digest = Digest::of(&bytes);
                self.holds.look_up(digest, Hold::Run(run), base.tree)?;
                base.files.put(digest, &bytes)?;
                self.changes.insert(key(0), parts::in_file(digest));
                Ok(Some(digest))
            }
        }
    }

    fn put_rows(&mut self, rows: Vec<IVec>, key: impl Fn(u16) -> IVec) {
        for (number, row) in (0..).zip(rows) {
            self.changes.insert(key(number), row);
        }
    }

    /// Moves the run within the listings. Most appends change neither its flow nor its status.
    fn reindex(&mut self, run: RunId, before: Option<&RunSummary>, now: Option<&RunSummary>) {
        if let (Some(before), Some(now)) = (before, now)
            && before.status == now.status
            && before.flow == now.flow
            && before.finished_at == now.finished_at
        {
            return;
        }
        for key in before.iter().flat_map(|before| keys::index_of(run, before)) {
            self.changes.remove(key);
        }
        for key in now.iter().flat_map(|now| keys::index_of(run, now)) {
            self.changes.insert(key, &[]);
        }
        let ended = |summary: Option<&RunSummary>| u64::from(summary.is_some_and(|s| s.status.is_final()));
        self.gone += ended(before);
        self.ended += ended(now);
    }
}

/// A batch that is ready to be applied.
pub(crate) struct Sealed {
    pub(crate) changes: Changes,
    pub(crate) counts: Counts,
    pub(crate) overlay: Overlay,
    /// What it leaves the runs like; `None` for one that it removes.
    pub(crate) runs: HashMap<RunId, Option<RunSummary>>,
    /// Blobs whose files are to be removed after the sync.
    pub(crate) files: Vec<Digest>,
    pub(crate) answers: Vec<Answer>,
}

/// Answers all: those that were refused with why, the others with `result`.
pub(crate) fn answer(answers: Vec<Answer>, result: &Result<(), Error>) {
    for answer in answers {
        // A writer who did not wait is gone.
        let _ = answer.done.send(answer.result.and_then(|done| result.clone().map(|()| done)));
    }
}

/// The summary of a run that the batch has not touched.
fn committed(run: RunId, base: &Base<'_>) -> Result<Option<RunSummary>, Error> {
    match base.view.summary(run) {
        Known::Is(summary) => Ok(summary),
        Known::Unknown => reader::summary_in(base.tree, run),
    }
}
