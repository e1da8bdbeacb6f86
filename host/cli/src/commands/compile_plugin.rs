//! `compile-plugin`: the child process in which the sandbox compiles one component.

use std::path::PathBuf;

use clap::Args;

use crate::error::Error;

/// Compiles one component; the host starts this for itself.
#[derive(Debug, Args)]
pub struct CompilePlugin {
    /// The component.
    pub input: PathBuf,
    /// Where the machine code goes.
    pub output_file: PathBuf,
}

impl CompilePlugin {
    /// Runs without the async runtime: the child is limited in memory and must not start what it does not need.
    pub fn run(self) -> Result<(), Error> {
        stepcell_sandbox::compile_child(&self.input, &self.output_file)
            .map_err(|error| Error::system(format!("`{}` was not compiled", self.input.display()), error))
    }
}
