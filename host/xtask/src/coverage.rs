//! `cargo xtask coverage`: how many lines of the Rust plugins their unit tests reach.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::build;

/// The share of lines, in percent, that each plugin's tests have to reach.
const LEAST_PERCENT: f64 = 80.0;

/// Builds the plugins' tests with counters in them, runs them, and prints a table.
///
/// Needs `llvm-cov` and `llvm-profdata` of the LLVM that rustc was built with; Debian has them as `llvm-22`.
pub(crate) fn run(root: &Path) -> Result<()> {
    let version = llvm_version()?;
    let folder = root.join("target/coverage");
    let profiles = folder.join("profiles");
    if profiles.exists() {
        fs::remove_dir_all(&profiles)?;
    }
    let plugins = rust_plugins(root)?;
    let mut test = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    test.args(["test", "--quiet", "--lib", "--target-dir"]).arg(&folder).current_dir(root);
    for plugin in &plugins {
        test.args(["--package", plugin]);
    }
    test.env("RUSTFLAGS", "-C instrument-coverage").env("LLVM_PROFILE_FILE", profiles.join("%p-%m.profraw"));
    build::step("running the plugins' tests with counters in them", || build::run(&mut test))?;
    let merged = folder.join("merged.profdata");
    let raw = fs::read_dir(&profiles)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    build::run(tool("llvm-profdata", version).arg("merge").arg("-sparse").args(raw).arg("-o").arg(&merged))?;
    let mut low = Vec::new();
    for plugin in &plugins {
        let percent = percent(root, &folder, &merged, plugin, version)?;
        println!("{plugin:<16} {percent:>6.1} % of lines");
        if percent < LEAST_PERCENT {
            low.push(plugin.clone());
        }
    }
    if low.is_empty() { Ok(()) } else { bail!("under {LEAST_PERCENT} %: {}", low.join(", ")) }
}

fn rust_plugins(root: &Path) -> Result<Vec<String>> {
    let mut plugins = Vec::new();
    for entry in fs::read_dir(root.join("plugins"))? {
        let folder = entry?.path();
        if let (true, Some(name)) = (folder.join("Cargo.toml").is_file(), folder.file_name()) {
            plugins.push(name.to_string_lossy().into_owned());
        }
    }
    plugins.sort();
    Ok(plugins)
}

fn percent(root: &Path, folder: &Path, merged: &Path, plugin: &str, version: u32) -> Result<f64> {
    let binary = newest(&folder.join("debug/deps"), &format!("{plugin}-"))?;
    let output = tool("llvm-cov", version)
        .args(["export", "-summary-only", "-instr-profile"])
        .arg(merged)
        .arg(binary)
        .arg("-sources")
        .arg(root.join("plugins").join(plugin).join("src"))
        .output()
        .context("running llvm-cov")?;
    if !output.status.success() {
        bail!("llvm-cov: {}", String::from_utf8_lossy(&output.stderr));
    }
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    report
        .pointer("/data/0/totals/lines/percent")
        .and_then(serde_json::Value::as_f64)
        .context("no total in the report")
}

/// The test binary that was built last: cargo keeps older ones beside it.
fn newest(folder: &Path, prefix: &str) -> Result<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let named = entry.file_name().to_string_lossy().starts_with(prefix);
        if named && path.extension().is_none() {
            found.push((entry.metadata()?.modified()?, path));
        }
    }
    found.sort();
    found.pop().map(|(_, path)| path).with_context(|| format!("no test binary of `{prefix}*`"))
}

fn tool(name: &str, version: u32) -> Command {
    Command::new(format!("{name}-{version}"))
}

/// The major version of rustc's LLVM; fails where its tools are not there.
fn llvm_version() -> Result<u32> {
    let output = Command::new("rustc").args(["--version", "--verbose"]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let line =
        text.lines().find_map(|line| line.strip_prefix("LLVM version: ")).context("rustc names no LLVM")?;
    let version = line.split('.').next().unwrap_or_default().parse()?;
    for name in ["llvm-cov", "llvm-profdata"] {
        if tool(name, version).arg("--version").output().is_err() {
            bail!("`{name}-{version}` is not there: install it with `apt-get install llvm-{version}`");
        }
    }
    Ok(version)
}
