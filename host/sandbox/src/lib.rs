//! Runs step types as WebAssembly components, each execution in a fresh cell. Knows no flows.
//!
//! Read in this order.

mod bindings;
mod capability;
mod cell;
