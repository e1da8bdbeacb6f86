//! The time.
//!
//! It is WASI's wall clock, which the host starts at the logged start of the attempt. To ask for it is to ask for
//! nothing: a step that does is still a pure function.

#[cfg(not(target_family = "wasm"))]
mod mock;
#[cfg(target_family = "wasm")]
mod wire;

use std::time::SystemTime;

#[cfg(not(target_family = "wasm"))]
pub use crate::mocking::Mock;
#[cfg(not(target_family = "wasm"))]
pub use mock::mock;

#[cfg(not(target_family = "wasm"))]
use mock as host;
#[cfg(target_family = "wasm")]
use wire as host;

/// The time now. `SystemTime::now` does not work in a cell that was built without WASI.
#[must_use]
pub fn now() -> SystemTime {
    host::now()
}
