//! Mail, through the server that the operator named.
//!
//! ```no_run
//! # use stepcell::prelude::*;
//! # fn main() -> Result<(), Failure> {
//! use stepcell::email::{self, Message};
//!
//! let message_id = email::send(Message {
//!     to: vec!["Ada <ada@example.com>".to_owned()],
//!     subject: "Your order".to_owned(),
//!     text: "It is on its way.".to_owned(),
//!     ..Message::default()
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! The sender is the operator's. Who may be written to is decided by the operator's grants.

#[cfg(not(target_family = "wasm"))]
mod mock;
#[cfg(target_family = "wasm")]
mod wire;

#[cfg(not(target_family = "wasm"))]
pub use crate::mocking::Mock;
#[cfg(not(target_family = "wasm"))]
pub use mock::mock;

use crate::Failure;
#[cfg(not(target_family = "wasm"))]
use mock as host;
#[cfg(target_family = "wasm")]
use wire as host;

/// A mail. Addresses are plain, or `Name <address>`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// At least one.
    pub to: Vec<String>,
    /// Others who see it.
    pub cc: Vec<String>,
    /// Others whom nobody sees.
    pub bcc: Vec<String>,
    /// Where an answer goes; the sender where absent.
    pub reply_to: Option<String>,
    /// One line.
    pub subject: String,
    /// As plain text.
    pub text: String,
    /// As HTML, beside the text.
    pub html: Option<String>,
}

/// Hands a mail to the server, and gives its message id once the server has taken it: the same on every attempt of
/// the step. Fails with the code `email_rejected` where the server says no for good.
pub fn send(message: Message) -> Result<String, Failure> {
    host::send(message)
}
