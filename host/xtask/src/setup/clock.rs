//! A library that moves the clock of one process, for the tests of clocks that jump.

use anyhow::Result;

use super::packages;

pub(super) fn install() -> Result<()> {
    packages::install(&["libfaketime"])
}
