//! `cargo xtask bench`: the figures that the host has to reach.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::build;

/// Sets up, builds everything, and measures, all or the named parts. Fails where something can not be measured, never
/// on a figure.
pub(crate) fn run(root: &Path, parts: &[String]) -> Result<()> {
    build::everything(root)?;
    // Started as it was built: through another selection of packages cargo would build wasmtime once more.
    build::run(Command::new(root.join("target/debug/examples/bench")).args(parts).current_dir(root))
}
