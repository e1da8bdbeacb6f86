//! Outbound HTTP, through the host's one connector.
//!
//! ```no_run
//! # use stepcell::prelude::*;
//! # fn main() -> Result<(), Failure> {
//! use stepcell::http;
//!
//! let orders: Vec<Value> =
//!     http::get("https://api.example.com/orders").query("page", 2).send()?.success()?.json()?;
//! # Ok(())
//! # }
//! ```
//!
//! Which hosts can be reached is decided by the operator's grants. A refusal is a failure of fault
//! `denied` whose message names the line that would allow it.

#[cfg(not(target_family = "wasm"))]
mod mock;
mod request;
mod response;
mod retry_after;
mod status;
#[cfg(target_family = "wasm")]
mod wire;

#[cfg(not(target_family = "wasm"))]
pub use crate::mocking::Mock;
#[cfg(not(target_family = "wasm"))]
pub use mock::mock;
pub use request::{Request, delete, get, patch, post, put, request};
pub use response::Response;

#[cfg(not(target_family = "wasm"))]
use mock::send;
#[cfg(target_family = "wasm")]
use wire::send;
