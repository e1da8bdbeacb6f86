//! Builds the built-in step types, and tests those that are not Rust.

mod inline_code;

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    build::{self, step},
    component, wasm,
};

/// Plugins that may reach public addresses without a line of config. All others get nothing: a new name here is a
/// decision about every host there is.
const PUBLIC_HTTP: [&str; 3] = ["http_request", "webhook", "llm_call"];

/// Builds every plugin into `target/plugins/NAME.wasm`, and lists their digests in `target/plugins/builtins.json`
/// with the grants that are bound to them.
pub(crate) fn build(root: &Path) -> Result<()> {
    let folder = root.join("target/plugins");
    let mut digests =
        step("building the plugins in Rust (the first time with the standard library, a minute)", || {
            rust(root, &folder)
        })?;
    for runner in inline_code::RUNNERS {
        let digest = runner.build(root, &folder)?;
        digests.insert(runner.name.to_owned(), digest);
    }
    let names: Vec<_> = digests.keys().cloned().collect();
    component::remove_others(&folder, &names)?;
    let list: BTreeMap<_, _> = digests.iter().map(|(name, digest)| (name, entry(name, digest))).collect();
    let list = format!("{}\n", serde_json::to_string_pretty(&list)?);
    fs::write(folder.join("builtins.json"), list).context("writing target/plugins/builtins.json")
}

/// Runs the tests of the inline-code runners that need no cell.
pub(crate) fn unit_tests(root: &Path) -> Result<()> {
    let folder = root.join("plugins/inline_code");
    let python = ["-m", "unittest", "discover", "--pattern", "*_test.py"];
    build::run(Command::new("python3").arg("-B").args(python).current_dir(folder.join("python")))?;
    build::run(Command::new("node").arg("--test").current_dir(folder.join("javascript")))
}

/// One file in the list, with its grants as they would stand in the config.
fn entry(name: &str, digest: &str) -> Value {
    if PUBLIC_HTTP.contains(&name) {
        json!({ "digest": digest, "grants": { "http": ["https://*", "http://*"] } })
    } else {
        json!({ "digest": digest })
    }
}

fn rust(root: &Path, folder: &Path) -> Result<BTreeMap<String, String>> {
    let plugins = wasm::cells(root, "plugins")?;
    wasm::build(root, &plugins)?;
    let mut digests = BTreeMap::new();
    for plugin in plugins {
        let component = component::encode(&plugin.module(root))?;
        let digest = component::place(folder, &plugin.name, &component)?;
        digests.insert(plugin.name, digest);
    }
    Ok(digests)
}
