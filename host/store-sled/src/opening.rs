//! What happens when a store is opened, before anything is written.

use std::{
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    thread,
    time::Duration,
};

use sled::{Db, Tree};
use stepcell_core::RunId;
use stepcell_store::Error;

use crate::{
    disk::Disk,
    error,
    files::Files,
    folder::{self, DataDir},
    holds, keys,
    view::Counts,
};

/// sled's folder within the data folder, and its log within that.
const FOLDER: &str = "store";
const LOG: &str = "db";
/// sled's parameters beside it, which it writes first and never syncs.
const PARAMETERS: &str = "conf";
/// What the name of a file ends with that sled has not written to its end.
const UNFINISHED: &str = ".generating";
/// Memory for pages that are read or written again soon. Small: what is read often is what was written last, and
/// the operating system keeps the file's pages as well.
const CACHE_BYTES: u64 = 32 << 20;
/// How often, and how far apart, sled's lock is tried. This process holds the data folder's lock, so whoever has
/// sled's is a thread of sled's that has not quite ended since the store was last closed.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Opens sled and, to sync it, its file once more; and syncs what opening has written.
pub(crate) fn log(data: &DataDir, disk: &Disk) -> Result<(Db, File), Error> {
    let folder = data.path().join(FOLDER);
    clear_unfinished(data).map_err(|e| error::io("clear away what an interrupted start has left", &e))?;
    let db = open_sled(&folder)?;
    let sync = || {
        let dir = data.subfolder(FOLDER)?;
        let log = dir.open(LOG)?.into_std();
        for entry in dir.entries()? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                disk.sync_file(&entry.open()?.into_std())?;
            }
        }
        disk.sync_file(&folder::handle(&dir)?)?;
        disk.sync_file(&folder::handle(data.dir())?)?;
        Ok(log)
    };
    let log = sync().map_err(|e| error::io("sync the store", &e))?;
    Ok((db, log))
}

/// Refuses what another version has written; marks a new store as its own.
pub(crate) fn check_layout(tree: &Tree) -> Result<(), Error> {
    let fail = |e| error::sled("read the store's layout", e);
    match tree.get(keys::LAYOUT).map_err(fail)? {
        Some(version) if *version == [keys::LAYOUT_VERSION] => Ok(()),
        Some(version) => {
            let found = version.first().copied().unwrap_or_default();
            Err(Error::Layout { found, known: keys::LAYOUT_VERSION })
        }
        // Synced with the first commit.
        None => tree.insert(keys::LAYOUT, &[keys::LAYOUT_VERSION]).map(|_| ()).map_err(fail),
    }
}

/// Removes files that nobody holds: of blobs whose sender was never answered, or whose removal was cut short.
pub(crate) fn remove_strays(tree: &Tree, files: &Files) -> Result<(), Error> {
    let mut strays = Vec::new();
    for digest in files.all().map_err(|e| error::io("list the blobs", &e))? {
        if !holds::has(tree, digest)? {
            strays.push(digest);
        }
    }
    files.remove(&strays);
    Ok(())
}

/// Runs that held a blob before they were there.
pub(crate) fn early(tree: &Tree) -> Result<Vec<RunId>, Error> {
    let rows = tree.scan_prefix(keys::ALL_EARLY).keys();
    let runs = rows.map(|key| key.map(|key| keys::indexed_run(&key)));
    let runs: sled::Result<Vec<Option<RunId>>> = runs.collect();
    Ok(runs.map_err(|e| error::sled("read the store", e))?.into_iter().flatten().collect())
}

/// What was counted up to the last commit.
pub(crate) fn counts(tree: &Tree) -> Result<Counts, Error> {
    let Some(row) = tree.get(keys::COUNTS).map_err(|e| error::sled("read the number of commits", e))? else {
        return Ok(Counts::default());
    };
    Counts::decode(&row)
}

/// Removes what sled was writing when a start was cut short, before anything of it was synced: it takes a half-written
/// snapshot for a whole one later, and refuses a half-written file of parameters.
fn clear_unfinished(data: &DataDir) -> io::Result<()> {
    let dir = match data.dir().open_dir(FOLDER) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in dir.entries()? {
        let name = entry?.file_name();
        if name.to_string_lossy().ends_with(UNFINISHED) {
            dir.remove_file(name)?;
        }
    }
    match dir.read(PARAMETERS) {
        Ok(parameters) if is_torn(&parameters) => dir.remove_file(PARAMETERS),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether these are not sled's parameters: they end with their checksum. They never change, so that sled writes the
/// same ones where there are none.
fn is_torn(parameters: &[u8]) -> bool {
    let Some((parameters, sum)) = parameters.split_last_chunk() else { return true };
    crc32fast::hash(parameters) != u32::from_le_bytes(*sum)
}

fn open_sled(folder: &Path) -> Result<Db, Error> {
    // sled's own background flush syncs nothing; the committer flushes each batch.
    let config = sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    let mut attempt = 0;
    loop {
        // sled asserts much of what it reads.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        match opened {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(error)) if is_locked(&error) && attempt < LOCK_ATTEMPTS => attempt += 1,
            Ok(Err(error)) if is_locked(&error) => return Err(Error::InUse),
            Ok(Err(error)) => return Err(error::sled("open the store", error)),
            Err(panic) => return Err(error::damaged("the store", &error::panic_text(&*panic))),
        }
        thread::sleep(LOCK_PAUSE);
    }
}

/// sled tells this in words only.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(e) if e.to_string().starts_with("could not acquire lock"))
}
