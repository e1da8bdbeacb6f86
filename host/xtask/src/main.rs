//! What is done in a checkout: set-up, building plugins, the demo, tests, tidy checks.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool of the terminal; it has no other output"
)]

mod bench;
mod build;
mod coverage;
mod demo;
mod guests;
mod plugins;
mod setup;
mod shop;
mod test;
mod tidy;

mod component;
mod stamp;
mod wasm;

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo      set up, build everything, run the example flow
  test      set up, build everything, run every test
  bench     set up, build everything, measure what the host has to reach beside its rivals
  setup     install what building needs and is missing
  plugins   build the built-in step types into target/plugins
  guests    build the test programs into target/guests
  tidy      check the rules of the house
  coverage  tell how many lines of the Rust plugins their tests reach
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("host/xtask lies in the root")?;
    let Some((command, rest)) = arguments.split_first() else { bail!("no command\n\n{USAGE}") };
    match command.as_str() {
        "demo" => demo::run(root),
        "test" => test::run(root, rest),
        "bench" => bench::run(root, rest),
        "setup" => setup::run(root),
        "plugins" => setup::run(root).and_then(|()| plugins::build(root)),
        "guests" => setup::run(root).and_then(|()| guests::build(root)),
        "tidy" => tidy::run(root),
        "coverage" => coverage::run(root),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("no command `{other}`\n\n{USAGE}"),
    }
}
