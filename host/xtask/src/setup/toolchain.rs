//! A Rust toolchain that builds for wasm. There are three ways: the active toolchain has the target, rustup adds it,
//! Debian's compiler builds for it. What is installed already comes before what has to be downloaded.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::packages;
use crate::build::step;

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's compiler with the source of the standard library, which is then built for the target.
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";

/// With what to build for wasm.
pub(crate) enum Toolchain {
    /// The active toolchain has the target's standard library.
    Active,
    /// Debian's compiler builds that library itself. It has no linker for wasm, the active toolchain has one.
    Debian { cargo: &'static str, rustc: &'static str, linker: PathBuf },
}

/// Finds a way, and else makes one: with rustup, or with Debian's packages where rustup has nowhere to download from.
pub(crate) fn install() -> Result<()> {
    if find()?.is_some() {
        return Ok(());
    }
    let refusal = match step("adding the wasm target with rustup", add_with_rustup) {
        Ok(()) => return Ok(()),
        Err(error) => format!("{error:#}"),
    };
    println!("    rustup can not add it ({refusal}); taking Debian's compiler instead");
    packages::install(&DEBIAN_PACKAGES).context("there is no way to build for wasm")?;
    match find()? {
        Some(_) => Ok(()),
        None => bail!(
            "there is no way to build for wasm: the active toolchain lacks the target {TARGET} or its `rust-lld`, rustup \
             can not add it, and Debian's {} did not give what they should",
            DEBIAN_PACKAGES.join(", ")
        ),
    }
}

/// The way that is open now.
pub(crate) fn find() -> Result<Option<Toolchain>> {
    let library = sysroot()?.join("lib/rustlib");
    if library.join(TARGET).join("lib").is_dir() {
        return Ok(Some(Toolchain::Active));
    }
    let linker = library.join(host()?).join("bin/rust-lld");
    let there = [DEBIAN_RUSTC, DEBIAN_CARGO, DEBIAN_SOURCE].iter().all(|file| Path::new(file).is_file());
    let debian = Toolchain::Debian { cargo: DEBIAN_CARGO, rustc: DEBIAN_RUSTC, linker: linker.clone() };
    Ok((there && linker.is_file()).then_some(debian))
}

fn add_with_rustup() -> Result<()> {
    let output = Command::new("rustup")
        .args(["target", "add", TARGET])
        .stdin(Stdio::null())
        .output()
        .context("rustup does not start")?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    bail!("{}", text.lines().find(|line| line.starts_with("error")).unwrap_or("error: it gives no reason"))
}

fn sysroot() -> Result<PathBuf> {
    Ok(rustc(&["--print", "sysroot"])?.trim().into())
}

fn host() -> Result<String> {
    let version = rustc(&["--version", "--verbose"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(host.to_owned())
}

fn rustc(arguments: &[&str]) -> Result<String> {
    let output = Command::new("rustc")
        .args(arguments)
        .output()
        .context("rustc does not start: install Rust with rustup")?;
    if !output.status.success() {
        bail!("`rustc {}` failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}
