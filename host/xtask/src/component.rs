//! From a core module to a component, and to its place.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use wit_component::ComponentEncoder;

/// Makes a component of a core module that carries its component type.
pub(crate) fn encode(module: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|encoder| encoder.encode())
        .with_context(|| format!("making a component of {}", module.display()))
}

/// Writes `folder/NAME.wasm` and gives its digest. A file that is there with the same content is left alone; a
/// new one is renamed into place, because a host may be watching the folder.
pub(crate) fn place(folder: &Path, name: &str, component: &[u8]) -> Result<String> {
    let file = path(folder, name);
    if fs::read(&file).is_ok_and(|there| there == component) {
        return Ok(digest(component));
    }
    fs::create_dir_all(folder)?;
    let new = folder.join(format!(".{name}.new"));
    fs::write(&new, component)
        .and_then(|()| fs::rename(&new, &file))
        .with_context(|| format!("writing {}", file.display()))?;
    Ok(digest(component))
}

pub(crate) fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.wasm"))
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Removes components that are built no longer, such as those of a plugin that was renamed.
pub(crate) fn remove_others(folder: &Path, names: &[String]) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let file = entry?.path();
        let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        if file.extension().is_some_and(|extension| extension == "wasm") && !names.contains(&name) {
            fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
        }
    }
    Ok(())
}
