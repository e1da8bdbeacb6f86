//! Builds Rust crates into core modules.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use cargo_metadata::{CrateType, MetadataCommand};

use crate::{
    build,
    setup::toolchain::{self, TARGET, Toolchain},
};

/// A crate that becomes a component.
pub(crate) struct Cell {
    package: String,
    /// The library's name, which the file bears.
    pub(crate) name: String,
}

impl Cell {
    /// The core module, once it is built.
    pub(crate) fn module(&self, root: &Path) -> PathBuf {
        root.join("target").join(TARGET).join("release").join(format!("{}.wasm", self.name))
    }
}

/// The workspace's crates in `folder` that build a `cdylib`.
pub(crate) fn cells(root: &Path, folder: &str) -> Result<Vec<Cell>> {
    let metadata =
        MetadataCommand::new().current_dir(root).no_deps().exec().context("reading the workspace")?;
    let folder = root.join(folder);
    let mut cells = Vec::new();
    for package in metadata.packages {
        if package
            .manifest_path
            .parent()
            .and_then(|parent| parent.parent())
            .is_none_or(|parent| parent != folder)
        {
            continue;
        }
        for target in package.targets.iter().filter(|target| target.crate_types.contains(&CrateType::CDyLib))
        {
            cells.push(Cell { package: package.name.to_string(), name: target.name.replace('-', "_") });
        }
    }
    cells.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(cells)
}

/// Builds these crates, all in one call: shared dependencies are then built once.
pub(crate) fn build(root: &Path, cells: &[Cell]) -> Result<()> {
    let toolchain = toolchain::find()?.context("the set-up found no way to build for wasm")?;
    let mut command = cargo(&toolchain);
    command.args(["build", "--release", "--locked", "--target", TARGET]).current_dir(root);
    command.arg("--target-dir").arg(root.join("target"));
    for cell in cells {
        command.args(["--package", &cell.package]);
    }
    if let Toolchain::Debian { .. } = toolchain {
        command.arg("-Zbuild-std=std,panic_abort");
    }
    build::run(&mut command)
}

/// The toolchain's cargo, without what the cargo that runs us has set for itself: its choice of compiler and
/// features is another one.
fn cargo(toolchain: &Toolchain) -> Command {
    let mut command = match toolchain {
        Toolchain::Active => Command::new("cargo"),
        Toolchain::Debian { cargo, rustc, linker } => {
            let mut command = Command::new(cargo);
            forget_own_settings(&mut command);
            // The path of the libraries of the compiler that runs us.
            command.env_remove("LD_LIBRARY_PATH");
            command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            return command;
        }
    };
    let active = std::env::var_os("RUSTUP_TOOLCHAIN");
    forget_own_settings(&mut command);
    command.envs(active.map(|toolchain| ("RUSTUP_TOOLCHAIN", toolchain)));
    command
}

fn forget_own_settings(command: &mut Command) {
    let ours = ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN", "__CARGO"];
    // Where the user's registry and proxies are.
    let users = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_", "CARGO_TERM_"];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
        if starts(&ours) && !starts(&users) {
            command.env_remove(&name);
        }
    }
}
