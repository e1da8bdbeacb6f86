//! Why the store could not do it.

use stepcell_core::{Digest, RunId, run::RunStatus};

/// Why the store could not do it. Cheap to clone, since one failed sync answers many appends.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Somebody else has written to the run: another host, or an earlier append failed.
    #[error("run {run} is at event {found}, not {expected}: somebody else has written to it")]
    Conflict { run: RunId, expected: u64, found: u64 },
    /// The append is not one: no events, a gap, or a summary that does not fit. A fault of the caller.
    #[error("the append to run {run} is malformed: {reason}")]
    Malformed { run: RunId, reason: String },
    /// An append names a blob that is not there, and does not bring its bytes.
    #[error("there is no blob `{digest}`")]
    BlobMissing { digest: Digest },
    /// Another run was submitted under the same key.
    #[error("the idempotency key is that of run {run}")]
    Claimed {
        run: RunId,
        /// Of what was submitted then.
        body: Digest,
    },
    /// An event is too large to be kept.
    #[error("the event's {what} has {bytes} bytes, and at most {most} are kept")]
    EventTooLarge { what: &'static str, bytes: usize, most: usize },
    /// The run goes on, so that it can not be removed.
    #[error("run {run} is {status}: only a run that has ended can be removed")]
    Unfinished { run: RunId, status: RunStatus },
    /// The disk is full. Reading goes on, and writing does as soon as there is room.
    #[error("the disk that holds the data folder is full")]
    Full,
    /// More waits for the disk than the store may hold in memory.
    #[error("the store is busy: {waiting} writes wait for the disk")]
    Busy { waiting: usize },
    /// Reading or writing failed; nothing was acknowledged.
    #[error("{action}: {reason}")]
    Io { action: &'static str, reason: String },
    /// An earlier sync failed, so what is on the disk is unknown: no append is taken until a restart.
    #[error("the store takes no more writes, since an earlier one failed: {reason}")]
    Failed { reason: String },
    /// What was read is not what was written.
    #[error("{what} is damaged: {reason}")]
    Damaged { what: String, reason: String },
    /// Another version of this program has written the data folder.
    #[error("the store's layout is version {found}, and this program reads version {known}")]
    Layout { found: u8, known: u8 },
    /// Another process has the data folder open.
    #[error("the data folder is in use by another process")]
    InUse,
}

impl Error {
    /// A stable short name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "store_conflict",
            Self::Malformed { .. } => "store_malformed",
            Self::BlobMissing { .. } => "blob_missing",
            Self::Claimed { .. } => "run_claimed",
            Self::EventTooLarge { .. } => "event_too_large",
            Self::Unfinished { .. } => "run_unfinished",
            Self::Full => "store_full",
            Self::Busy { .. } => "store_busy",
            Self::Io { .. } => "store_io",
            Self::Failed { .. } => "store_failed",
            Self::Damaged { .. } => "store_damaged",
            Self::Layout { .. } => "store_layout",
            Self::InUse => "store_in_use",
        }
    }

    /// What to do now.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Conflict { .. } => Some("read the run again, then decide anew"),
            Self::BlobMissing { .. } => Some("put it again: `POST /api/v1/blobs`"),
            Self::Claimed { .. } => Some("read that run, or submit this one under another key"),
            Self::EventTooLarge { what: "payload", .. } => {
                Some("put what is large as a blob, and send its digest: `POST /api/v1/blobs`")
            }
            Self::EventTooLarge { .. } => Some("shorten it"),
            Self::Unfinished { .. } => Some("cancel the run first"),
            Self::Full => Some("free some space, or delete runs; the store goes on by itself"),
            Self::Busy { .. } => Some("submit fewer runs at a time, or give the data folder a faster disk"),
            Self::Failed { .. } => Some("check the disk, then restart the host; runs go on where they were"),
            Self::Damaged { .. } => Some("put back a copy of the data folder from before the damage"),
            Self::Layout { .. } => {
                Some("name an empty folder with `--data`, or open this one with the program that wrote it")
            }
            Self::InUse => Some("stop the other process, or give this one its own folder with `--data`"),
            Self::Malformed { .. } | Self::Io { .. } => None,
        }
    }
}
