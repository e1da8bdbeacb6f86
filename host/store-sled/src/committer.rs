//! The one thread that writes.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use sled::{Db, Tree};
use stepcell_core::RunId;
use stepcell_store::Error;
use tokio::sync::broadcast;

use crate::{
    batch::{self, Base, Batch, Sealed},
    disk::Disk,
    error,
    files::Files,
    mark::Mark,
    queue::Queue,
    view::View,
    write::Write,
};

/// Bytes that one batch adds to the log, about; a single larger write makes a batch of its own.
///
/// Stays below half a log segment: sled may write into a freed segment as soon as the one after its successor is
/// begun, and what the freed one held must have been synced in its new place by then.
const BATCH_BYTES_MAX: usize = 256 << 10;

/// Takes what waits, syncs it, and answers.
pub(crate) struct Committer {
    pub(crate) db: Db,
    pub(crate) tree: Tree,
    /// sled's file, opened at the start and kept, so that no write error slips by between two syncs.
    pub(crate) log: File,
    pub(crate) mark: Mark,
    pub(crate) disk: Disk,
    pub(crate) files: Arc<Files>,
    pub(crate) view: Arc<View>,
    pub(crate) news: broadcast::Sender<RunId>,
    /// The number of the last commit.
    pub(crate) commits: u64,
    /// Why nothing more is written.
    pub(crate) failed: Option<String>,
}

impl Committer {
    /// Runs until the queue is closed and empty.
    pub(crate) fn run(mut self, queue: &Queue) {
        while let Some(writes) = queue.take() {
            let mut writes = writes.into_iter().peekable();
            while writes.peek().is_some() {
                let mut bytes = 0;
                let next = std::iter::from_fn(|| {
                    let write =
                        writes.next_if(|write| bytes == 0 || bytes + write.log_bytes() <= BATCH_BYTES_MAX)?;
                    bytes += write.log_bytes();
                    Some(write)
                });
                let next = next.collect();
                // sled asserts its state. Writers of a batch that panics are told so by the loss of their channel.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.commit(next))) {
                    self.fail(error::panic_text(&*panic));
                }
            }
        }
    }

    fn commit(&mut self, writes: Vec<Write>) {
        if let Err(error) = self.writable(&writes) {
            for write in writes {
                // A writer who did not wait is gone.
                let _ = write.done.send(Err(error.clone()));
            }
            return;
        }
        let mut batch = Batch::default();
        let base = Base { tree: &self.tree, view: &self.view, files: &self.files };
        for write in writes {
            batch.add(write, &base);
        }
        if !batch.is_changed() {
            return batch.answer(&Ok(()));
        }
        self.persist(batch.seal(self.commits + 1));
    }

    /// Fails where a write is not even to be tried.
    fn writable(&self, writes: &[Write]) -> Result<(), Error> {
        if let Some(reason) = &self.failed {
            return Err(Error::Failed { reason: reason.clone() });
        }
        self.disk.check_room(&self.log, writes.iter().map(Write::memory_bytes).sum())
    }

    /// Applies and syncs a batch; then shows it, tells of it and answers, in this order.
    fn persist(&mut self, sealed: Sealed) {
        let Sealed { changes, overlay, runs, answers } = sealed;
        self.view.begin(overlay);
        match self.sync(changes) {
            Ok(()) => {
                self.commits += 1;
                let ids: Vec<RunId> = runs.keys().copied().collect();
                self.view.end(runs);
                for run in ids {
                    // Nobody listening is no error.
                    let _ = self.news.send(run);
                }
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

    fn sync(&self, changes: sled::Batch) -> Result<(), Error> {
        self.tree.apply_batch(changes).map_err(|e| error::sled("write to the store", e))?;
        self.db.flush().map_err(|e| error::sled("write to the store", e))?;
        self.disk.sync_log(&self.log).map_err(|e| error::io("sync the store", &e))?;
        // A mark that is behind only notices less.
        if let Err(error) = self.mark.write(self.commits + 1) {
            tracing::warn!(%error, "the commit mark could not be written");
        }
        Ok(())
    }
}
