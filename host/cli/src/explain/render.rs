//! An explanation for people.

use std::fmt::{self, Write as _};

use serde_json::Value;
use stepcell_core::grant::Yaml;

use super::{Explanation, LimitShare, PluginShare, Share, StepShare};
use crate::text;

/// How wide the names of capabilities are.
pub(crate) const NAMES_WIDTH: usize = 11;
/// How much of a digest is shown.
const DIGEST_CHARS: usize = 12;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "\n" })?;
            write_step(f, step)?;
        }
        Ok(())
    }
}

fn write_step(f: &mut fmt::Formatter<'_>, step: &StepShare) -> fmt::Result {
    writeln!(f, "{}: {}", step.id, text::line(&step.kind))?;
    for (index, plugin) in step.plugins.iter().enumerate() {
        if index > 0 {
            writeln!(f, "  or, as a template decides:")?;
        }
        write_plugin(f, plugin)?;
    }
    match &step.timeout {
        Some(timeout) => {
            writeln!(f, "  {:<NAMES_WIDTH$} {timeout} for one attempt, the step's own", "timeout")
        }
        None => Ok(()),
    }
}

fn write_plugin(f: &mut fmt::Formatter<'_>, plugin: &PluginShare) -> fmt::Result {
    let digest: String = plugin.digest.chars().take(DIGEST_CHARS).collect();
    writeln!(f, "  {:<NAMES_WIDTH$} {}, sha256:{digest}…", "file", text::line(&plugin.file))?;
    f.write_str(&capability_lines(&plugin.capabilities, "  "))?;
    f.write_str(&limits(&plugin.limits, "  "))
}

/// One line for each capability that is asked for, and one for the others.
pub(crate) fn capability_lines(shares: &[Share], margin: &str) -> String {
    let mut out = String::new();
    let below = format!("{margin}{:NAMES_WIDTH$} ", "");
    for share in shares.iter().filter(|share| share.asked) {
        let gets = written(share);
        // Writing to a string does not fail.
        let _ = writeln!(out, "{margin}{:<NAMES_WIDTH$} {gets}: {}", share.capability, share.why);
        for note in &share.notes {
            let _ = writeln!(out, "{below}{note}");
        }
    }
    let others: Vec<&str> =
        shares.iter().filter(|share| !share.asked).map(|share| share.capability).collect();
    if !others.is_empty() {
        let _ = writeln!(out, "{margin}{:<NAMES_WIDTH$} {}", "not asked", others.join(", "));
    }
    out
}

/// The limits in one line, and below it who set them.
pub(crate) fn limits(share: &LimitShare, margin: &str) -> String {
    let written = Value::Object(share.limits.clone());
    let mut out = format!("{margin}{:<NAMES_WIDTH$} {}\n", "limits", Yaml(&written));
    for note in &share.notes {
        let _ = writeln!(out, "{margin}{:<NAMES_WIDTH$} {note}", "");
    }
    out
}

/// What it gets; lists of rules that all have to admit stand beside each other.
fn written(share: &Share) -> String {
    match &share.gets {
        Value::Null => "nothing".to_owned(),
        Value::Array(levels) if share.capability == "http" => {
            let levels: Vec<String> = levels.iter().map(|rules| Yaml(rules).to_string()).collect();
            levels.join(" and of that only ")
        }
        other => Yaml(other).to_string(),
    }
}
