//! Restate, which durable runs are measured against: its server as npm ships it, and a handler on its Rust SDK.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{
    build::{run, step},
    setup::node,
};

/// Installs the server into `target/tools/restate` and builds the handler into `target/restate`.
///
/// The handler has a target folder of its own, and is optimised as its authors would: it is no part of the product,
/// and the features of its dependencies stay out of the product's build.
pub(super) fn install(root: &Path) -> Result<()> {
    let source = root.join("tests/bench/restate");
    node::install_list("Restate's server", &source, &root.join("target/tools/restate"))?;
    step("building Restate's handler into target/restate (some minutes, once)", || {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet", "--release", "--locked"]).current_dir(&source);
        command.arg("--target-dir").arg(root.join("target/restate"));
        run(&mut command)
    })
}
