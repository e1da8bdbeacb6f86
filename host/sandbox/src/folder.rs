//! A folder with plugins: which files lie at its top, and what is in them.

use std::{
    collections::HashMap,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, MetadataExt as _},
};
use serde_json::Value;
use stepcell_core::{
    Digest,
    grant::{Grant, Level},
};

/// The largest file that is read. Protects the host's memory; the Python runner has 19 MB.
pub(crate) const FILE_BYTES_MAX: u64 = 64 << 20;
/// The most files of one folder. Bounds the catalog and the work of a scan.
const FILES_MAX: usize = 1_000;
/// In the host's own folder: `{name: {digest, grants}}` of the files that came with the host.
const LIST: &str = "builtins.json";
/// The most of it that is read.
const LIST_BYTES_MAX: u64 = 1 << 20;
/// How long a file must have been left alone before it is read: it may still be on its way.
pub(crate) const SETTLE: Duration = Duration::from_millis(150);

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    bytes: u64,
    modified: SystemTime,
    inode: u64,
}

impl Stamp {
    /// Whether the file was last written to at least this long ago. A time in the future, from a clock that
    /// was set back or a copied file, counts as long ago: a file must not wait for it to come.
    pub(crate) fn is_older_than(&self, age: Duration) -> bool {
        self.modified.elapsed().map_or(true, |elapsed| elapsed >= age)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    #[cfg(test)]
    pub(crate) fn aged(bytes: u64, age: Duration) -> Self {
        Self { bytes, modified: SystemTime::now() - age, inode: 0 }
    }
}

/// A file that a scan found.
pub(crate) struct Found {
    pub(crate) name: String,
    /// Or why it can not be looked at: a link that leads out of the folder, no permission.
    pub(crate) stamp: io::Result<Stamp>,
}

/// One plugin folder. It need not exist, now or ever.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder's files as the operator would write them.
    pub(crate) fn shown(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    /// Every `*.wasm` at the top of the folder, by name. A folder that is not there has none.
    pub(crate) fn scan(&self) -> io::Result<Vec<Found>> {
        let dir = match self.open() {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in dir.entries()? {
            let name = entry?.file_name();
            let Some(name) = name.to_str().filter(|name| is_plugin(name)) else { continue };
            if found.len() == FILES_MAX {
                return Err(io::Error::other(format!("it has more than {FILES_MAX} `.wasm` files")));
            }
            match stamp(&dir, name) {
                // It went between the two calls.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                stamp => found.push(Found { name: name.to_owned(), stamp }),
            }
        }
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The whole of a file, with the stamp it had before and after it was read.
    pub(crate) fn read(&self, name: &str) -> io::Result<(Stamp, Vec<u8>)> {
        let dir = self.open()?;
        let mut file = dir.open(name)?;
        let before = stamp_of(&file.metadata()?);
        if before.bytes > FILE_BYTES_MAX {
            return Err(io::Error::other(format!(
                "it has {} bytes, of {FILE_BYTES_MAX} allowed for a plugin",
                before.bytes
            )));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(before.bytes).unwrap_or_default());
        file.by_ref().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        let after = stamp_of(&file.metadata()?);
        if before != after || bytes.len() as u64 != after.bytes {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        Ok((after, bytes))
    }

    /// What the files that came with the host get, as its build wrote it down. No list, no grants.
    pub(crate) fn shipped(&self) -> Shipped {
        let list = self.open().and_then(|dir| {
            let mut text = String::new();
            dir.open(LIST)?.take(LIST_BYTES_MAX).read_to_string(&mut text)?;
            Ok(serde_json::from_str::<HashMap<String, Entry>>(&text)?)
        });
        let entries = list.unwrap_or_default().into_values();
        entries.filter_map(|entry| Some((entry.digest, Arc::new(entry.granted()?)))).collect()
    }

    /// Writes a file under its name once it is whole.
    pub(crate) fn install(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        Dir::create_ambient_dir_all(&self.path, ambient_authority())?;
        let dir = self.open()?;
        // No `.wasm` at the end, so that no scan takes it for a plugin.
        let part = format!(".{name}.part");
        dir.write(&part, bytes)?;
        dir.open(&part)?.sync_all()?;
        dir.rename(&part, &dir, name)
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        self.open()?.remove_file(name)
    }

    fn open(&self) -> io::Result<Dir> {
        Dir::open_ambient_dir(&self.path, ambient_authority())
    }
}

/// The default grants of files, by digest. Another file that calls itself `http_request` gets nothing.
pub(crate) type Shipped = HashMap<Digest, Arc<Grant>>;

/// A file in the list of those that came with the host.
#[derive(serde::Deserialize)]
struct Entry {
    digest: Digest,
    /// As it would stand in the config; nothing by default.
    #[serde(default)]
    grants: Value,
}

impl Entry {
    fn granted(&self) -> Option<Grant> {
        match Grant::read(&self.grants, Level::Operator) {
            (grant, problems) if problems.is_empty() => (!self.grants.is_null()).then_some(grant),
            // A list of another version: what is not understood is not granted.
            _ => None,
        }
    }
}

/// What a file gets without a line of config, by the list in the folder of those that came with the host. Blocks.
pub fn shipped_grant(folder: &Path, digest: Digest) -> Option<Arc<Grant>> {
    Folder::new(folder.to_owned()).shipped().remove(&digest)
}

/// Hidden files are left alone: they are what copying programs write before they rename.
fn is_plugin(name: &str) -> bool {
    name.ends_with(".wasm") && !name.starts_with('.')
}

/// Follows links, as far as they stay within the folder; `None` for what is no file.
fn stamp(dir: &Dir, name: &str) -> io::Result<Stamp> {
    let metadata = dir.metadata(name)?;
    // A folder, a pipe, a socket: opening it could wait for ever.
    if metadata.is_file() { Ok(stamp_of(&metadata)) } else { Err(io::Error::other("it is no regular file")) }
}

fn stamp_of(metadata: &cap_std::fs::Metadata) -> Stamp {
    let modified = metadata.modified().map_or(SystemTime::UNIX_EPOCH, cap_std::time::SystemTime::into_std);
    Stamp { bytes: metadata.len(), modified, inode: metadata.ino() }
}

/// How much of a WebAssembly file is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Every section has as many bytes as it says.
    Whole,
    /// It ends within a section: a copy that is not done.
    Cut,
    /// Something else.
    NotWasm,
}

/// Follows the lengths of the sections, and looks into none of them.
pub(crate) fn shape(bytes: &[u8]) -> Shape {
    const MAGIC: &[u8] = b"\0asm";
    let Some(mut rest) = bytes.strip_prefix(MAGIC).and_then(|rest| rest.get(4..)) else {
        let cut = bytes.len() < 8 && MAGIC.iter().zip(bytes).all(|(wanted, given)| wanted == given);
        return if cut { Shape::Cut } else { Shape::NotWasm };
    };
    while let Some((_id, after)) = rest.split_first() {
        let Some((len, after)) = leb128(after) else { return Shape::Cut };
        match after.get(len..) {
            Some(next) => rest = next,
            None => return Shape::Cut,
        }
    }
    Shape::Whole
}

fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    const BYTES_MAX: usize = 5;
    let mut value = 0usize;
    for (index, byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::new(temp.path().join("plugins"));
        fs::create_dir(folder.path()).unwrap();
        (temp, folder)
    }

    #[test]
    fn only_wasm_files_at_the_top_are_found() {
        let (_temp, folder) = folder();
        for name in ["b.wasm", "a.wasm", "readme.md", ".c.wasm", "d.wasm.part"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let names: Vec<_> = folder.scan().unwrap().into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["a.wasm", "b.wasm"]);
    }

    #[test]
    fn what_is_no_regular_file_is_found_and_not_opened() {
        let (_temp, folder) = folder();
        fs::create_dir(folder.path().join("e.wasm")).unwrap();
        let [found] = <[Found; 1]>::try_from(folder.scan().unwrap()).ok().unwrap();
        assert_eq!(found.stamp.unwrap_err().to_string(), "it is no regular file");
    }

    #[test]
    fn a_missing_folder_has_no_files() {
        let (_temp, folder) = folder();
        fs::remove_dir(folder.path()).unwrap();
        assert!(folder.scan().unwrap().is_empty());
    }

    #[test]
    fn links_may_not_lead_out() {
        let (temp, folder) = folder();
        fs::write(temp.path().join("secret"), "x").unwrap();
        fs::write(folder.path().join("in.wasm"), "x").unwrap();
        symlink("../secret", folder.path().join("out.wasm")).unwrap();
        symlink("in.wasm", folder.path().join("link.wasm")).unwrap();
        let stamps: Vec<_> =
            folder.scan().unwrap().into_iter().map(|found| (found.name, found.stamp.is_ok())).collect();
        let expected = [("in.wasm", true), ("link.wasm", true), ("out.wasm", false)];
        assert_eq!(stamps, expected.map(|(name, ok)| (name.to_owned(), ok)));
        assert!(folder.read("out.wasm").is_err());
        assert_eq!(folder.read("link.wasm").unwrap().1, b"x");
    }

    #[test]
    fn a_huge_file_is_not_read() {
        let (_temp, folder) = folder();
        let file = fs::File::create(folder.path().join("a.wasm")).unwrap();
        file.set_len(FILE_BYTES_MAX + 1).unwrap();
        assert!(folder.read("a.wasm").unwrap_err().to_string().contains("allowed for a plugin"));
    }

    #[test]
    fn an_installed_file_is_there_at_once() {
        let (_temp, folder) = folder();
        fs::remove_dir(folder.path()).unwrap();
        folder.install("a.wasm", b"one").unwrap();
        folder.install("a.wasm", b"two").unwrap();
        assert_eq!(folder.read("a.wasm").unwrap().1, b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        folder.remove("a.wasm").unwrap();
        assert!(folder.scan().unwrap().is_empty());
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Shape) {
        assert_eq!(shape(bytes), expected, "{bytes:?}");
    }

    #[test]
    fn a_copy_that_is_not_done_is_seen() {
        let whole = b"\0asm\x01\0\0\0\x00\x03abc\x01\x00";
        check(whole, Shape::Whole);
        for end in 1..whole.len() {
            // Between two sections the rest can not be missed: then it is the compiler that finds it wanting.
            let expected = if end == 8 || end == 13 { Shape::Whole } else { Shape::Cut };
            check(&whole[..end], expected);
        }
        check(b"", Shape::Cut);
        check(b"#!/bin/sh", Shape::NotWasm);
    }
}
