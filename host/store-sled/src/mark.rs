//! The number of the last commit, outside of sled.

use std::{fs::File, io, os::unix::fs::FileExt};

use stepcell_store::Error;

use crate::{error, folder::DataDir};

const NAME: &str = "store.mark";

/// Notices a log that has lost commits that were acknowledged.
///
/// sled takes a torn or cut log for one whose end was never acknowledged, and drops the end in silence. So each
/// commit has a number in its batch, and after its sync the number is written here, without a sync: whatever of
/// this file survives is no newer than the log may be. After a power cut it may be older, and then notices less.
pub(crate) struct Mark(File);

impl Mark {
    /// Opens the mark and compares it with the number of the last commit in the log.
    pub(crate) fn open(data: &DataDir, commits: u64) -> Result<Self, Error> {
        let fail = |e| error::io("read the commit mark", &e);
        let mut options = cap_std::fs::OpenOptions::new();
        options.read(true).write(true).create(true);
        let mark = Self(data.dir().open_with(NAME, &options).map_err(fail)?.into_std());
        match mark.read().map_err(fail)? {
            Some(marked) if marked > commits => Err(error::damaged(
                "the end of the log",
                &format_args!(
                    "it ends at commit {commits}, but {marked} were acknowledged; to go on without the rest, remove `{NAME}` from the data folder"
                ),
            )),
            _ => Ok(mark),
        }
    }

    pub(crate) fn write(&self, commits: u64) -> io::Result<()> {
        let mut bytes = [0; 16];
        let (number, check) = bytes.split_at_mut(8);
        number.copy_from_slice(&commits.to_be_bytes());
        check.copy_from_slice(&(!commits).to_be_bytes());
        self.0.write_all_at(&bytes, 0)
    }

    /// `None` for a mark that was never written, or not whole.
    fn read(&self) -> io::Result<Option<u64>> {
        let mut bytes = [0; 16];
        match self.0.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(e),
        }
        let both = u128::from_be_bytes(bytes);
        let [number, check] = [(both >> 64) as u64, both as u64];
        Ok((number == !check).then_some(number))
    }
}
