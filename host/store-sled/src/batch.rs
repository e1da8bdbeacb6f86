//! One batch under construction: which writes fit, and what they change.

use std::collections::{BTreeMap, HashMap};

use sled::{IVec, Tree};
use stepcell_core::{Digest, RunId};
use stepcell_store::{Error, RunSummary, Timer};
use tokio::sync::oneshot;

use crate::{
    error,
    files::Files,
    keys,
    parts::{self, Encoded},
    reader,
    view::{Known, Overlay, View},
    write::{AppendWrite, Body, Change, Write},
};

/// What a batch is checked against. The tree holds nothing that is not synced while a batch is being made.
pub(crate) struct Base<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) view: &'a View,
    pub(crate) files: &'a Files,
}

/// The writes that one sync will serve.
#[derive(Default)]
pub(crate) struct Batch {
    changes: sled::Batch,
    changed: bool,
    /// The runs that it writes to, as it leaves them.
    runs: HashMap<RunId, RunSummary>,
    timers: BTreeMap<Timer, TimerState>,
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
    done: oneshot::Sender<Result<(), Error>>,
    result: Result<(), Error>,
}

impl Batch {
    pub(crate) fn add(&mut self, write: Write, base: &Base<'_>) {
        let result = match write.body {
            Body::Append(append) => self.append(*append, base),
            Body::Blob { digest, bytes } => self.blob(digest, bytes, base),
        };
        self.answers.push(Answer { done: write.done, result });
    }

    /// Whether there is anything to sync.
    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    /// Ends the batch: what goes into the tree, what hides it until it is synced, and what is left to do then.
    pub(crate) fn seal(mut self, commit: u64) -> Sealed {
        for (timer, TimerState { was_set, is_set }) in self.timers {
            let key = keys::timer(timer.due, timer.run, &timer.step);
            if is_set {
                self.changes.insert(key.as_slice(), timer.step.as_str());
            } else {
                self.changes.remove(key.as_slice());
            }
            match (was_set, is_set) {
                (false, true) => self.overlay.set.insert(timer),
                (true, false) => self.overlay.cleared.insert(timer),
                _ => false,
            };
        }
        self.changes.insert(keys::COMMITS, &commit.to_be_bytes());
        Sealed { changes: self.changes, overlay: self.overlay, runs: self.runs, answers: self.answers }
    }

    /// Answers all: those that were refused with why, the others with `result`.
    pub(crate) fn answer(self, result: &Result<(), Error>) {
        answer(self.answers, result);
    }

    fn append(&mut self, append: AppendWrite, base: &Base<'_>) -> Result<(), Error> {
        let run = append.run;
        let before = match self.runs.get(&run) {
            Some(summary) => Some(summary.clone()),
            None => committed(run, base)?,
        };
        append.fits(before.as_ref().map_or(0, |summary| summary.seq))?;
        // All that can fail comes before the first change: an append is applied whole or not at all.
        let timers = self.changed_timers(append.timers, base)?;
        self.put_parts(append.events, base, |part| {
            IVec::from(keys::events(run, append.summary.seq, part).as_slice())
        })?;
        self.reindex(run, before.as_ref(), &append.summary);
        self.changes.insert(&keys::run(run), append.encoded_summary);
        self.timers.extend(timers);
        self.overlay.runs.entry(run).or_insert(before);
        self.runs.insert(run, append.summary);
        self.changed = true;
        Ok(())
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
                    let key = keys::timer(timer.due, timer.run, &timer.step);
                    base.tree.contains_key(key).map_err(|e| error::sled("look up a timer", e))?
                }
            };
            Ok((timer, TimerState { was_set, is_set: change == Change::Set }))
        });
        looked_up.collect()
    }

    fn blob(&mut self, digest: Digest, bytes: Encoded, base: &Base<'_>) -> Result<(), Error> {
        let there =
            base.tree.contains_key(keys::blob(digest, 0)).map_err(|e| error::sled("look up a blob", e))?;
        if there || !self.overlay.blobs.insert(digest) {
            return Ok(());
        }
        self.put_parts(bytes, base, |part| IVec::from(keys::blob(digest, part).as_slice()))?;
        self.changed = true;
        Ok(())
    }

    fn put_parts(&mut self, what: Encoded, base: &Base<'_>, key: impl Fn(u16) -> IVec) -> Result<(), Error> {
        match what {
            Encoded::Parts(parts) => {
                for (number, part) in (0..).zip(parts) {
                    self.changes.insert(key(number), part);
                }
            }
            Encoded::Large(bytes) => {
                let digest = Digest::of(&bytes);
                base.files.put(digest, &bytes)?;
                self.changes.insert(key(0), parts::in_file(digest));
            }
        }
        Ok(())
    }

    /// Moves the run within the listings. Most appends change neither its flow nor its status.
    fn reindex(&mut self, run: RunId, before: Option<&RunSummary>, now: &RunSummary) {
        if before.is_some_and(|before| before.status == now.status && before.flow == now.flow) {
            return;
        }
        for key in before.iter().flat_map(|before| keys::index_of(run, before)) {
            self.changes.remove(key);
        }
        for key in keys::index_of(run, now) {
            self.changes.insert(key, &[]);
        }
    }
}

/// A batch that is ready to be applied.
pub(crate) struct Sealed {
    pub(crate) changes: sled::Batch,
    pub(crate) overlay: Overlay,
    /// What it leaves the runs like.
    pub(crate) runs: HashMap<RunId, RunSummary>,
    pub(crate) answers: Vec<Answer>,
}

/// Answers all: those that were refused with why, the others with `result`.
pub(crate) fn answer(answers: Vec<Answer>, result: &Result<(), Error>) {
    for answer in answers {
        // A writer who did not wait is gone.
        let _ = answer.done.send(answer.result.and_then(|()| result.clone()));
    }
}

/// The summary of a run that the batch has not touched.
fn committed(run: RunId, base: &Base<'_>) -> Result<Option<RunSummary>, Error> {
    match base.view.summary(run) {
        Known::Is(summary) => Ok(summary),
        Known::Unknown => reader::summary_in(base.tree, run),
    }
}
