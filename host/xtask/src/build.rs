//! Builds the host and what runs in it.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, bail};

use crate::{guests, plugins, setup};

/// Installs what is missing and builds plugins, guests and host.
///
/// The demo and the tests build the same things in the same way: with another selection of packages cargo
/// would choose other features for shared dependencies, and build wasmtime twice.
pub(crate) fn everything(root: &Path) -> Result<()> {
    setup::run(root)?;
    plugins::build(root)?;
    guests::build(root)?;
    step("building the host (the first time wasmtime takes some 10 minutes on two cores)", || {
        cargo(root, &["build", "--workspace", "--all-targets"])
    })
}

/// Compiles plugins and guests into the cache that tests and benchmarks share: without this, each of the first hosts
/// would compile Python's runner for itself, and be late.
pub(crate) fn warm_cache(root: &Path) -> Result<()> {
    step("compiling plugins and guests for the tests", || {
        let listing = root.join("target/debug/stepcell");
        let arguments = ["plugins", "list", "--plugins", "target/guests", "--cache", "target/test-cache"];
        run(Command::new(listing).args(arguments).current_dir(root))
    })
}

/// Says what is being done, and how long it took.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("==> {what}");
    let started = Instant::now();
    let done = work().with_context(|| format!("while {what}"))?;
    println!("    done in {:.1} s", started.elapsed().as_secs_f64());
    Ok(done)
}

/// Runs the cargo that runs us.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo).args(arguments).current_dir(root))
}

/// Runs a program to its end and fails where it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().with_context(|| format!("could not start {shown}"))?;
    if !status.success() {
        bail!("{shown} ended with {status}");
    }
    Ok(())
}
