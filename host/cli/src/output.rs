//! What goes to stdout: data, as text or JSON, and nothing else.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::{args::OutputFormat, error::Error};

/// Stdout in the format that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: OutputFormat,
}

impl Output {
    pub(crate) fn new(format: OutputFormat) -> Self {
        Self { format }
    }

    pub(crate) fn is_json(self) -> bool {
        self.format == OutputFormat::Json
    }

    /// Prints `value` as one JSON document: indented for a person at a terminal, on one line for a pipe.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<(), Error> {
        if !io::stdout().is_terminal() {
            return self.json_line(value);
        }
        // Through a tree: text that is JSON already is not indented by the serializer.
        let pretty = serde_json::to_value(value).and_then(|tree| serde_json::to_string_pretty(&tree));
        self.text(&format!("{}\n", pretty.map_err(unwritable)?))
    }

    /// Prints `value` as one line of JSON, also at a terminal.
    pub(crate) fn json_line(self, value: &impl Serialize) -> Result<(), Error> {
        self.text(&format!("{}\n", serde_json::to_string(value).map_err(unwritable)?))
    }

    /// Prints text as it is; the caller ends its lines.
    pub(crate) fn text(self, text: &str) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            // The reader has what it wanted, as `head` does: no reason to fail or to say anything.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Error::system("stdout can not be written to", error)),
            Ok(()) => Ok(()),
        }
    }
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::system("a result can not be written as JSON", error)
}

/// Writes a line to stderr. There is nowhere to report that stderr is gone.
pub(crate) fn note(line: &str) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "{line}");
}
