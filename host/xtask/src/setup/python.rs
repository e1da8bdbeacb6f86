//! Python, and the tools in a venv of our own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::packages::{self, succeeds};
use crate::{
    build::{run, step},
    stamp::Inputs,
};

/// Where the venv lies.
pub(crate) fn venv(root: &Path) -> PathBuf {
    root.join("target/tools/venv")
}

/// A program in the venv.
pub(crate) fn tool(root: &Path, name: &str) -> PathBuf {
    venv(root).join("bin").join(name)
}

/// Makes the venv, with exactly the versions and hashes of `requirements.txt`.
pub(super) fn install(root: &Path) -> Result<()> {
    // A Python without `ensurepip` makes a venv without pip: Debian keeps it in a package of its own.
    if !succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"])) {
        packages::install(&["python3", "python3-venv"])?;
    }
    let version = Command::new("python3").arg("--version").output().context("python3 does not start")?;
    let (venv, requirements) = (venv(root), root.join("host/xtask/tools/requirements.txt"));
    let stamp = Inputs::default()
        .text(&String::from_utf8_lossy(&version.stdout))
        .path(&requirements)?
        .stamp(venv.join("installed"));
    if stamp.is_done() {
        return Ok(());
    }
    step("installing the Python tools into target/tools/venv", || {
        if venv.exists() {
            fs::remove_dir_all(&venv).with_context(|| format!("removing {}", venv.display()))?;
        }
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let pip = ["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--require-hashes"];
        run(Command::new(tool(root, "python"))
            .args(pip)
            .args(["--only-binary=:all:", "-r"])
            .arg(&requirements))?;
        stamp.done()
    })
}
