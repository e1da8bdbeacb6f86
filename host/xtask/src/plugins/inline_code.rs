//! Builds the two components of `inline_code`: an engine with a runner in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{
    build::{self, step},
    component,
    setup::{node, python},
    stamp::{self, Inputs},
};

/// A component with an engine.
pub(crate) struct Runner {
    /// The component's name.
    pub(crate) name: &'static str,
    /// The folder below `plugins/inline_code`.
    folder: &'static str,
    componentize: fn(root: &Path, staging: &Path, component: &Path) -> Result<()>,
}

pub(crate) const RUNNERS: [Runner; 2] = [
    Runner { name: "inline_code_python", folder: "python", componentize: componentize_python },
    Runner { name: "inline_code_javascript", folder: "javascript", componentize: componentize_javascript },
];

impl Runner {
    /// Builds it, where something that it is made of has changed, and gives its digest.
    pub(crate) fn build(&self, root: &Path, folder: &Path) -> Result<String> {
        let (file, staging) = (component::path(folder, self.name), root.join("target/tools").join(self.name));
        let stamp = Inputs::default()
            .path(&root.join("plugins/inline_code"))?
            .path(&root.join("wit/step"))?
            .path(&root.join("host/xtask/tools"))?
            .text(include_str!("inline_code.rs"))
            .stamp(root.join("target/tools").join(format!("{}.stamp", self.name)));
        if !(stamp.is_done() && file.is_file()) {
            step(&format!("building the plugin {}", self.name), || {
                self.stage(root, &staging)?;
                let built = staging.join("component.wasm");
                (self.componentize)(root, &staging, &built)?;
                component::place(folder, self.name, &fs::read(&built)?)?;
                stamp.done()
            })?;
        }
        let built = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        Ok(component::digest(&built))
    }

    /// Puts sources, catalog entry and WIT into one folder. The tools see no file outside of it, and leave their
    /// own behind.
    fn stage(&self, root: &Path, staging: &Path) -> Result<()> {
        if staging.exists() {
            fs::remove_dir_all(staging).with_context(|| format!("removing {}", staging.display()))?;
        }
        let plugin = root.join("plugins/inline_code");
        copy(&plugin.join(self.folder), staging)?;
        copy(&root.join("wit/step"), &staging.join("wit/deps/step"))?;
        let entry = fs::read_to_string(plugin.join("entry.json")).context("reading the catalog entry")?;
        fs::write(staging.join("entry.js"), format!("export default {entry};\n"))?;
        fs::write(staging.join("entry.json"), entry)?;
        Ok(())
    }
}

fn componentize_python(root: &Path, staging: &Path, component: &Path) -> Result<()> {
    let mut command = Command::new(python::tool(root, "componentize-py"));
    // Without it, the packages of whatever Python is active would become part of the component.
    command.env("VIRTUAL_ENV", python::venv(root)).current_dir(staging);
    command.args(["--quiet", "--wit-path", "wit/deps/step", "--world", "step"]);
    command.args(["componentize", "--python-path", ".", "app", "--output"]).arg(component);
    build::run(&mut command)
}

fn componentize_javascript(root: &Path, staging: &Path, component: &Path) -> Result<()> {
    let mut command = Command::new("node");
    command.arg(node::module(root, "componentize-qjs/cli.mjs")).current_dir(staging);
    // `--sync`: the other runtime needs a host with asynchronous components.
    command
        .args(["--sync", "--wit", "wit", "--world", "javascript", "--js", "app.js", "--output"])
        .arg(component);
    // It says nothing there that its exit code does not.
    build::run(command.stdout(Stdio::null()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for file in stamp::files(from)?.into_iter().filter(|file| !is_test(file)) {
        let target: PathBuf = to.join(file.strip_prefix(from)?);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(&file, &target).with_context(|| format!("copying {}", file.display()))?;
    }
    Ok(())
}

fn is_test(file: &Path) -> bool {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    stem.ends_with("_test") || stem.ends_with(".test")
}
