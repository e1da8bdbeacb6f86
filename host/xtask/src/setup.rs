//! Installs what building needs and is missing. What is there is left alone, so that it may be called often.

mod clock;
pub(crate) mod node;
mod packages;
mod postgres;
pub(crate) mod python;
pub(crate) mod toolchain;

use std::path::Path;

use anyhow::Result;

/// Makes sure of a way to build for wasm, of Python with componentize-py, of Node with componentize-qjs, and, for the
/// tests, of a PostgreSQL server and of clocks that can be moved.
pub(crate) fn run(root: &Path) -> Result<()> {
    toolchain::install()?;
    python::install(root)?;
    node::install(root)?;
    postgres::install()?;
    clock::install()
}
