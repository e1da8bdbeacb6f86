//! Large blobs, each in a file that is named after its digest.

use std::{
    fs::File,
    io::{self, Read, Write},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use bytes::Bytes;
use cap_std::fs::{Dir, OpenOptions};
use stepcell_core::Digest;
use stepcell_store::Error;

use crate::{
    disk::{Disk, FREE_MIN},
    error,
    folder::{self, DataDir},
};

const FOLDER: &str = "blobs";
/// What the names of unfinished files start with; those of finished ones are hex digits.
const UNFINISHED: char = '.';

pub(crate) struct Files {
    dir: Dir,
    /// To sync the folder after a rename.
    handle: File,
    disk: Disk,
    /// Keeps apart what two threads write of the same digest.
    writers: AtomicU64,
    /// A sync of the folder has failed: no more files are taken.
    failed: AtomicBool,
}

impl Files {
    /// Opens the folder, and removes what a host that died has left unfinished.
    pub(crate) fn open(data: &DataDir, disk: Disk) -> io::Result<Self> {
        let dir = data.subfolder(FOLDER)?;
        for entry in dir.entries()? {
            let name = entry?.file_name();
            if name.to_string_lossy().starts_with(UNFINISHED) {
                dir.remove_file(name)?;
            }
        }
        let handle = folder::handle(&dir)?;
        Ok(Self { dir, handle, disk, writers: AtomicU64::new(0), failed: AtomicBool::new(false) })
    }

    /// Keeps `bytes`, whose digest the caller has computed. Blocks; done after the sync.
    pub(crate) fn put(&self, digest: Digest, bytes: &[u8]) -> Result<(), Error> {
        if self.failed.load(Ordering::Acquire) {
            return Err(Error::Failed { reason: format!("the folder `{FOLDER}` could not be synced") });
        }
        let name = digest.to_string();
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        // Whoever wrote it may still be about to sync the folder, so that is done in any case.
        if !self.dir.metadata(&name).is_ok_and(|file| file.len() == size) {
            self.disk.check_room(&self.handle, FREE_MIN, bytes.len())?;
            let unfinished = format!("{UNFINISHED}{name}.{}", self.writers.fetch_add(1, Ordering::Relaxed));
            if let Err(e) = self.write(&unfinished, &name, bytes) {
                // At the next start it would be removed anyway.
                let _ = self.dir.remove_file(&unfinished);
                return Err(error::io("write a blob", &e));
            }
        }
        self.sync_folder().map_err(|e| error::io("sync the folder of blobs", &e))
    }

    /// Whether there is such a file.
    pub(crate) fn has(&self, digest: Digest) -> bool {
        self.dir.metadata(digest.to_string()).is_ok_and(|file| file.is_file())
    }

    /// Removes files that nobody is to read any more. One that stays is removed at the next start.
    pub(crate) fn remove(&self, digests: &[Digest]) {
        if digests.is_empty() {
            return;
        }
        for digest in digests {
            if let Err(error) = self.dir.remove_file(digest.to_string())
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%digest, %error, "the file of a blob could not be removed");
            }
        }
        if let Err(error) = self.sync_folder() {
            tracing::warn!(%error, "the folder of blobs could not be synced");
        }
    }

    /// The digests of all files.
    pub(crate) fn all(&self) -> io::Result<Vec<Digest>> {
        let mut digests = Vec::new();
        for entry in self.dir.entries()? {
            digests.extend(entry?.file_name().to_str().and_then(|name| name.parse::<Digest>().ok()));
        }
        Ok(digests)
    }

    /// The bytes of a file, `None` for no such file. Blocks.
    pub(crate) fn get(&self, digest: Digest) -> Result<Option<Bytes>, Error> {
        let fail = |e| error::io("read a blob", &e);
        let mut file = match self.dir.open(digest.to_string()) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fail(e)),
        };
        let size = usize::try_from(file.metadata().map_err(fail)?.len()).unwrap_or(0);
        let mut bytes = Vec::with_capacity(size);
        file.read_to_end(&mut bytes).map_err(fail)?;
        check(digest, &bytes)?;
        Ok(Some(Bytes::from(bytes)))
    }

    /// After a failure the next one may succeed without having synced what this one did not.
    fn sync_folder(&self) -> io::Result<()> {
        self.disk.sync_file(&self.handle).inspect_err(|_| self.failed.store(true, Ordering::Release))
    }

    fn write(&self, unfinished: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let mut file = self.dir.open_with(unfinished, &options)?.into_std();
        file.write_all(bytes)?;
        self.disk.sync_file(&file)?;
        self.dir.rename(unfinished, &self.dir, name)
    }
}

/// Fails unless these are the bytes that were kept.
pub(crate) fn check(digest: Digest, bytes: &[u8]) -> Result<(), Error> {
    let found = Digest::of(bytes);
    if found == digest {
        return Ok(());
    }
    Err(error::damaged(format_args!("blob `{digest}`"), &format_args!("its bytes have the digest {found}")))
}
