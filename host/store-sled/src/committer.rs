//! The one thread that writes.

use std::{
    iter::Peekable,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    vec::IntoIter,
};

use stepcell_core::RunId;
use stepcell_store::Error;
use tokio::sync::broadcast;

use crate::{
    batch::{self, Base, Batch, Sealed},
    disk::FREE_MIN,
    error,
    log::{BATCH_BYTES_MAX, Log},
    mark::Mark,
    queue::Queue,
    view::{Counts, View},
    write::Write,
};

/// Writes in the order in which they came.
type Waiting = Peekable<IntoIter<Write>>;

/// Takes what waits, syncs it, and answers.
pub(crate) struct Committer {
    pub(crate) log: Log,
    pub(crate) mark: Mark,
    pub(crate) view: Arc<View>,
    pub(crate) news: broadcast::Sender<RunId>,
    /// As of the last commit.
    pub(crate) counts: Counts,
    /// Why nothing more is written.
    pub(crate) failed: Option<String>,
}

impl Committer {
    /// Runs until the queue is closed and empty.
    pub(crate) fn run(mut self, queue: &Queue) {
        while let Some(writes) = queue.take() {
            let mut writes = writes.into_iter().peekable();
            while writes.peek().is_some() {
                // sled asserts its state. Writers of a batch that panics are told so by the loss of their channel.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.commit_some(&mut writes))) {
                    self.fail(error::panic_text(&*panic));
                }
            }
        }
    }

    /// Commits as many writes as one batch takes; a single larger one makes a batch of its own.
    fn commit_some(&mut self, writes: &mut Waiting) {
        if let Some(reason) = &self.failed {
            return refuse(writes, &Error::Failed { reason: reason.clone() });
        }
        let mut batch = Batch::default();
        let Log { tree, files, .. } = &self.log;
        let base = Base { tree, view: &self.view, files, counts: self.counts };
        let (mut next, mut bytes) = (Vec::new(), 0);
        while let Some(write) = writes.next_if(|write| {
            // A look-up that fails now fails again when the write is made, and is answered then.
            let adds = batch.log_bytes(write, &base).unwrap_or(BATCH_BYTES_MAX);
            let fits = bytes == 0 || bytes + adds <= BATCH_BYTES_MAX;
            bytes += if fits { adds } else { 0 };
            fits
        }) {
            next.push(write);
        }
        for write in self.admit(next, bytes) {
            batch.add(write, &base);
        }
        if !batch.is_changed() {
            return batch.answer(&Ok(()));
        }
        let sealed = batch.seal(&base);
        self.persist(sealed);
    }

    /// Answers the writes for which there is no room on the disk; gives the others. What makes room may use some
    /// of what is kept free: a full disk is to be emptied by removing runs.
    fn admit(&self, writes: Vec<Write>, log_bytes: usize) -> Vec<Write> {
        let bytes = log_bytes.max(writes.iter().map(Write::memory_bytes).sum());
        let Log { disk, file, .. } = &self.log;
        let Err(error) = disk.check_room(file, FREE_MIN, bytes) else { return writes };
        let (removals, others): (Vec<_>, Vec<_>) = writes.into_iter().partition(Write::makes_room);
        refuse(others, &error);
        match disk.check_room(file, FREE_MIN / 2, bytes) {
            Ok(()) => removals,
            Err(error) => {
                refuse(removals, &error);
                Vec::new()
            }
        }
    }

    /// Applies and syncs a batch; then shows it, tells of it and answers, in this order.
    fn persist(&mut self, sealed: Sealed) {
        let Sealed { changes, counts, overlay, runs, files, answers } = sealed;
        let prepared = match self.log.prepare(changes) {
            Ok(prepared) => prepared,
            Err(error) => return batch::answer(answers, &Err(error)),
        };
        self.view.begin(overlay);
        match self.log.write(prepared) {
            Ok(()) => {
                self.counts = counts;
                // A mark that is behind only notices less.
                if let Err(error) = self.mark.write(counts.commits) {
                    tracing::warn!(%error, "the commit mark could not be written");
                }
                let written = runs.iter().filter(|(_, summary)| summary.is_some());
                let ids: Vec<RunId> = written.map(|(run, _)| *run).collect();
                self.view.end(runs, counts.finished);
                for run in ids {
                    // Nobody listening is no error.
                    let _ = self.news.send(run);
                }
                // Before anybody may put them again, so that none is removed that is held again.
                self.log.files.remove(&files);
                batch::answer(answers, &Ok(()));
            }
            Err(error) => {
                // The overlay stays, so that nobody ever reads what may not be on the disk.
                self.fail(error.to_string());
                // Room that is made on the disk brings sled back no more, so this is not `Full`.
                let error = match error {
                    Error::Full => Error::Failed { reason: error.to_string() },
                    error => error,
                };
                batch::answer(answers, &Err(error));
            }
        }
    }

    fn fail(&mut self, reason: String) {
        tracing::error!(reason, "a write to the store failed, no more are taken");
        self.failed = Some(reason);
    }
}

fn refuse(writes: impl IntoIterator<Item = Write>, error: &Error) {
    for write in writes {
        // A writer who did not wait is gone.
        let _ = write.done.send(Err(error.clone()));
    }
}
