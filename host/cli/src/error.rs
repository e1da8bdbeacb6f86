//! Why a command did not do its work, and what the caller of the process is told.

use std::{borrow::Cow, fmt::Write, process::ExitCode};

use serde::Serialize;
use serde_json::json;

use crate::{
    includes::below,
    listing::Listing,
    output::{Output, note},
    text,
};

/// Why a command stopped. The exit status follows from the variant.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The call is wrong: an argument, a file that is not there, an address that is not allowed.
    #[error("{message}")]
    Call { code: Cow<'static, str>, message: String, hint: Option<String> },
    /// A flow, an input or the config file is wrong. Every problem is listed.
    #[error("{0}")]
    Problems(Listing),
    /// The run has ended without success; the command has already said why.
    #[error("the run failed")]
    RunFailed,
    /// Told to stop a second time, before the run had ended.
    #[error("interrupted before the run had ended")]
    Interrupted,
    /// The host, the network or the disk could not do it; the caller may try again.
    #[error("{message}")]
    System {
        message: String,
        hint: Option<String>,
        #[source]
        source: Option<anyhow::Error>,
    },
}

impl Error {
    /// The call is wrong.
    pub fn call(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Call { code: code.into(), message: message.into(), hint: Some(hint.into()) }
    }

    /// The host could not do it; `message` says what, `source` why.
    pub fn system(message: impl Into<String>, source: impl Into<anyhow::Error>) -> Self {
        Self::System { message: message.into(), hint: None, source: Some(source.into()) }
    }

    /// The engine did not do what it was asked.
    pub fn engine(error: stepcell_engine::Error) -> Self {
        let hint = error.hint();
        Self::System { message: "the engine did not do it".to_owned(), hint, source: Some(error.into()) }
    }

    /// Says what to do now, where nothing better is known.
    #[must_use]
    pub fn or_hint(mut self, advice: impl Into<String>) -> Self {
        if let Self::Call { hint, .. } | Self::System { hint, .. } = &mut self {
            hint.get_or_insert_with(|| advice.into());
        }
        self
    }

    /// Says in which file or argument the problems are, where nothing says so yet.
    #[must_use]
    pub(crate) fn within(mut self, name: &str) -> Self {
        if let Self::Problems(listing) = &mut self
            && listing.file.is_empty()
        {
            name.clone_into(&mut listing.file);
        }
        self
    }

    /// Says which line of a file of inputs it is about.
    #[must_use]
    pub(crate) fn at_line(mut self, line: usize) -> Self {
        match &mut self {
            Self::Call { message, .. } | Self::System { message, .. } => {
                *message = format!("line {line}: {message}")
            }
            Self::Problems(listing) => {
                let line = u32::try_from(line).unwrap_or(u32::MAX);
                let in_input =
                    listing.errors.iter_mut().filter(|entry| below(&entry.path, "input").is_some());
                in_input.for_each(|entry| (entry.line, entry.column) = (line, 1));
            }
            Self::RunFailed | Self::Interrupted => {}
        }
        self
    }

    /// Tells the user, once: on stderr as text, or on stdout as JSON.
    pub(crate) fn report(&self, output: Output) {
        if matches!(self, Self::RunFailed) {
            return;
        }
        if output.is_json() {
            // Where stdout itself is the trouble, stderr is told below.
            if output.json(&self.to_json()).is_ok() {
                return;
            }
        }
        note(text::safe(&self.to_text()).trim_end());
    }

    /// 1 where a run or the host failed, 2 where the caller has to change something.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::RunFailed | Self::Interrupted | Self::System { .. } => ExitCode::from(1),
            Self::Call { .. } | Self::Problems(_) => ExitCode::from(2),
        }
    }

    fn to_text(&self) -> String {
        let (message, hint) = match self {
            Self::Problems(listing) => return listing.to_string(),
            Self::Call { message, hint, .. } => (message.clone(), hint),
            Self::System { message, hint, source } => {
                (source.as_ref().map_or(message.clone(), |source| format!("{message}: {source:#}")), hint)
            }
            Self::RunFailed | Self::Interrupted => (self.to_string(), &None),
        };
        let mut out = format!("error: {message}\n");
        if let Some(hint) = hint {
            // Writing to a string does not fail.
            let _ = writeln!(out, "  hint: {hint}");
        }
        out
    }

    fn to_json(&self) -> serde_json::Value {
        #[derive(Serialize)]
        struct Body<'a> {
            kind: &'static str,
            code: &'a str,
            message: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            hint: Option<&'a str>,
        }
        let body = match self {
            Self::Problems(listing) => return listing.to_json(),
            Self::Call { code, message, hint } => {
                Body { kind: "call", code, message: message.clone(), hint: hint.as_deref() }
            }
            Self::System { message, hint, source } => Body {
                kind: "system",
                code: "system",
                message: source.as_ref().map_or(message.clone(), |source| format!("{message}: {source:#}")),
                hint: hint.as_deref(),
            },
            Self::RunFailed => {
                Body { kind: "run", code: "run_failed", message: self.to_string(), hint: None }
            }
            Self::Interrupted => {
                Body { kind: "run", code: "interrupted", message: self.to_string(), hint: None }
            }
        };
        json!({ "error": body })
    }
}
