//! Runs step types as WebAssembly components, each execution in a fresh cell. Knows no flows.
//!
//! Read in this order.

mod error;
mod options;
pub mod grant;
mod sandbox;
mod plugins;
mod library;
mod folder;
mod cache;
mod compile;
mod plugin;
mod cells;
mod lanes;
mod execution;
mod cell;
mod machine;
mod limits;
mod outcome;
mod trap;
mod wasi;
mod bindings;
mod capability;
pub mod connector;
mod inspect;
pub mod bench;

pub use compile::child::{CompileError, compile_child};
pub use connector::Connector;
pub use error::Error;
pub use grant::{Grant, HttpRule, RuleError};
pub use inspect::inspect;
pub use options::{Compiler, Options};
pub use sandbox::Sandbox;
