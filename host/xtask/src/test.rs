//! `cargo xtask test`: the set-up of the demo, then every test there is.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{build, plugins};

/// Sets up, builds and runs all tests. Fails where a tool is missing; skips nothing.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    build::everything(root)?;
    build::warm_cache(root)?;
    build::step("running the unit tests of the Python and JavaScript runners", || plugins::unit_tests(root))?;
    build::step("running the tests of the host, the SDK and the plugins", || nextest(root, arguments))?;
    // nextest runs no examples of documentation.
    build::step("running the SDK's examples", || {
        build::cargo(root, &["test", "--quiet", "--doc", "--package", "stepcell", "--all-features"])
    })
}

fn nextest(root: &Path, arguments: &[String]) -> Result<()> {
    if Command::new("cargo-nextest").arg("--version").output().is_err() {
        build::step("installing cargo-nextest (some minutes, once)", || {
            build::cargo(root, &["install", "cargo-nextest", "--locked"])
        })?;
    }
    let mut all = vec!["nextest", "run", "--workspace"];
    all.extend(arguments.iter().map(String::as_str));
    build::cargo(root, &all)
}
