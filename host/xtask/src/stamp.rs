//! What was done already, by a hash of everything that it was done with.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Collects the inputs of a piece of work.
#[derive(Default)]
pub(crate) struct Inputs(Sha256);

impl Inputs {
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.0.update(text.len().to_le_bytes());
        self.0.update(text);
        self
    }

    /// A file, or every file below a folder, with its name.
    pub(crate) fn path(mut self, path: &Path) -> Result<Self> {
        for file in files(path)? {
            let content = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
            self = self.text(&file.strip_prefix(path).unwrap_or(&file).display().to_string());
            self.0.update(content.len().to_le_bytes());
            self.0.update(content);
        }
        Ok(self)
    }

    /// The stamp that the work leaves at `path` when it is done.
    pub(crate) fn stamp(self, path: impl Into<PathBuf>) -> Stamp {
        Stamp { path: path.into(), hash: hex::encode(self.0.finalize()) }
    }
}

/// A file that says with which inputs a piece of work was done last.
pub(crate) struct Stamp {
    path: PathBuf,
    hash: String,
}

impl Stamp {
    /// Whether the work was done with these very inputs.
    pub(crate) fn is_done(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|hash| hash == self.hash)
    }

    /// To be called after the work: what was broken off is done again.
    pub(crate) fn done(&self) -> Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&self.path, &self.hash).with_context(|| format!("writing {}", self.path.display()))
    }
}

/// Every file below `path`, links followed, sorted; `path` itself where it is a file.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let entries = fs::read_dir(path).with_context(|| format!("reading {}", path.display()))?;
    for entry in entries {
        found.extend(files(&entry?.path())?);
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(folder: &Path) -> Stamp {
        Inputs::default().path(folder).unwrap().stamp(folder.join("../stamp"))
    }

    #[test]
    fn a_changed_file_is_work_again() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        fs::create_dir(&work).unwrap();
        fs::write(work.join("a"), "1").unwrap();
        assert!(!inputs(&work).is_done());
        inputs(&work).done().unwrap();
        assert!(inputs(&work).is_done());
        fs::write(work.join("a"), "2").unwrap();
        assert!(!inputs(&work).is_done());
    }

    #[test]
    fn a_renamed_file_is_work_again() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        fs::create_dir(&work).unwrap();
        fs::write(work.join("a"), "1").unwrap();
        inputs(&work).done().unwrap();
        fs::rename(work.join("a"), work.join("b")).unwrap();
        assert!(!inputs(&work).is_done());
    }
}
