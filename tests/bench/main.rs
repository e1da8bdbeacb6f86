//! The figures that the host has to reach, side by side with rivals and floors that were measured in the same run.
//! `cargo xtask bench` builds everything and runs this; it prints tables and writes them to `target/bench.txt`, and
//! everything to `target/bench.json`. With the names of groups it measures those only; with `--quick` it measures just
//! enough to show that it can.
//!
//! It reports and fails on no figure: on a shared machine a figure that is short may be the machine's, and the
//! ratio to what was measured in the same minute says more.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool of the terminal; it has no other output"
)]

mod effort;
mod figure;
mod report;
mod stats;
mod table;

mod client;
mod flows;
mod machine;
mod processes;
mod restate;
#[path = "../guests/fibo/src/computing.rs"]
mod fibo;

mod bed;
mod computing;
mod durable;
mod engine;
mod inline_code;
mod neighbour;
mod outside;
mod served;
mod storage;

use std::{env, process::ExitCode};

use anyhow::{Result, bail};

use effort::Effort;
use figure::Figure;
use report::{Group, Report};

fn main() -> ExitCode {
    match run(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What can be measured by itself, in this order.
const GROUPS: [&str; 8] =
    ["engine", "inline_code", "outside", "computing", "durable", "neighbour", "served", "storage"];

fn run(arguments: &[String]) -> Result<()> {
    if let [processes::COMPUTE, n] = arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        println!("{}", fibo::fibo(n.parse()?));
        return Ok(());
    }
    let (options, mut named): (Vec<_>, Vec<_>) =
        arguments.iter().map(String::as_str).partition(|argument| argument.starts_with('-'));
    if let Some(unknown) = options.iter().find(|option| **option != "--quick") {
        bail!("no option `{unknown}`; there is `--quick`");
    }
    if let Some(unknown) = named.iter().find(|name| **name != "all" && !GROUPS.contains(name)) {
        bail!("no group `{unknown}`; there are: {}, and all", GROUPS.join(", "));
    }
    if named.is_empty() || named.contains(&"all") {
        named = GROUPS.to_vec();
    }
    let effort = Effort { quick: !options.is_empty() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // In a task, as the calls of the API are: the thread that blocks on a runtime is none of its own.
    let named: Vec<String> = named.into_iter().map(str::to_owned).collect();
    let report = runtime.block_on(async move { tokio::spawn(measure(named, effort)).await })??;
    report.write()?;
    match report.failed().as_slice() {
        [] => Ok(()),
        failed => bail!("could not be measured: {}", failed.join(", ")),
    }
}

async fn measure(named: Vec<String>, effort: Effort) -> Result<Report> {
    let mut groups = Vec::new();
    for name in GROUPS.into_iter().filter(|name| named.iter().any(|named| named == name)) {
        println!("==> measuring {name}");
        let load = machine::load()?;
        let (figures, failed) = match group(name, effort).await {
            Ok(figures) => (figures, None),
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        };
        let group = Group { name, load: [load, machine::load()?], figures, failed };
        println!("{}", group.table());
        groups.push(group);
    }
    Ok(Report { quick: effort.quick, groups })
}

async fn group(name: &str, effort: Effort) -> Result<Vec<Figure>> {
    match name {
        "engine" => engine::measure(effort).await,
        "inline_code" => inline_code::measure(effort).await,
        "outside" => outside::measure(effort).await,
        "computing" => computing::measure(effort).await,
        "durable" => durable::measure(effort).await,
        "neighbour" => neighbour::measure(effort).await,
        "served" => served::measure(effort).await,
        _ => storage::measure(effort).await,
    }
}
