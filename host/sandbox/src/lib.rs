//! Runs step types as WebAssembly components, each execution in a fresh cell. Knows no flows.
//!
//! Read in this order.

mod access;
pub mod bench;
mod bindings;
mod cache;
mod capability;
mod cell;
mod cells;
mod compile;
pub mod connector;
mod error;
mod execution;
mod folder;
mod inspect;
mod lanes;
mod library;
mod limits;
mod machine;
mod mail;
mod options;
mod outcome;
mod plugin;
mod plugins;
mod sandbox;
mod trap;
mod vault;
mod wasi;

#[cfg(test)]
mod tests;

pub use access::{Access, GrantSource};
pub use compile::child::{CompileError, compile_child};
pub use error::Error;
pub use folder::shipped_grant;
pub use inspect::inspect;
pub use mail::{MailConfig, MailConfigError};
pub use options::{Compiler, Options};
pub use sandbox::Sandbox;
pub use stepcell_core::grant::{Grant, HttpRule, RuleError};
pub use stepcell_database as database;
pub use vault::{Secret, Swap};
