//! ARCHITECTURE.md is true: the folders it names are there, and every crate is named.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// So that it is read to the end.
const MAX_LINES: usize = 200;

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).context("reading ARCHITECTURE.md")?;
    let mut found = Vec::new();
    if text.lines().count() > MAX_LINES {
        found.push(format!("ARCHITECTURE.md: more than {MAX_LINES} lines"));
    }
    let tops = ["host/", "wit/", "plugins/", "sdk/", "tests/", "examples/"];
    for word in text.split('`').skip(1).step_by(2) {
        let path = word.trim_end_matches('/');
        let names_path = tops.iter().any(|top| word.starts_with(top)) && !word.contains(['<', '*', '{', ' ']);
        if names_path && !root.join(path).exists() {
            found.push(format!("ARCHITECTURE.md names `{word}`, which is not there"));
        }
    }
    for entry in fs::read_dir(root.join("host"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !text.contains(&format!("`host/{name}`")) {
            found.push(format!("ARCHITECTURE.md does not name `host/{name}`"));
        }
    }
    Ok(found)
}
