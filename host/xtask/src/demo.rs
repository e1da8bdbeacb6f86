//! `cargo xtask demo`: from a fresh clone to a flow that runs.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::{build, shop};

/// Each with what its input holds beside the shop's address.
const FLOWS: [(&str, &str); 2] = [
    ("order-intake", r#""id": "2041""#),
    ("order-review", r#""id": "2041", "review": "The second lamp came broken.""#),
];

/// Sets up, builds, and runs the examples against a shop on loopback.
pub(crate) fn run(root: &Path) -> Result<()> {
    build::everything(root)?;
    let shop = format!("http://{}", shop::start()?);
    for (flow, input) in FLOWS {
        play(root, &shop, &format!("examples/{flow}.yaml"), &format!(r#"{{"shop": "{shop}", {input}}}"#))?;
    }
    println!("\nNext: target/debug/stepcell serve, and the curl lines of the README.");
    Ok(())
}

fn play(root: &Path, shop: &str, flow: &str, input: &str) -> Result<()> {
    let arguments = ["run", flow, "--config", "examples/stepcell.yaml", "--input", input];
    println!("\n$ SHOP_URL={shop} target/debug/stepcell run {flow} \\");
    println!("    --config examples/stepcell.yaml --input '{input}'");
    let status = Command::new(root.join("target/debug/stepcell"))
        .args(arguments)
        .current_dir(root)
        .env("SHOP_URL", shop)
        .status()
        .context("running target/debug/stepcell")?;
    if !status.success() {
        bail!("{flow} did not succeed ({status})");
    }
    Ok(())
}
