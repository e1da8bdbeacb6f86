//! `plugins`: what is in the folders, and what one file is.

mod description;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use stepcell_engine::{PluginInfo, PluginState};

use self::description::Description;
use crate::{
    args::{Global, HostArgs},
    config::{Config, Flags},
    error::Error,
    host::{self, Inspected, PluginSet},
    logging,
    output::Output,
    text,
};

/// Shows the plugins in the folders, or what one file is.
///
/// Works on the files themselves, without a server.
#[derive(Debug, Args)]
pub struct Plugins {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(List),
    Inspect(Inspect),
    Check(Check),
}

/// Lists the files in the plugin folders, the refused ones too.
///
/// stepcell plugins list --plugins ./plugins --output json | jq '.[] | select(.state == "refused")'
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    host: HostArgs,
}

/// Shows what a file provides, what it asks for and what it would get.
///
/// What it gets is what `stepcell.yaml` grants its type, before a flow narrows it. Its `describe` is run for that, in a cell that may reach nothing.
#[derive(Debug, Args)]
struct Inspect {
    /// The file; it need not be in a plugin folder.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    host: HostArgs,
}

/// Checks that a file would be accepted into a plugin folder.
///
/// Exit status 2, and the reason on stderr, where it would not:
///
/// stepcell plugins check step.wasm && cp step.wasm plugins/
#[derive(Debug, Args)]
struct Check {
    /// The file; it need not be in a plugin folder.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    host: HostArgs,
}

impl Plugins {
    pub async fn run(self, global: &Global) -> Result<(), Error> {
        logging::start(global, "error", None)?;
        let output = Output::new(global.output);
        match self.action {
            Action::List(List { host }) => list(output, &host, global).await,
            Action::Inspect(Inspect { file, host }) => inspect(output, &file, &host, global).await,
            Action::Check(Check { file, host }) => check(output, &file, &host, global).await,
        }
    }
}

async fn list(output: Output, args: &HostArgs, global: &Global) -> Result<(), Error> {
    let config = Config::load(&Flags::from(args), None)?;
    let plugins = PluginSet::load(&config, global).await?;
    plugins.settled().await;
    let files = plugins.list();
    if output.is_json() {
        return output.json(&files);
    }
    let rows: Vec<_> = files.iter().map(row).collect();
    output.text(&text::table(["TYPE", "STATE", "SIZE", "CAPABILITIES", "FILE"], &rows))
}

fn row(file: &PluginInfo) -> [String; 5] {
    let (kind, state) = match &file.state {
        PluginState::Loading => ("-", "loading"),
        PluginState::Ready { kind } => (kind.as_str(), "ready"),
        PluginState::Refused { .. } => ("-", "refused"),
    };
    let capabilities =
        if file.capabilities.is_empty() { "-".to_owned() } else { file.capabilities.join(", ") };
    [
        text::line(kind),
        state.to_owned(),
        text::bytes(file.bytes),
        text::line(&capabilities),
        text::line(&file.file),
    ]
}

async fn inspect(output: Output, file: &Path, args: &HostArgs, global: &Global) -> Result<(), Error> {
    let config = Config::load(&Flags::from(args), None)?;
    let Inspected { info, granted } = host::inspect(file, &config, global).await?;
    let info = accepted(file, info)?;
    let description = Description::new(&info, granted, &config);
    if output.is_json() {
        output.json(&description)
    } else {
        output.text(&text::safe(&description.to_string()))
    }
}

async fn check(output: Output, file: &Path, args: &HostArgs, global: &Global) -> Result<(), Error> {
    let config = Config::load(&Flags::from(args), None)?;
    let info = accepted(file, host::inspect(file, &config, global).await?.info)?;
    match &info.state {
        _ if output.is_json() => output.json(&info),
        PluginState::Ready { kind } => {
            output.text(&format!("{}: provides `{}`\n", file.display(), text::line(kind)))
        }
        _ => Ok(()),
    }
}

/// A file that a folder would take; one that it would not is the caller's to mend.
fn accepted(file: &Path, info: PluginInfo) -> Result<PluginInfo, Error> {
    let PluginState::Refused { reason, hint } = info.state else { return Ok(info) };
    let message = format!("`{}` is refused: {reason}", file.display());
    Err(Error::Call { code: "plugin_refused".into(), message, hint })
}
