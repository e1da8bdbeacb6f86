//! Problems with a file, each with its place, all at once.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;
use stepcell_core::problem::Problem;

use crate::{output::note, text};

/// A problem as it is printed and as it comes from a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where in the document, such as `steps[2].config.url`.
    #[serde(default)]
    pub path: String,
    /// Counted from 1; 0 where the place is not known.
    #[serde(default)]
    pub line: u32,
    #[serde(default)]
    pub column: u32,
    pub code: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Another file than that of the listing, which this one was put into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// What is wrong with one file. Printed as `FILE:LINE:COLUMN: message`, hints on lines of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The file as the user named it.
    pub file: String,
    pub errors: Vec<Entry>,
    pub warnings: Vec<Entry>,
}

impl Listing {
    pub fn new(file: impl Into<String>, errors: Vec<Problem>) -> Self {
        Self {
            file: file.into(),
            errors: errors.into_iter().map(Entry::from).collect(),
            warnings: Vec::new(),
        }
    }

    #[must_use]
    pub fn with_warnings(mut self, warnings: impl IntoIterator<Item = Problem>) -> Self {
        self.warnings.extend(warnings.into_iter().map(Entry::from));
        self
    }

    /// Prints what there is to stderr, if anything.
    pub fn note(&self) {
        let text = self.to_string();
        if !text.is_empty() {
            note(text::safe(&text).trim_end());
        }
    }

    /// `{"valid", "file", "errors", "warnings"}`, the same for a valid and an invalid file.
    pub fn to_json(&self) -> serde_json::Value {
        json!({
            "valid": self.errors.is_empty(),
            "file": self.file,
            "errors": self.errors,
            "warnings": self.warnings,
        })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, entry: &Entry, mark: &str) -> fmt::Result {
        let Entry { line, column, message, hint, .. } = entry;
        let file = entry.file.as_ref().unwrap_or(&self.file);
        match line {
            0 => writeln!(f, "{file}: {mark}{message}")?,
            _ => writeln!(f, "{file}:{line}:{column}: {mark}{message}")?,
        }
        for advice in hint.iter().flat_map(|hint| hint.lines()).enumerate() {
            match advice {
                (0, first) => writeln!(f, "  hint: {first}")?,
                (_, next) => writeln!(f, "        {next}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.errors {
            self.write(f, entry, "")?;
        }
        for entry in &self.warnings {
            self.write(f, entry, "warning: ")?;
        }
        Ok(())
    }
}

impl From<Problem> for Entry {
    fn from(problem: Problem) -> Self {
        Self {
            path: problem.path,
            line: problem.line,
            column: problem.column,
            code: problem.code.to_owned(),
            message: problem.message,
            hint: problem.hint,
            file: None,
        }
    }
}

#[cfg(test)]
mod tests;
