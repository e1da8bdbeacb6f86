//! Digests of what may be large, off the runtime's threads.

use bytes::Bytes;
use stepcell_core::Digest;

use crate::Error;

/// Bytes that are hashed where they are. Beyond this the work, about half a millisecond, would hold up the
/// other tasks of a runtime thread for longer than a hop to another one costs.
const HASHED_IN_PLACE_MAX: usize = 256 << 10;

/// The digest of `bytes`.
pub async fn of(bytes: &Bytes) -> Result<Digest, Error> {
    if bytes.len() <= HASHED_IN_PLACE_MAX {
        return Ok(Digest::of(bytes));
    }
    let bytes = bytes.clone();
    tokio::task::spawn_blocking(move || Digest::of(&bytes))
        .await
        .map_err(|error| Error::Io { action: "hash a blob", reason: error.to_string() })
}
