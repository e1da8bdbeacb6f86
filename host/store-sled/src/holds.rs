//! Who holds which blob, while a batch changes it.

use std::collections::{HashMap, hash_map::Entry};

use jiff::Timestamp;
use sled::Tree;
use stepcell_core::{Digest, RunId};
use stepcell_store::{Error, Hold};

use crate::{changes::Changes, error, keys, reader};

/// Part of a batch. Looking a blob up may fail and changes nothing; what was looked up is then changed without fail.
#[derive(Default)]
pub(crate) struct Holds {
    blobs: HashMap<Digest, Blob>,
    /// Holds of runs that the batch has looked up: as the tree has them, and as the batch leaves them.
    runs: HashMap<(RunId, Digest), Change>,
}

/// A blob as the batch finds it, and as it leaves it.
struct Blob {
    before: Held,
    now: Held,
    /// Of one that may go: how many rows of the tree go with it; none of one that is in a file.
    rows: u16,
}

#[derive(Clone, Copy, Default, PartialEq)]
struct Held {
    runs: u64,
    until: Option<Timestamp>,
}

struct Change {
    before: bool,
    now: bool,
}

impl Held {
    /// A blob is there as long as somebody holds it.
    fn by_anybody(self) -> bool {
        self.runs > 0 || self.until.is_some()
    }
}

impl Holds {
    /// Whether a blob is there, as far as the batch has come.
    pub(crate) fn has(&mut self, digest: Digest, tree: &Tree) -> Result<bool, Error> {
        if let Some(blob) = self.blobs.get(&digest) {
            return Ok(blob.now.by_anybody());
        }
        let before = held(tree, digest)?;
        self.blobs.insert(digest, Blob { before, now: before, rows: 0 });
        Ok(before.by_anybody())
    }

    /// Reads what [`hold`](Self::hold) changes.
    pub(crate) fn look_up(&mut self, digest: Digest, hold: Hold, tree: &Tree) -> Result<(), Error> {
        self.has(digest, tree)?;
        let Hold::Run(run) = hold else { return Ok(()) };
        if let Entry::Vacant(unknown) = self.runs.entry((run, digest)) {
            let found = tree.contains_key(keys::of_run(run, digest));
            let before = found.map_err(|e| error::sled("look up a hold", e))?;
            unknown.insert(Change { before, now: before });
        }
        Ok(())
    }

    /// Reads what [`release`](Self::release) changes.
    pub(crate) fn look_up_end(&mut self, digest: Digest, hold: Hold, tree: &Tree) -> Result<(), Error> {
        self.look_up(digest, hold, tree)?;
        let rows = reader::parts_in(tree, keys::blob(digest, 0))?;
        if let Some(blob) = self.blobs.get_mut(&digest) {
            blob.rows = rows;
        }
        Ok(())
    }

    /// Adds a hold that was looked up; gives whether that changes anything.
    pub(crate) fn hold(&mut self, digest: Digest, hold: Hold) -> bool {
        let Some(blob) = self.blobs.get_mut(&digest) else { return false };
        match hold {
            Hold::Until(until) if blob.now.until < Some(until) => blob.now.until = Some(until),
            Hold::Until(_) => return false,
            Hold::Run(run) => {
                let Some(change) = self.runs.get_mut(&(run, digest)).filter(|change| !change.now) else {
                    return false;
                };
                change.now = true;
                blob.now.runs += 1;
            }
        }
        true
    }

    /// Ends a hold; of those until some time, the ones that are over then. Gives how many rows go with it.
    pub(crate) fn release(&mut self, digest: Digest, hold: Hold) -> usize {
        let Some(blob) = self.blobs.get_mut(&digest) else { return 0 };
        match hold {
            // One that goes on for longer stays.
            Hold::Until(now) => blob.now.until = blob.now.until.filter(|until| *until > now),
            Hold::Run(run) => {
                if let Some(change) = self.runs.get_mut(&(run, digest)).filter(|change| change.now) {
                    change.now = false;
                    blob.now.runs = blob.now.runs.saturating_sub(1);
                }
            }
        }
        // That of the hold and that of the blob's holders, and perhaps its bytes.
        2 + if blob.now.by_anybody() { 0 } else { usize::from(blob.rows) }
    }

    /// Writes the changes down.
    pub(crate) fn seal(self, changes: &mut Changes) -> Sealed {
        for ((run, digest), Change { before, now }) in self.runs {
            match (before, now) {
                (false, true) => changes.insert(keys::of_run(run, digest).as_slice(), &[]),
                (true, false) => changes.remove(keys::of_run(run, digest).as_slice()),
                _ => {}
            }
        }
        let mut sealed = Sealed::default();
        for (digest, Blob { before, now, rows }) in self.blobs {
            write_count(changes, digest, before.runs, now.runs);
            write_until(changes, digest, before.until, now.until);
            match (before.by_anybody(), now.by_anybody()) {
                (false, true) => sealed.new.push(digest),
                (true, false) if rows == 0 => sealed.files.push(digest),
                (true, false) => {
                    (0..rows).for_each(|part| changes.remove(keys::blob(digest, part).as_slice()));
                }
                _ => {}
            }
        }
        sealed
    }
}

/// What a batch does to blobs.
#[derive(Default)]
pub(crate) struct Sealed {
    pub(crate) new: Vec<Digest>,
    /// Blobs whose files are to be removed after the sync.
    pub(crate) files: Vec<Digest>,
}

/// Whether a blob is there, in the tree as it is, synced or not.
pub(crate) fn has(tree: &Tree, digest: Digest) -> Result<bool, Error> {
    held(tree, digest).map(Held::by_anybody)
}

fn held(tree: &Tree, digest: Digest) -> Result<Held, Error> {
    let get = |key: [u8; 33]| tree.get(key).map_err(|e| error::sled("look up a blob", e));
    let damaged = |what: &str| error::damaged(format_args!("blob `{digest}`"), &what);
    let runs = match get(keys::holders(digest))? {
        None => 0,
        Some(count) => {
            let count = <[u8; 8]>::try_from(count.as_ref()).map(u64::from_be_bytes);
            count.map_err(|_| damaged("the number of its holders does not have 8 bytes"))?
        }
    };
    let until = match get(keys::until(digest))? {
        None => None,
        Some(until) => {
            Some(keys::read_instant(&until).ok_or_else(|| damaged("until when it is held is no time"))?)
        }
    };
    Ok(Held { runs, until })
}

fn write_count(changes: &mut Changes, digest: Digest, before: u64, now: u64) {
    if before == now {
        return;
    }
    match now {
        0 => changes.remove(keys::holders(digest).as_slice()),
        _ => changes.insert(keys::holders(digest).as_slice(), &now.to_be_bytes()),
    }
}

fn write_until(changes: &mut Changes, digest: Digest, before: Option<Timestamp>, now: Option<Timestamp>) {
    if before == now {
        return;
    }
    if let Some(before) = before {
        changes.remove(keys::by_until(before, digest).as_slice());
    }
    match now {
        None => changes.remove(keys::until(digest).as_slice()),
        Some(now) => {
            changes.insert(keys::until(digest).as_slice(), &keys::instant(now));
            changes.insert(keys::by_until(now, digest).as_slice(), &[]);
        }
    }
}
