//! Installs what building needs and is missing. What is there is left alone, so that it may be called often.

pub(crate) mod node;
mod packages;
pub(crate) mod python;
pub(crate) mod toolchain;

use std::path::Path;

use anyhow::Result;

/// Makes sure of a way to build for wasm, of Python with componentize-py, and of Node with componentize-qjs.
pub(crate) fn run(root: &Path) -> Result<()> {
    toolchain::install()?;
    python::install(root)?;
    node::install(root)
}
