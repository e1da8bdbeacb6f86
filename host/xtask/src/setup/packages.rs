//! Debian's packages.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::build::{run, step};

/// Installs what is missing of these, with apt, as root or through `sudo` where it asks for no password.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !succeeds(Command::new("apt-get").arg("--version")) {
        bail!(
            "this needs the packages {list}, and there is no apt-get here: install them, or what they provide, by hand"
        );
    }
    let Some(apt) = privileged() else {
        bail!("this needs the packages {list}: run `sudo apt-get install {list}`, then this again");
    };
    step(&format!("installing {list} with apt"), || {
        let install = || {
            let mut command = apt();
            command.args(["install", "--yes", "--no-install-recommends"]).args(&missing);
            command.stdout(Stdio::null());
            run(&mut command)
        };
        // The lists of a fresh machine are often empty or old.
        install().or_else(|_| run(apt().arg("update").stdout(Stdio::null())).and_then(|()| install()))
    })
}

fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query").args(["--show", "--showformat=${Status}", package]).output();
    query.is_ok_and(|answer| answer.stdout.ends_with(b" installed"))
}

/// How to run apt with the rights that it needs.
fn privileged() -> Option<fn() -> Command> {
    let id = Command::new("id").arg("-u").output().ok()?;
    if id.stdout.trim_ascii() == b"0" {
        return Some(|| apt_with(Command::new("env")));
    }
    succeeds(Command::new("sudo").args(["-n", "true"])).then_some(|| {
        let mut command = Command::new("sudo");
        command.args(["-n", "env"]);
        apt_with(command)
    })
}

fn apt_with(mut env: Command) -> Command {
    env.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet=2"]);
    env
}

pub(super) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}
