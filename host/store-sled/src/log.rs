//! The way of a batch into the log.

use std::{fs::File, sync::Arc};

use sled::{Db, Tree};
use stepcell_core::Digest;
use stepcell_store::Error;

use crate::{changes::Changes, disk::Disk, error, files::Files, keys};

/// Bytes that are added to the log between two syncs, about, and at the most.
///
/// Stays below half a log segment: sled may write into a freed segment as soon as the one after its successor is
/// begun, and what the freed one held must have been synced in its new place by then.
pub(crate) const BATCH_BYTES_MAX: usize = 256 << 10;

/// sled, and what is needed to sync it.
pub(crate) struct Log {
    pub(crate) db: Db,
    pub(crate) tree: Tree,
    /// sled's file, opened at the start and kept, so that no write error slips by between two syncs.
    pub(crate) file: File,
    pub(crate) disk: Disk,
    pub(crate) files: Arc<Files>,
}

/// Changes that are ready to be written.
pub(crate) enum Prepared {
    Small(Changes),
    /// Those that are too large for one sync are in a file as well, that goes by its digest.
    Large(Digest, Changes),
}

impl Log {
    /// Does what can still be refused. After a failure nothing has changed.
    pub(crate) fn prepare(&self, changes: Changes) -> Result<Prepared, Error> {
        if changes.log_bytes() <= BATCH_BYTES_MAX {
            return Ok(Prepared::Small(changes));
        }
        let bytes = changes.encode();
        let digest = Digest::of(&bytes);
        self.files.put(digest, &bytes)?;
        Ok(Prepared::Large(digest, changes))
    }

    /// Writes and syncs changes, all or none of them: those of a large batch are done bit by bit once it is on the
    /// disk where they are, and after a crash from their start again.
    pub(crate) fn write(&self, prepared: Prepared) -> Result<(), Error> {
        match prepared {
            Prepared::Small(changes) => self.sync(changes.into_batch()),
            Prepared::Large(digest, changes) => {
                let mut begin = sled::Batch::default();
                begin.insert(keys::UNDER_WAY, digest.as_bytes());
                self.sync(begin)?;
                self.go_through(changes)?;
                self.files.remove(&[digest]);
                Ok(())
            }
        }
    }

    /// Ends what an earlier process has begun. The file is then one that nobody holds.
    pub(crate) fn redo(&self) -> Result<(), Error> {
        let found = self.tree.get(keys::UNDER_WAY).map_err(|e| error::sled("read the store", e))?;
        let Some(digest) = found else { return Ok(()) };
        let damaged = |reason: &str| error::damaged("a large batch", &reason);
        let digest = digest.as_ref().try_into().map(Digest::from_bytes);
        let digest = digest.map_err(|_| damaged("the name of its file is no digest"))?;
        let bytes = self.files.get(digest)?.ok_or_else(|| damaged("its file is missing"))?;
        self.go_through(Changes::decode(&bytes).ok_or_else(|| damaged("its file can not be read"))?)
    }

    fn go_through(&self, changes: Changes) -> Result<(), Error> {
        let mut end = sled::Batch::default();
        end.remove(keys::UNDER_WAY);
        for batch in changes.into_batches(BATCH_BYTES_MAX).into_iter().chain([end]) {
            self.sync(batch)?;
        }
        Ok(())
    }

    fn sync(&self, batch: sled::Batch) -> Result<(), Error> {
        self.tree.apply_batch(batch).map_err(|e| error::sled("write to the store", e))?;
        self.db.flush().map_err(|e| error::sled("write to the store", e))?;
        self.disk.sync_log(&self.file).map_err(|e| error::io("sync the store", &e))
    }
}
