//! What a run was refused, made into the smallest grant that would have allowed it.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;
use serde_json::{Map, Value};
use stepcell_core::{
    StepId,
    event::CapabilityDenied,
    grant::{Grant, Level, Yaml},
    parse::{Document, Format},
};

use crate::{config::Grants, text};

/// The longest lines of a refusal that are read. They hold a whole grant at most.
const ALLOW_BYTES_MAX: usize = 1 << 20;

/// Collects refusals.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    /// All of `grants` in stepcell.yaml as it would have to be, by its keys.
    grants: BTreeMap<String, Grant>,
    /// Other keys of stepcell.yaml, such as a secret that is not there yet: each as its refusal gave it.
    config: Vec<String>,
    /// For `grants` of the flow or the step that narrows too far.
    flow: Vec<(String, String)>,
    /// Refusals that no line would allow.
    never: Vec<String>,
    refused: bool,
}

/// As programs read it.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    grants: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    config: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flow: Vec<FlowLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    never: Vec<String>,
}

#[derive(Debug, Serialize)]
struct FlowLine {
    step: String,
    allow: String,
}

impl Learned {
    /// Of all refusals of a run, on top of what is granted already; `kind_of` gives the type of a step.
    pub(crate) fn new<'k>(
        granted: &Grants,
        denied: &[(Option<StepId>, CapabilityDenied)],
        kind_of: impl Fn(&StepId) -> Option<&'k str>,
    ) -> Self {
        let grants = granted.iter().map(|(key, grant)| (key, grant.clone())).collect();
        let mut learned = Self { grants, refused: !denied.is_empty(), ..Self::default() };
        for (step, refusal) in denied {
            let kind = step.as_ref().and_then(&kind_of).unwrap_or_default();
            let step = step.as_ref().map(ToString::to_string).unwrap_or_default();
            learned.take(&step, kind, refusal);
        }
        learned
    }

    /// Whether anything was refused.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    pub(crate) fn view(&self) -> View {
        let line = |(step, allow): &(String, String)| FlowLine { step: step.clone(), allow: allow.clone() };
        View {
            grants: self.grants.iter().map(|(kind, grant)| (kind.clone(), grant.to_value())).collect(),
            config: self.config.clone(),
            flow: self.flow.iter().map(line).collect(),
            never: self.never.clone(),
        }
    }

    /// YAML that can take the place of `grants` in stepcell.yaml; what belongs elsewhere stands in comments.
    pub(crate) fn yaml(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        if !self.grants.is_empty() {
            out.push_str("grants:\n");
        }
        for (key, grant) in &self.grants {
            let _ = writeln!(out, "  {}: {grant}", Yaml(&Value::from(key.as_str())));
        }
        for line in &self.config {
            let _ = writeln!(out, "# beside what is there, with values of yours: {}", text::line(line));
        }
        for (step, allow) in &self.flow {
            let _ = writeln!(out, "# the flow, or its step `{step}`, narrows too far; there it has to be:");
            let _ = writeln!(out, "# {}", text::line(allow));
        }
        for refusal in &self.never {
            let _ = writeln!(out, "# no grant allows {}", text::line(refusal));
        }
        out
    }

    fn take(&mut self, step: &str, kind: &str, refusal: &CapabilityDenied) {
        let Some(map) = read(&refusal.allow) else {
            add(&mut self.never, format!("{} `{}`: {}", refusal.capability, refusal.target, refusal.message));
            return;
        };
        for (key, value) in map {
            match operator_entry(&value, kind).filter(|_| key == "grants") {
                Some((entry, value)) => {
                    let (grant, _) = Grant::read(value, Level::Operator);
                    self.grants.entry(entry.clone()).or_default().widen(&grant);
                }
                None if key == "grants" => {
                    let line = (step.to_owned(), format!("grants: {}", Yaml(&value)));
                    if !self.flow.contains(&line) {
                        self.flow.push(line);
                    }
                }
                None => add(&mut self.config, format!("{}: {}", Yaml(&Value::from(key)), Yaml(&value))),
            }
        }
    }
}

/// The entry under `grants` for a step type, or for a file as this type: what a flow narrows has no such key.
fn operator_entry<'v>(grants: &'v Value, kind: &str) -> Option<(&'v String, &'v Value)> {
    let is_entry = |key: &str| key.split('@').next() == Some(kind);
    grants.as_object()?.iter().find(|(key, _)| is_entry(key))
}

/// The lines of a refusal; `None` where there are none.
fn read(allow: &str) -> Option<Map<String, Value>> {
    let document = Document::read(allow, Format::Yaml, ALLOW_BYTES_MAX).ok()?;
    match document.value() {
        Value::Object(map) if !map.is_empty() => Some(map),
        _ => None,
    }
}

fn add(list: &mut Vec<String>, line: String) {
    if !list.contains(&line) {
        list.push(line);
    }
}

#[cfg(test)]
mod tests;
