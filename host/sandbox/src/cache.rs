//! Compiled components on the disk, by digest of the file and kind of engine.
//!
//! For each component there are the file as it was found (`.wasm`), so that a run which pinned it can go on
//! after the file was replaced and the host was updated, the machine code (`.cwasm`) and the catalog entry
//! (`.json`). Only the host writes here.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, DirBuilder},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use cap_std::{ambient_authority, fs::Dir};
use serde::{Deserialize, Serialize};
use stepcell_core::{Digest, catalog::Describe};
use wasmtime::{Engine, component::Component};

use crate::error::Error;

/// The most that the cache keeps. What was not used for longest goes first.
const CACHE_BYTES_MAX: u64 = 4 << 30;
/// After this time a file that was never given its name is nobody's any more.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);
/// Bits of a mode that let others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Only the owner may look in.
const FOLDER_MODE: u32 = 0o700;
/// Changes whenever [`Entry`] does.
const ENTRY_VERSION: u32 = 1;

/// The cache folder.
pub(crate) struct Cache {
    dir: Dir,
    path: PathBuf,
    /// Part of the names of compiled files: code of another engine is not even looked at.
    engine: String,
    parts: AtomicU64,
}

/// What is known of a component, so that a warm start runs nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    version: u32,
    pub(crate) describe: Describe,
}

impl Entry {
    pub(crate) fn new(describe: Describe) -> Self {
        Self { version: ENTRY_VERSION, describe }
    }
}

impl Cache {
    /// Opens the folder and makes it where it is missing. Refuses one that others can write to.
    pub(crate) fn open(path: &Path, engine: &Engine) -> Result<Self, Error> {
        let unusable = |reason: String| Error::Cache { path: path.to_owned(), reason };
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(path)
            .map_err(|error| unusable(error.to_string()))?;
        let path = path.canonicalize().map_err(|error| unusable(error.to_string()))?;
        let metadata = fs::metadata(&path).map_err(|error| unusable(error.to_string()))?;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(unusable("it belongs to another user, and what lies in it would be run".to_owned()));
        }
        if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(unusable("others can write to it, and what lies in it would be run".to_owned()));
        }
        let dir =
            Dir::open_ambient_dir(&path, ambient_authority()).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { dir, path, engine: engine_name(engine), parts: AtomicU64::new(0) })
    }

    /// The catalog entry of a component, where it is known and its code is there.
    pub(crate) fn entry(&self, digest: Digest) -> Option<Entry> {
        if !self.dir.exists(self.code_name(digest)) {
            return None;
        }
        let text = self.dir.read(self.entry_name(digest)).ok()?;
        let entry: Entry = serde_json::from_slice(&text).ok()?;
        (entry.version == ENTRY_VERSION).then_some(entry)
    }

    /// Keeps a catalog entry.
    pub(crate) fn keep_entry(&self, digest: Digest, entry: &Entry) -> io::Result<()> {
        self.write_whole(&self.entry_name(digest), &serde_json::to_vec(entry)?)
    }

    /// Keeps a file as it was found, and says where: this is what the compiler reads, so that what was hashed
    /// is what is compiled.
    pub(crate) fn keep_file(&self, digest: Digest, bytes: &[u8]) -> io::Result<PathBuf> {
        let name = file_name(digest);
        if self.dir.metadata(&name).ok().is_none_or(|found| found.len() != bytes.len() as u64) {
            self.write_whole(&name, bytes)?;
        }
        Ok(self.path.join(name))
    }

    /// Where a kept file lies.
    pub(crate) fn file(&self, digest: Digest) -> Option<PathBuf> {
        let name = file_name(digest);
        self.dir.exists(&name).then(|| self.path.join(name))
    }

    /// A path for the compiler to write to, and nobody else's.
    pub(crate) fn part(&self, digest: Digest) -> PathBuf {
        let number = self.parts.fetch_add(1, Relaxed);
        self.path.join(format!("{digest}.{}-{number}.part", std::process::id()))
    }

    /// Takes over what the compiler wrote.
    pub(crate) fn keep_code(&self, digest: Digest, part: &Path) -> io::Result<()> {
        fs::rename(part, self.path.join(self.code_name(digest)))
    }

    /// The machine code of a component, mapped into memory; `None` where it is not there or does not fit.
    pub(crate) fn component(&self, engine: &Engine, digest: Digest) -> Option<Component> {
        let name = self.code_name(digest);
        let file = self.dir.open(&name).ok()?;
        // The time of the last use, for `prune`. Nothing depends on it.
        let _ = file.into_std().set_modified(SystemTime::now());
        #[expect(
            unsafe_code,
            reason = "the code is our own compiler's: it lies in a folder that `open` found to be this user's \
                      and writable by nobody else, under a name made of the digest of what it was compiled \
                      from, and it was put there whole, by a rename. wasmtime checks that it is for this engine"
        )]
        let loaded = unsafe { Component::deserialize_file(engine, self.path.join(&name)) };
        loaded
            .inspect_err(|error| tracing::warn!(file = %name, %error, "a compiled file can not be loaded and is made anew"))
            .ok()
    }

    /// Removes what was not used for longest, until the rest fits, and what crashed compilers left.
    pub(crate) fn prune(&self) -> io::Result<()> {
        let mut files = BTreeMap::new();
        let mut bytes = 0;
        for entry in self.dir.entries()? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let modified = metadata.modified()?.into_std();
            if is_leftover(&entry.file_name(), modified) {
                self.dir.remove_file(entry.file_name())?;
                continue;
            }
            bytes += metadata.len();
            files.insert((modified, entry.file_name()), metadata.len());
        }
        for ((_, name), len) in files {
            if bytes <= CACHE_BYTES_MAX {
                break;
            }
            self.dir.remove_file(&name)?;
            bytes = bytes.saturating_sub(len);
        }
        Ok(())
    }

    /// By way of another name, so that nobody ever reads half of it.
    fn write_whole(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let number = self.parts.fetch_add(1, Relaxed);
        let part = format!("{name}.{}-{number}.part", std::process::id());
        let mut file = self.dir.create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        self.dir.rename(&part, &self.dir, name)
    }

    fn code_name(&self, digest: Digest) -> String {
        format!("{digest}-{}.cwasm", self.engine)
    }

    fn entry_name(&self, digest: Digest) -> String {
        format!("{digest}-{}.json", self.engine)
    }
}

fn is_leftover(name: &OsStr, modified: SystemTime) -> bool {
    let old = modified.elapsed().is_ok_and(|age| age > LEFTOVER_AGE);
    old && Path::new(name).extension().is_some_and(|extension| extension == "part" || extension == "reason")
}

fn file_name(digest: Digest) -> String {
    format!("{digest}.wasm")
}

/// What wasmtime says decides whether compiled code fits, with our own version: another one may describe anew.
fn engine_name(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
