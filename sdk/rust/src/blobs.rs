//! Bytes in the store, by their digest.
//!
//! ```no_run
//! # use stepcell::prelude::*;
//! # fn main() -> Result<(), Failure> {
//! use stepcell::blobs;
//!
//! let id = blobs::put(b"a long report")?;
//! assert_eq!(blobs::get(&id)?, b"a long report");
//! # Ok(())
//! # }
//! ```
//!
//! A blob is kept as long as a run refers to it. Whether a step may read or write them is the operator's grant.

#[cfg(not(target_family = "wasm"))]
mod mock;
#[cfg(target_family = "wasm")]
mod wire;

#[cfg(not(target_family = "wasm"))]
pub use crate::mocking::Mock;
#[cfg(not(target_family = "wasm"))]
pub use mock::{Call, mock};

use crate::Failure;
#[cfg(not(target_family = "wasm"))]
use mock as host;
#[cfg(target_family = "wasm")]
use wire as host;

/// Keeps bytes for as long as the run is kept, and gives their id: the SHA-256 in 64 hexadecimal digits. The same
/// bytes are kept once.
pub fn put(bytes: &[u8]) -> Result<String, Failure> {
    host::put(bytes)
}

/// The bytes of a blob: one that a step put, an output that was too large, or one that was sent to the server. Fails
/// with the code `blobs_missing` where there is none.
pub fn get(id: &str) -> Result<Vec<u8>, Failure> {
    host::get(id)
}
