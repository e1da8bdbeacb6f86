//! A disk that knows what it has been made to keep.
//!
//! Nobody promises more than this: the bytes of a file are on the disk when a sync of that file returns, its name
//! when a sync of its folder does. Of what was written since then, any sector may be there or not, in any order.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, mpsc::SyncSender},
};

use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    Before,
    ledger::{Ledger, SharedLedger},
};
use crate::disk::{Device, RealDevice};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
/// sled syncs these itself before they get this name.
const SYNCED_BY_SLED: &str = "store/snap.";
const UNFINISHED_BY_SLED: &str = ".generating";

type Bytes = Arc<Vec<u8>>;
/// The files of a data folder, by their paths in it.
pub(super) type Image = BTreeMap<PathBuf, Bytes>;

/// What may be found after a cut, and what must be found then.
pub(super) struct Cut {
    pub(super) image: Image,
    pub(super) ledger: Ledger,
    pub(super) how: String,
}

/// A real disk that now and then imagines a power cut, just before a sync.
pub(super) struct Recorder {
    folder: PathBuf,
    state: Mutex<State>,
    ledger: SharedLedger,
    cuts: SyncSender<Cut>,
    /// One sync in so many is cut.
    one_in: u32,
}

struct State {
    rng: StdRng,
    /// What the disk has been made to keep.
    kept: Kept,
    written: u64,
    last_log: Bytes,
    /// The last sync was that of a folder.
    folder_synced: bool,
    died: Option<Before>,
}

#[derive(Default)]
struct Kept {
    names: BTreeMap<PathBuf, u64>,
    /// By inode. An open handle keeps its number from being given to another file.
    files: HashMap<u64, (File, Bytes)>,
}

/// What the operating system shows.
type Shown = BTreeMap<PathBuf, (u64, Bytes)>;

impl Recorder {
    /// Begins with what is in the folder now; of that, `kept` is on the disk.
    pub(super) fn new(
        folder: &Path,
        kept: &Image,
        seed: u64,
        one_in: u32,
        ledger: SharedLedger,
        cuts: SyncSender<Cut>,
    ) -> Self {
        let mut on_disk = Kept::default();
        for (path, (inode, _)) in shown(folder) {
            if let Some(bytes) = kept.get(&path) {
                let file = File::open(folder.join(&path)).unwrap();
                on_disk.files.insert(inode, (file, Arc::clone(bytes)));
                on_disk.names.insert(path, inode);
            }
        }
        let rng = StdRng::seed_from_u64(seed);
        let state = State {
            rng,
            kept: on_disk,
            written: 0,
            last_log: Bytes::default(),
            folder_synced: false,
            died: None,
        };
        Self { folder: folder.to_owned(), state: Mutex::new(state), ledger, cuts, one_in }
    }

    /// Notes what a process that dies now leaves behind.
    pub(super) fn die(&self) {
        let mut state = self.state.lock();
        let ledger = self.ledger.lock().clone();
        let shown = shown(&self.folder).into_iter().map(|(path, (_, bytes))| (path, bytes)).collect();
        state.died = Some(Before { shown, kept: state.kept.image(), ledger });
    }

    /// What was noted then.
    pub(super) fn died(&self) -> Option<Before> {
        self.state.lock().died.take()
    }

    /// How many bytes of the log were changed between syncs, all together.
    pub(super) fn written(&self) -> u64 {
        self.state.lock().written
    }

    fn before_sync(&self, file: &File, of_log: bool) {
        let mut state = self.state.lock();
        let State { rng, kept, written, last_log, folder_synced, .. } = &mut *state;
        // What has just got its name, or lost it, rests on a batch that is still to come, or to be seen.
        let one_in = if *folder_synced { self.one_in.div_ceil(4) } else { self.one_in };
        *folder_synced = !of_log && file.metadata().unwrap().is_dir();
        if rng.random_ratio(1, one_in) {
            // In this order: what is acknowledged after the look at the ledger may be missing from what is shown.
            let ledger = self.ledger.lock().clone();
            let (how, image) = kept.cut(&shown(&self.folder), rng);
            // The checker is gone where it has found a fault.
            let _ = self.cuts.send(Cut { image, ledger, how });
        }
        if of_log {
            let log = content(&readable(file));
            *written += changed(last_log, &log);
            *last_log = log;
        }
        kept.sync(&self.folder, file);
    }
}

impl Device for Recorder {
    fn free(&self, _: &File) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn sync_log(&self, log: &File) -> io::Result<()> {
        self.before_sync(log, true);
        RealDevice.sync_log(log)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.before_sync(file, false);
        RealDevice.sync_file(file)
    }
}

impl Kept {
    /// Takes what a sync now promises to keep.
    fn sync(&mut self, folder: &Path, file: &File) {
        let metadata = file.metadata().unwrap();
        if !metadata.is_dir() {
            let file = readable(file);
            let bytes = content(&file);
            self.files.insert(metadata.ino(), (file, bytes));
            return;
        }
        let is_within = |path: &Path| {
            let parent = fs::metadata(folder.join(path).parent().unwrap());
            parent.is_ok_and(|parent| parent.ino() == metadata.ino())
        };
        self.names.retain(|path, _| !is_within(path));
        let shown = shown(folder);
        for (path, (inode, _)) in shown.iter().filter(|(path, _)| is_within(path)) {
            self.names.insert(path.clone(), *inode);
            if let (false, Ok(file)) = (self.files.contains_key(inode), File::open(folder.join(path))) {
                self.files.insert(*inode, (file, Bytes::default()));
            }
        }
        let named: HashSet<u64> = self.names.values().copied().collect();
        let is_linked = |file: &File| file.metadata().unwrap().nlink() > 0;
        self.files.retain(|inode, (file, _)| named.contains(inode) || is_linked(file));
    }

    fn image(&self) -> Image {
        self.names.iter().map(|(path, inode)| (path.clone(), self.files[inode].1.clone())).collect()
    }

    /// The disk after a cut now, and how that was made up.
    fn cut(&self, shown: &Shown, rng: &mut StdRng) -> (String, Image) {
        let tear = Tear::ALL[rng.random_range(0..Tear::ALL.len())];
        let late_names = rng.random_bool(0.5);
        let mut image = Image::new();
        for path in self.names.keys().chain(shown.keys()) {
            if image.contains_key(path) {
                continue;
            }
            let (old, new) = (self.names.get(path), shown.get(path));
            // A name that has changed is found as it was or as it is.
            let inode = match (old, new) {
                (Some(old), Some((new, _))) if old == new => Some(*old),
                (old, _) if !late_names => old.copied(),
                (old, new) => {
                    if rng.random() {
                        old.copied()
                    } else {
                        new.map(|(inode, _)| *inode)
                    }
                }
            };
            let Some(inode) = inode else { continue };
            let old = self.files.get(&inode).map(|(_, bytes)| Arc::clone(bytes)).unwrap_or_default();
            let new = match new {
                Some((shown, bytes)) if *shown == inode => Arc::clone(bytes),
                _ => Arc::clone(&old),
            };
            let name = path.to_string_lossy();
            let is_whole = name.starts_with(SYNCED_BY_SLED) && !name.ends_with(UNFINISHED_BY_SLED);
            image.insert(path.clone(), if is_whole { new } else { tear.apply(&old, &new, rng) });
        }
        (format!("{tear:?}, names {}", if late_names { "as they come" } else { "as synced" }), image)
    }
}

/// Which of the sectors that were written since the last sync are there.
#[derive(Debug, Clone, Copy)]
enum Tear {
    Nothing,
    Everything,
    Few,
    Half,
    Most,
    /// Those up to somewhere.
    Start,
    /// Those from somewhere on.
    End,
}

impl Tear {
    const ALL: [Self; 7] =
        [Self::Nothing, Self::Everything, Self::Few, Self::Half, Self::Most, Self::Start, Self::End];

    fn apply(self, old: &Bytes, new: &Bytes, rng: &mut StdRng) -> Bytes {
        if old == new {
            return Arc::clone(new);
        }
        let at = |bytes: &Bytes, sector: usize| {
            let end = bytes.len().min((sector + 1) * SECTOR);
            bytes.get(sector * SECTOR..end).unwrap_or_default().to_vec()
        };
        let sectors = old.len().max(new.len()).div_ceil(SECTOR);
        let differs: Vec<usize> =
            (0..sectors).filter(|sector| at(old, *sector) != at(new, *sector)).collect();
        let middle = rng.random_range(0..=differs.len());
        let mut torn = old.to_vec();
        // The length is a fact of its own.
        if matches!(self, Self::Everything) || rng.random() {
            torn.resize(new.len(), 0);
        }
        for (number, sector) in differs.into_iter().enumerate() {
            let is_there = match self {
                Self::Nothing => false,
                Self::Everything => true,
                Self::Few => rng.random_bool(0.1),
                Self::Half => rng.random_bool(0.5),
                Self::Most => rng.random_bool(0.9),
                Self::Start => number < middle,
                Self::End => number >= middle,
            };
            let from = at(new, sector);
            if is_there && !from.is_empty() {
                let start = sector * SECTOR;
                if torn.len() < start + from.len() {
                    torn.resize(start + from.len(), 0);
                }
                torn[start..start + from.len()].copy_from_slice(&from);
            }
        }
        Arc::new(torn)
    }
}

/// Writes an image into an empty folder.
pub(super) fn restore(image: &Image, folder: &Path) {
    for subfolder in ["store/blobs", "blobs"] {
        fs::create_dir_all(folder.join(subfolder)).unwrap();
    }
    for (path, bytes) in image {
        fs::write(folder.join(path), bytes.as_slice()).unwrap();
    }
}

fn shown(folder: &Path) -> Shown {
    let mut shown = Shown::new();
    for subfolder in ["", "store", "store/blobs", "blobs"] {
        for entry in fs::read_dir(folder.join(subfolder)).into_iter().flatten() {
            let entry = entry.unwrap();
            // A file may go while it is looked at.
            let Ok(file) = File::open(entry.path()) else { continue };
            let metadata = file.metadata().unwrap();
            if metadata.is_file() {
                let path = entry.path().strip_prefix(folder).unwrap().to_owned();
                shown.insert(path, (metadata.ino(), content(&file)));
            }
        }
    }
    shown
}

/// The same file; one that is being written can not always be read.
fn readable(file: &File) -> File {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

fn content(file: &File) -> Bytes {
    let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
    let mut bytes = vec![0; length];
    let mut filled = 0;
    // It may be cut while it is read.
    while filled < length {
        match file.read_at(&mut bytes[filled..], filled as u64).unwrap() {
            0 => break,
            more => filled += more,
        }
    }
    bytes.truncate(filled);
    Arc::new(bytes)
}

fn changed(old: &[u8], new: &[u8]) -> u64 {
    let sectors = new.chunks(SECTOR).zip(old.chunks(SECTOR).map(Some).chain(std::iter::repeat(None)));
    sectors.filter(|(new, old)| old.is_none_or(|old| old != *new)).map(|(new, _)| new.len() as u64).sum()
}
