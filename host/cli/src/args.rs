//! The command line: every flag and argument, defined once.
//!
//! The first paragraph of a doc comment is the short help (one line of at most 79 columns), the whole of it
//! the long help. Flags win over the environment, which wins over the config file.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    compile_plugin::CompilePlugin, explain::Explain, plugins::Plugins, run::Run, runs::Runs, serve::Serve,
    submit::Submit, validate::Validate,
};

/// Runs workflows in which every step is a WebAssembly component.
///
/// A flow is a YAML or JSON file. Each of its steps names a step type, which a `.wasm` file in a plugin folder
/// provides, and each execution gets a fresh cell with limits on fuel, memory and time.
///
/// Exit status: 0 done, 1 the run failed or the host could not run it, 2 the flow or the call is wrong.
#[derive(Debug, Parser)]
#[command(name = "stepcell", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Run(Run),
    Serve(Serve),
    Submit(Submit),
    Validate(Validate),
    Explain(Explain),
    Plugins(Plugins),
    Runs(Runs),
    #[command(hide = true)]
    CompilePlugin(CompilePlugin),
}

/// The heading of the flags that every command takes.
const EVERYWHERE: &str = "Options of all commands";

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// How results are printed on stdout.
    ///
    /// With `json` an error is a JSON object on stdout as well, beside the exit status:
    /// `stepcell validate flow.yaml --output json | jq '.errors[].message'`
    #[arg(long, global = true, help_heading = EVERYWHERE, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,

    /// Folder for compiled plugins [default: $XDG_CACHE_HOME/stepcell].
    ///
    /// All commands and servers of a user may share one. It holds machine code that is loaded without a
    /// further check, so nobody else may be able to write there. STEPCELL_CACHE means the same.
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "STEPCELL_CACHE", hide_env = true, value_name = "DIR")]
    pub cache: Option<PathBuf>,

    /// What is logged on stderr, such as `info` or `stepcell_engine=debug`.
    ///
    /// A level, or levels by module: `--log warn,stepcell_sandbox=trace`. Without it RUST_LOG holds, then
    /// `info` for `serve` and `error` for everything else.
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILTER")]
    pub log: Option<String>,

    /// How log lines look: for people, or one JSON object a line.
    #[arg(long, global = true, help_heading = EVERYWHERE, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    #[default]
    Text,
    Json,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// For commands that load plugins in this process.
#[derive(Debug, Clone, Default, Args)]
pub struct HostArgs {
    /// The config file [default: stepcell.yaml beside the flow, then here].
    ///
    /// Where there is none, the defaults hold. Paths inside the file are relative to the file. STEPCELL_CONFIG
    /// means the same.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// A plugin folder, instead of those in the config; may be repeated.
    ///
    /// Only the top of a folder is searched. The built-in step types are found beside the binary, without
    /// being named. In the environment several folders are joined as in PATH:
    /// `STEPCELL_PLUGINS=./plugins:/srv/plugins`
    // The environment is read where the config is made: clap would split the flag's value as well.
    #[arg(long, value_name = "DIR")]
    pub plugins: Vec<PathBuf>,
}

/// The input of a run.
#[derive(Debug, Clone, Default, Args)]
#[group(multiple = false)]
pub struct InputArgs {
    /// The run's input, as JSON or YAML.
    ///
    /// `--input '{"id": "A-17"}'` and `--input 'id: A-17'` mean the same. Without it the input is `{}`.
    #[arg(long, value_name = "JSON-OR-YAML")]
    pub input: Option<String>,

    /// A file with the run's input, as JSON or YAML; `-` is stdin.
    ///
    /// `jq '{id: .order}' order.json | stepcell run flow.yaml --input-file -`
    #[arg(long, value_name = "FILE")]
    pub input_file: Option<PathBuf>,
}

/// For commands that talk to a server.
#[derive(Debug, Clone, Default, Args)]
pub struct ServerArgs {
    /// Where the server is [default: `listen` of the config file].
    ///
    /// Such as `http://127.0.0.1:7420`. STEPCELL_URL means the same.
    #[arg(long, env = "STEPCELL_URL", hide_env = true, value_name = "URL")]
    pub url: Option<String>,

    /// The config file that names the server's address.
    ///
    /// Only `listen` is used of it, and only where there is no `--url`. STEPCELL_CONFIG means the same.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[cfg(test)]
mod tests;
