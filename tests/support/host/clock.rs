//! A wall clock that jumps: the host's alone, and not the monotonic one, which no clock setting moves.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Host, HostBuilder};

/// How far the clock is off, beside `stepcell.yaml`.
const OFFSET: &str = "clock";
/// Where Debian keeps what moves clocks: below the folder of the machine's architecture.
const LIBRARIES: &str = "/usr/lib";
const FAKETIME: &str = "faketime/libfaketimeMT.so.1";

impl HostBuilder {
    /// Gives the host a clock that [`Host::set_clock`] moves.
    #[must_use]
    pub fn moving_clock(mut self) -> Self {
        self.calling.moving_clock = true;
        self
    }
}

impl Host {
    /// Sets the clock so many seconds ahead of the true time, or behind it.
    pub fn set_clock(&self, ahead: i64) {
        let (file, new) = (self.folder().join(OFFSET), self.folder().join("clock.new"));
        fs::write(&new, format!("{ahead:+}\n")).expect("the folder is ours");
        // A reader sees the one or the other.
        fs::rename(new, file).expect("the folder is ours");
    }
}

/// The environment in which a program's clock can be moved.
pub(super) fn environment(folder: &Path) -> [(&'static str, PathBuf); 4] {
    let folders = fs::read_dir(LIBRARIES).into_iter().flatten().flatten();
    let library = folders.map(|folder| folder.path().join(FAKETIME)).find(|library| library.is_file());
    let library = library.expect("`cargo xtask setup` installs libfaketime");
    let offset = folder.join(OFFSET);
    if !offset.is_file() {
        fs::write(&offset, "+0\n").expect("the folder is ours");
    }
    let yes = PathBuf::from("1");
    [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", offset),
        ("FAKETIME_NO_CACHE", yes.clone()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", yes),
    ]
}
