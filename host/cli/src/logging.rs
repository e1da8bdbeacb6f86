//! Log lines on stderr.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::{
    args::{Global, LogFormat},
    error::Error,
};

/// Starts logging: `--log`, else `RUST_LOG`, else `default`. Once per process.
///
/// With `above`, lines are printed above the live tree, which would else be torn by them.
pub(crate) fn start(global: &Global, default: &str, above: Option<MultiProgress>) -> Result<(), Error> {
    let filter = match (&global.log, std::env::var(EnvFilter::DEFAULT_ENV)) {
        (Some(filter), _) => parse(filter, "--log")?,
        (None, Ok(filter)) if !filter.trim().is_empty() => parse(&filter, EnvFilter::DEFAULT_ENV)?,
        (None, _) => EnvFilter::new(default),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(console::colors_enabled_stderr())
        .with_writer(Stderr { above });
    let started = match global.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Error::system("logging can not be started", anyhow::anyhow!(error)))
}

fn parse(filter: &str, source: &str) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(filter).map_err(|error| {
        Error::call(
            "log_filter_invalid",
            format!("`{filter}` in `{source}` is no log filter: {error}"),
            "write a level, or levels by module: `warn,stepcell_sandbox=trace`",
        )
    })
}

struct Stderr {
    above: Option<MultiProgress>,
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { above: self.above.as_ref() }
    }
}

struct Line<'a> {
    above: Option<&'a MultiProgress>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.above {
            // The tree is taken away while the line is written, and drawn again below it.
            Some(tree) => tree.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
