//! Runs step types as WebAssembly components, each execution in a fresh cell. Knows no flows.
//!
//! Read in this order.

pub mod grant;
pub mod connector;
mod bindings;
mod capability;
mod cell;

pub use connector::Connector;
pub use grant::{Grant, HttpRule};
