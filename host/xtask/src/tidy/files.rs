//! The shape of files, and that what belongs together is together.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Lines of code a file may have, its inline tests not counted. Aim at 300.
const MAX_CODE_LINES: usize = 500;

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in ["host", "sdk", "plugins", "tests"] {
        for file in sources(&root.join(folder))? {
            let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            check_source(&shown, &fs::read_to_string(&file)?, &mut found);
        }
    }
    check_plugins(root, &mut found)?;
    check_guests(root, &mut found)?;
    Ok(found)
}

fn check_source(shown: &str, text: &str, found: &mut Vec<String>) {
    let is_test = shown.contains("/tests") || shown.starts_with("tests/");
    let code = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
    if !is_test && code > MAX_CODE_LINES {
        found.push(format!(
            "{shown}: {code} lines of code, {MAX_CODE_LINES} at most; a second idea wants its own file"
        ));
    }
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        if line.trim_start().starts_with("#[ignore") {
            found.push(format!("{shown}:{line_number}: an ignored test"));
        }
        if line.ends_with([' ', '\t']) {
            found.push(format!("{shown}:{line_number}: trailing space"));
        }
    }
}

/// Every plugin says in a few lines what it is, and shows a flow that uses it.
fn check_plugins(root: &Path, found: &mut Vec<String>) -> Result<()> {
    for plugin in folders(&root.join("plugins"))? {
        for needed in ["README.md", "example.yaml"] {
            if !plugin.join(needed).is_file() {
                found.push(format!("plugins/{}: no {needed}", name(&plugin)));
            }
        }
    }
    Ok(())
}

/// A guest that no test or benchmark runs proves nothing.
fn check_guests(root: &Path, found: &mut Vec<String>) -> Result<()> {
    let mut tests = String::new();
    for folder in ["tests/it", "tests/bench"] {
        for file in sources(&root.join(folder))? {
            tests.push_str(&fs::read_to_string(file)?);
        }
    }
    for guest in folders(&root.join("tests/guests"))? {
        if !tests.contains(&name(&guest)) {
            found.push(format!("tests/guests/{}: nothing in tests/it or tests/bench names it", name(&guest)));
        }
    }
    Ok(())
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let skipped = ["target", "node_modules", "__pycache__"].contains(&name(&path).as_str());
            if path.is_dir() && !skipped {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
