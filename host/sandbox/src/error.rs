//! Why the sandbox could not start.

use std::{io, path::PathBuf};

/// Which thing, and why; [`Error::hint`] says what to do now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the cache folder `{}` can not be used: {reason}", path.display())]
    Cache { path: PathBuf, reason: String },
    #[error("the threads for cells can not be started")]
    Threads(#[source] io::Error),
    #[error("the WebAssembly engine can not be started: {0}")]
    Engine(String),
    #[error("`{}` can not be read", path.display())]
    File { path: PathBuf, source: io::Error },
}

impl Error {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cache { .. } => "cache_unusable",
            Self::Threads(_) => "threads_unavailable",
            Self::Engine(_) => "engine_unavailable",
            Self::File { .. } => "file_unreadable",
        }
    }

    /// What to do now.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Cache { .. } => Some("name a folder that only you can write to, with `--cache`".to_owned()),
            Self::Engine(_) => Some(
                "it reserves a lot of address space: look for a limit on virtual memory (`ulimit -v`)"
                    .to_owned(),
            ),
            Self::Threads(_) => Some("look for a limit on processes and threads (`ulimit -u`)".to_owned()),
            Self::File { .. } => None,
        }
    }
}
