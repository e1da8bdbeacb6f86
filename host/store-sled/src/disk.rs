//! What is asked of the disk beyond reading and writing.

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use stepcell_store::Error;

use crate::error;

/// The space that stays free. sled can not go on after a write that found the disk full, nor can a file
/// system's journal do much, so appends are refused while there is still room to finish what was begun.
pub(crate) const FREE_MIN: u64 = 64 << 20;

/// Syncs and free space. The tests put another one in its place, to hold a sync up or to let it fail.
pub(crate) trait Device: Send + Sync + 'static {
    /// The bytes that are free where `file` is.
    fn free(&self, file: &File) -> io::Result<u64>;
    /// Syncs the log.
    fn sync_log(&self, log: &File) -> io::Result<()>;
    /// Syncs a blob or a folder, with its metadata.
    fn sync_file(&self, file: &File) -> io::Result<()>;
}

pub(crate) struct RealDevice;

impl Device for RealDevice {
    fn free(&self, file: &File) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(file)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn sync_log(&self, log: &File) -> io::Result<()> {
        log.sync_data()
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }
}

/// A device that counts its syncs.
#[derive(Clone)]
pub(crate) struct Disk {
    device: Arc<dyn Device>,
    syncs: Arc<AtomicU64>,
}

impl Disk {
    pub(crate) fn new(device: Arc<dyn Device>) -> Self {
        Self { device, syncs: Arc::default() }
    }

    /// Fails unless `bytes` more fit on the disk that holds `file`, and leave `kept` free.
    pub(crate) fn check_room(&self, file: &File, kept: u64, bytes: usize) -> Result<(), Error> {
        let free = self.device.free(file).map_err(|e| error::io("look how full the disk is", &e))?;
        let needed = kept.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if free < needed { Err(Error::Full) } else { Ok(()) }
    }

    pub(crate) fn sync_log(&self, log: &File) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.device.sync_log(log)
    }

    pub(crate) fn sync_file(&self, file: &File) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.device.sync_file(file)
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}
