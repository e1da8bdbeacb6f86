//! A PostgreSQL server, which the tests start in clusters of their own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::packages;

/// Where Debian keeps the programs of each version; not on the path.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Makes sure that `initdb` and `postgres` are there, in Debian's place or on the path.
pub(super) fn install() -> Result<()> {
    if folders().iter().any(|folder| is_complete(folder)) {
        return Ok(());
    }
    packages::install(&["postgresql"])
}

fn folders() -> Vec<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    versions.chain(std::env::split_paths(&path)).collect()
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}
