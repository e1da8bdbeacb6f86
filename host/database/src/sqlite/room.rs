//! The space on the disk.

use std::path::{Path, PathBuf};

/// What stays free: the store of all runs lies on the same disk, and can not go on where it is full.
const FREE_MIN: u64 = 128 << 20;

/// The disk that a folder lies on.
#[derive(Debug, Clone)]
pub(super) struct Room {
    folder: PathBuf,
    least: u64,
}

impl Room {
    pub(super) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), least: FREE_MIN }
    }

    /// One that is full as soon as less than this is free.
    #[cfg(test)]
    pub(super) fn with_least(folder: &Path, least: u64) -> Self {
        Self { folder: folder.to_owned(), least }
    }

    /// Whether there is space to spare.
    pub(super) fn is_left(&self) -> bool {
        match rustix::fs::statvfs(&self.folder) {
            Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize) >= self.least,
            // Then it is SQLite's to find out.
            Err(_) => true,
        }
    }
}
