//! The figures that the host has to reach, and how far it is from them. `cargo xtask bench` builds everything and
//! runs this; it prints a table and writes `target/bench.json`. With the names of parts it measures those only.
//!
//! It reports and fails on no figure: on a shared machine a figure that is short may be the machine's, and the
//! ratio to a floor that was measured in the same minute says more.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool of the terminal; it has no other output"
)]

mod figure;
mod stats;
mod table;

mod bed;
mod engine;
mod inline_code;
mod outside;
mod served;

use std::{fs, process::ExitCode};

use anyhow::{Context, Result, bail};
use serde_json::json;

use figure::Figure;

fn main() -> ExitCode {
    let measured = tokio::runtime::Builder::new_multi_thread().enable_all().build().map(|runtime| {
        // In a task, as the calls of the API are: the thread that blocks on a runtime is none of its own.
        runtime.block_on(async { tokio::spawn(measure()).await })
    });
    let reported = match measured {
        Ok(Ok(figures)) => figures.and_then(|figures| report(&figures)),
        Ok(Err(error)) => Err(error.into()),
        Err(error) => Err(error.into()),
    };
    match reported {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What can be measured by itself, in this order.
const PARTS: [&str; 4] = ["engine", "inline_code", "outside", "served"];

async fn measure() -> Result<Vec<Figure>> {
    let named: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = named.iter().find(|name| !PARTS.contains(&name.as_str())) {
        bail!("no part `{unknown}`; there are: {}", PARTS.join(", "));
    }
    let mut figures = Vec::new();
    for part in PARTS.into_iter().filter(|part| named.is_empty() || named.iter().any(|name| name == part)) {
        println!("==> measuring {part}");
        let measured = match part {
            "engine" => engine::measure().await,
            "inline_code" => inline_code::measure().await,
            "outside" => outside::measure().await,
            _ => served::measure().await,
        };
        figures.extend(measured.with_context(|| format!("measuring {part}"))?);
    }
    Ok(figures)
}

fn report(figures: &[Figure]) -> Result<()> {
    println!("\n{}", table::render(figures));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let file = stepcell_tests::target().join("bench.json");
    let report = format!("{:#}\n", json!({ "cores": cores, "figures": figures }));
    fs::write(&file, report).with_context(|| format!("writing {}", file.display()))?;
    println!("written to {}", file.display());
    Ok(())
}
