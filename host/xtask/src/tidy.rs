//! Rules of the house that a machine can hold. Each check lists everything that breaks it.

mod arrows;
mod docs;
mod files;
mod wit;

use std::path::Path;

use anyhow::{Result, bail};

/// Runs every check from the root of the repository, and fails if one of them found something.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut found = Vec::new();
    found.extend(arrows::check(root)?);
    found.extend(files::check(root)?);
    found.extend(wit::check(root)?);
    found.extend(docs::check(root)?);
    if found.is_empty() {
        println!("tidy: nothing to say");
        return Ok(());
    }
    for line in &found {
        eprintln!("tidy: {line}");
    }
    bail!("{} thing(s) to tidy", found.len())
}
