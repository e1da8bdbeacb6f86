//! `cargo xtask demo`: from a fresh clone to a flow that runs.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::{build, shop};

/// Sets up, builds, and runs the order-intake example against a shop on loopback.
pub(crate) fn run(root: &Path) -> Result<()> {
    build::everything(root)?;
    let shop = format!("http://{}", shop::start()?);
    let input = format!(r#"{{"shop": "{shop}", "id": "2041"}}"#);
    let arguments =
        ["run", "examples/order-intake.yaml", "--config", "examples/stepcell.yaml", "--input", &input];
    println!("\n$ SHOP_URL={shop} target/debug/stepcell run examples/order-intake.yaml \\");
    println!("    --config examples/stepcell.yaml --input '{input}'");
    let status = Command::new(root.join("target/debug/stepcell"))
        .args(arguments)
        .current_dir(root)
        .env("SHOP_URL", &shop)
        .status()
        .context("running target/debug/stepcell")?;
    if !status.success() {
        bail!("the demo's flow did not succeed ({status})");
    }
    println!("\nNext: target/debug/stepcell serve, and the curl lines of the README.");
    Ok(())
}
