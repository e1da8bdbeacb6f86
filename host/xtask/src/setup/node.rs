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

/// Installs the tools, with the node and npm that are there.
pub(super) fn install(root: &Path) -> Result<()> {
    for program in ["node", "npm"] {
        if !succeeds(Command::new(program).arg("--version")) {
            bail!(
                "`{program}` is not there: install Node 20 or later with npm (in Debian, `apt-get install nodejs npm`)"
            );
        }
    }
    install_list("the JavaScript tools", &root.join("host/xtask/tools"), &folder(root))
}

/// Installs what the `package-lock.json` in `list` names, by version and hash. No package's own scripts are run.
pub(crate) fn install_list(what: &str, list: &Path, folder: &Path) -> Result<()> {
    let files = ["package.json", "package-lock.json"];
    let mut inputs = Inputs::default();
    for file in files {
        inputs = inputs.path(&list.join(file))?;
    }
    let stamp = inputs.stamp(folder.join("installed"));
    if stamp.is_done() {
        return Ok(());
    }
    step(&format!("installing {what} into {}", folder.display()), || {
        fs::create_dir_all(folder)?;
        for file in files {
            fs::copy(list.join(file), folder.join(file)).with_context(|| format!("copying {file}"))?;
        }
        // `npm ci` would refuse the lock: some platforms' optional packages were never published.
        let npm = ["install", "--no-save", "--loglevel=error", "--no-audit", "--no-fund", "--ignore-scripts"];
        run(Command::new("npm").args(npm).current_dir(folder))?;
        stamp.done()
    })
}

fn folder(root: &Path) -> PathBuf {
    root.join("target/tools/npm")
}
