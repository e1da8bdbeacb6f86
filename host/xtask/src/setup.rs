//! Installs what building needs and is missing. What is there is left alone, so that it may be called often.

pub(crate) mod node;
mod packages;
mod postgres;
pub(crate) mod python;
pub(crate) mod toolchain;

use std::path::Path;

use anyhow::Result;

/// Makes sure of a way to build for wasm, of Python with componentize-py, of Node with componentize-qjs, and of a
/// PostgreSQL server for the tests.
pub(crate) fn run(root: &Path) -> Result<()> {
    toolchain::install()?;
    python::install(root)?;
    node::install(root)?;
    postgres::install()
}
