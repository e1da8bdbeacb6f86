//! Which folders of the host a step sees.

use std::path::PathBuf;

/// What a step may do in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileAccess {
    Read,
    /// Reading included.
    Write,
}

/// `./reports`, or `{path: ./reports, at: /reports, access: write}`; reading, unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRule {
    /// The folder on the host, as written. In a flow or a step there is none: they name what the step sees.
    pub path: Option<PathBuf>,
    /// Where the step finds it: an absolute path. By default the last part of `path`.
    pub at: String,
    pub access: FileAccess,
}
