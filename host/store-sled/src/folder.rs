//! The data folder: its lock, its key and its subfolders.

use std::{
    fmt,
    fs::{File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions, OpenOptionsExt},
};
use rand::Rng;
use stepcell_store::Error;

use crate::error;

const LOCK: &str = "lock";
const HOST_KEY: &str = "host.key";
const HOST_KEY_BYTES: usize = 32;
/// Only the host's user may read the key.
const HOST_KEY_MODE: u32 = 0o600;

/// The data folder, opened by this process alone. Cheap to clone; the last clone unlocks it.
#[derive(Clone)]
pub struct DataDir(Arc<Inner>);

struct Inner {
    path: PathBuf,
    dir: Dir,
    // Locked until it is closed.
    _lock: File,
}

impl DataDir {
    /// Opens the folder, and makes it where there is none. [`Error::InUse`] if another process, or another part
    /// of this one, has it open.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let open = |e| error::io("open the data folder", &e);
        Dir::create_ambient_dir_all(path, ambient_authority()).map_err(open)?;
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(open)?;
        let lock = dir.open_with(LOCK, OpenOptions::new().write(true).create(true)).map_err(open)?.into_std();
        match lock.try_lock() {
            Ok(()) => Ok(Self(Arc::new(Inner { path: path.to_owned(), dir, _lock: lock }))),
            Err(TryLockError::WouldBlock) => Err(Error::InUse),
            Err(TryLockError::Error(e)) => Err(error::io("lock the data folder", &e)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The folder, for what else the host keeps in it.
    pub fn dir(&self) -> &Dir {
        &self.0.dir
    }

    /// The key from which the randomness of cells and the secrets' placeholders come: 32 random bytes, made on
    /// the first call and the same ever after. Who loses it loses repeatable randomness, no run.
    pub fn host_key(&self) -> Result<[u8; HOST_KEY_BYTES], Error> {
        if let Some(key) = self.read_host_key()? {
            return Ok(key);
        }
        let mut key = [0; HOST_KEY_BYTES];
        rand::rng().fill_bytes(&mut key);
        self.write_host_key(&key).map_err(|e| error::io("write the host key", &e))?;
        Ok(key)
    }

    /// Opens a subfolder, and makes it where there is none.
    pub(crate) fn subfolder(&self, name: &'static str) -> io::Result<Dir> {
        self.dir().create_dir_all(name)?;
        self.dir().open_dir(name)
    }

    fn read_host_key(&self) -> Result<Option<[u8; HOST_KEY_BYTES]>, Error> {
        let file = match self.dir().open(HOST_KEY) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(error::io("read the host key", &e)),
        };
        let mut bytes = Vec::with_capacity(HOST_KEY_BYTES);
        // One byte more than the key has tells a longer file from the key.
        let most = HOST_KEY_BYTES as u64 + 1;
        file.take(most).read_to_end(&mut bytes).map_err(|e| error::io("read the host key", &e))?;
        let found = bytes.len();
        <[u8; HOST_KEY_BYTES]>::try_from(bytes).map(Some).map_err(|_| {
            error::damaged(
                format_args!("`{HOST_KEY}`"),
                &format_args!("it has {found} bytes, not {HOST_KEY_BYTES}"),
            )
        })
    }

    /// The folder is locked, so that nobody else makes a key at the same time.
    fn write_host_key(&self, key: &[u8]) -> io::Result<()> {
        let temporary = format!("{HOST_KEY}.new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(HOST_KEY_MODE);
        let mut file = self.dir().open_with(&temporary, &options)?;
        file.write_all(key)?;
        file.sync_all()?;
        self.dir().rename(&temporary, self.dir(), HOST_KEY)?;
        handle(self.dir())?.sync_all()
    }
}

impl fmt::Debug for DataDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DataDir").field(&self.0.path).finish()
    }
}

/// A handle of the folder itself that can be synced; the one within [`Dir`] need not be.
pub(crate) fn handle(dir: &Dir) -> io::Result<File> {
    Ok(dir.open(".")?.into_std())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_opened_once() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("new/data");
        let data = DataDir::open(&path).unwrap();
        assert!(matches!(DataDir::open(&path), Err(Error::InUse)));
        drop(data);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn the_key_stays_and_is_private() {
        let temporary = tempfile::tempdir().unwrap();
        let data = DataDir::open(temporary.path()).unwrap();
        let key = data.host_key().unwrap();
        assert_eq!(data.host_key().unwrap(), key);
        drop(data);
        let data = DataDir::open(temporary.path()).unwrap();
        assert_eq!(data.host_key().unwrap(), key);
        let mode = std::fs::metadata(temporary.path().join(HOST_KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, HOST_KEY_MODE);

        let other = tempfile::tempdir().unwrap();
        assert_ne!(DataDir::open(other.path()).unwrap().host_key().unwrap(), key);
    }

    #[test]
    fn a_cut_key_is_damaged() {
        for size in [0, 31, 33] {
            let temporary = tempfile::tempdir().unwrap();
            std::fs::write(temporary.path().join(HOST_KEY), vec![1; size]).unwrap();
            let result = DataDir::open(temporary.path()).unwrap().host_key();
            assert!(matches!(result, Err(Error::Damaged { .. })), "{result:?}");
        }
    }
}
