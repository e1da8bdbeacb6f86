//! Node's packages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::packages::succeeds;
use crate::{
    build::{run, step},
    stamp::Inputs,
};

/// A file of an installed package.
pub(crate) fn module(root: &Path, path: &str) -> PathBuf {
    folder(root).join("node_modules").join(path)
}

/// Installs what `package-lock.json` lists, by version and hash.
pub(super) fn install(root: &Path) -> Result<()> {
    for program in ["node", "npm"] {
        if !succeeds(Command::new(program).arg("--version")) {
            bail!(
                "`{program}` is not there: install Node 20 or later with npm (in Debian, `apt-get install nodejs npm`)"
            );
        }
    }
    let folder = folder(root);
    let tools = root.join("host/xtask/tools");
    let files = ["package.json", "package-lock.json"];
    let mut inputs = Inputs::default();
    for file in files {
        inputs = inputs.path(&tools.join(file))?;
    }
    let stamp = inputs.stamp(folder.join("installed"));
    if stamp.is_done() {
        return Ok(());
    }
    step("installing the JavaScript tools into target/tools/npm", || {
        fs::create_dir_all(&folder)?;
        for file in files {
            fs::copy(tools.join(file), folder.join(file)).with_context(|| format!("copying {file}"))?;
        }
        // `npm ci` would refuse the lock: some platforms' optional packages were never published.
        let npm = ["install", "--no-save", "--loglevel=error", "--no-audit", "--no-fund", "--ignore-scripts"];
        run(Command::new("npm").args(npm).current_dir(&folder))?;
        stamp.done()
    })
}

fn folder(root: &Path) -> PathBuf {
    root.join("target/tools/npm")
}
