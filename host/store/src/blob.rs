//! Bytes by their digest, and who keeps them.

use bytes::Bytes;
use jiff::Timestamp;
use stepcell_core::{Digest, RunId};

/// Who keeps a blob. When nobody does any more, it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// A run, until it is removed. Holding twice is holding once.
    Run(RunId),
    /// Nobody but its sender, until then. The latest of several counts; [`Store::sweep`](crate::Store::sweep)
    /// ends it.
    Until(Timestamp),
}

/// A blob that the events of an append refer to.
#[derive(Debug, Clone)]
pub struct BlobRef {
    pub digest: Digest,
    /// Kept where the blob is not there. Without them the append is refused then.
    pub bytes: Option<Bytes>,
}

/// A blob that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    pub digest: Digest,
    /// It was not there before.
    pub is_new: bool,
}
