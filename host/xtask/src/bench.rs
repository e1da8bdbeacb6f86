//! `cargo xtask bench`: the figures that the host has to reach, side by side with its rivals.

mod restate;

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::build;

/// Sets up, builds everything, and measures: all groups, or the named ones. Fails where something can not be
/// measured, never on a figure.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    build::everything(root)?;
    build::warm_cache(root)?;
    if needs_restate(arguments) {
        restate::install(root)?;
    }
    // Started as it was built: through another selection of packages cargo would build wasmtime once more.
    build::run(Command::new(root.join("target/debug/examples/bench")).args(arguments).current_dir(root))
}

/// The program itself knows the groups; here is only which of them need a rival that takes minutes to build.
fn needs_restate(arguments: &[String]) -> bool {
    let mut groups = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
    groups.peek().is_none() || groups.any(|group| group == "durable" || group == "all")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arguments: &[&str], needed: bool) {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        assert_eq!(needs_restate(&arguments), needed, "{arguments:?}");
    }

    #[test]
    fn a_rival_is_built_for_its_own_group_only() {
        check(&[], true);
        check(&["--quick"], true);
        check(&["all"], true);
        check(&["engine", "durable"], true);
        check(&["engine"], false);
        check(&["--quick", "storage", "neighbour"], false);
    }
}
