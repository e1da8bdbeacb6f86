//! Secrets that the operator named, without the step ever seeing one.
//!
//! ```no_run
//! # use stepcell::prelude::*;
//! # fn main() -> Result<(), Failure> {
//! use stepcell::{http, secrets};
//!
//! let token = secrets::placeholder("github")?;
//! http::get("https://api.github.com/user").header("authorization", format!("Bearer {token}")).send()?;
//! # Ok(())
//! # }
//! ```
//!
//! The host puts the secret in the placeholder's place, where the request goes to a host that the secret is bound
//! to. A response that echoes it comes back without it.

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

/// What to write into a header, a query or a body instead of the secret: the same as `{{ secret.NAME }}` in the
/// flow. Fails with the code `secrets_denied` where there is no such secret, or no grant for it.
pub fn placeholder(name: &str) -> Result<String, Failure> {
    host::placeholder(name)
}

/// What to write into the header `authorization` for a user whose password is the secret, `Basic` included.
pub fn basic(user: &str, name: &str) -> Result<String, Failure> {
    host::basic(user, name)
}

/// The 32 bytes of HMAC-SHA-256 over `bytes`, with the secret as key. Of a secret that begins with `whsec_`, the rest
/// is the base64 of the key. A placeholder within `bytes` is hashed as it stands.
pub fn hmac_sha256(name: &str, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    host::hmac_sha256(name, bytes)
}
