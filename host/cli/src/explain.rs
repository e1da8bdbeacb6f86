//! What each step of a flow can ask for, what it gets of it, and why not more.

mod capability;
mod doubts;
mod render;
mod share;
mod warnings;

use std::sync::Arc;

use serde::Serialize;
use stepcell_core::{
    Catalog, Digest, Flow, Limits,
    catalog::Provider,
    flow::LimitsPatch,
    grant::Grant,
    parse::units,
    plan::{Plan, PlannedStep},
};
use stepcell_sandbox::GrantSource;

pub(crate) use self::{
    capability::Capability,
    doubts::{doubts, note_doubts},
    render::{NAMES_WIDTH, capability_lines, limits},
    share::{Share, Word, shares},
    warnings::warnings,
};
use crate::{config::Config, host::PluginSet};

/// A flow's steps, in the order of the file.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    pub(crate) flow: String,
    pub(crate) steps: Vec<StepShare>,
}

/// One step, with each plugin that may serve it: more than one where a template decides.
#[derive(Debug, Serialize)]
pub(crate) struct StepShare {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) plugins: Vec<PluginShare>,
    /// The step's own `timeout`, as it would be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<String>,
}

/// What one plugin gets where it serves one step.
#[derive(Debug, Serialize)]
pub(crate) struct PluginShare {
    pub(crate) file: String,
    pub(crate) digest: String,
    pub(crate) capabilities: Vec<Share>,
    pub(crate) limits: LimitShare,
    #[serde(skip)]
    pub(crate) word: Word,
    /// What flow and step leave of the operator's word.
    #[serde(skip)]
    pub(crate) left: Grant,
}

/// The limits of one execution, and who set them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LimitShare {
    /// As they would be written.
    #[serde(flatten)]
    pub(crate) limits: serde_json::Map<String, serde_json::Value>,
    /// What the operator allows, before flow and step.
    #[serde(skip)]
    pub(crate) allowed: Limits,
    #[serde(skip)]
    pub(crate) notes: Vec<String>,
}

impl Explanation {
    /// Of a plan, with the plugins and the config of now.
    pub(crate) fn new(plan: &Plan, plugins: &PluginSet, config: &Config) -> Self {
        let files = plugins.list();
        let imports = |digest: Digest| {
            let file = files.iter().find(|file| file.digest == Some(digest));
            file.map(|file| file.imports.clone()).unwrap_or_default()
        };
        let granted = |kind: &str, digest: Digest| plugins.grant_of(kind, digest);
        let around = Around { catalog: &plugins.catalog(), config, imports: &imports, granted: &granted };
        Self::with(plan, &around)
    }

    fn with(plan: &Plan, around: &Around<'_>) -> Self {
        let steps = plan.steps.iter().map(|planned| around.step(planned, &plan.flow)).collect();
        Self { flow: plan.flow.name.clone(), steps }
    }
}

/// What a flow is explained by.
struct Around<'a> {
    catalog: &'a Catalog,
    config: &'a Config,
    imports: &'a dyn Fn(Digest) -> Vec<String>,
    granted: &'a dyn Fn(&str, Digest) -> Granted,
}

/// The operator's word on a file, and where it is written.
type Granted = (Arc<Grant>, GrantSource);

impl Around<'_> {
    fn step(&self, planned: &PlannedStep, flow: &Flow) -> StepShare {
        let step = &planned.step;
        let kind = self.catalog.types.get(&step.kind);
        let providers = kind.map(|kind| kind.candidates(&step.config)).unwrap_or_default();
        StepShare {
            id: step.id.to_string(),
            kind: step.kind.clone(),
            plugins: providers.iter().map(|provider| self.plugin(provider, planned, flow)).collect(),
            timeout: step.timeout.map(units::write_duration),
        }
    }

    fn plugin(&self, provider: &Provider, planned: &PlannedStep, flow: &Flow) -> PluginShare {
        let step = &planned.step;
        let word = Word::of((self.granted)(&step.kind, provider.digest), &step.kind);
        let levels = [("the flow", &flow.grants), ("the step", &step.grants)];
        let uses_secrets = planned.config.references().secret_names().next().is_some();
        let imports = (self.imports)(provider.digest);
        PluginShare {
            file: provider.file.clone(),
            digest: provider.digest.to_string(),
            capabilities: shares(&imports, uses_secrets, &word, &levels, self.config),
            limits: LimitShare::new(self.config, &word, &flow.limits, &step.limits),
            left: word.grant.narrowed_by(levels.map(|(_, grant)| grant)).grant,
            word,
        }
    }
}

impl LimitShare {
    pub(crate) fn new(config: &Config, word: &Word, flow: &LimitsPatch, step: &LimitsPatch) -> Self {
        let own = &word.grant.limits;
        let allowed = config.limits.replaced_by(own);
        let limits = allowed.narrowed_by(flow).narrowed_by(step);
        let mut notes = Vec::new();
        if *own != LimitsPatch::default() {
            notes.push(format!("{} sets {own}", word.place()));
        }
        for (whose, patch) in [("the flow", flow), ("the step", step)] {
            if *patch != LimitsPatch::default() {
                notes.push(format!("{whose} asks for {patch}"));
            }
        }
        let written = match limits.to_patch().to_value() {
            serde_json::Value::Object(map) => map,
            _ => serde_json::Map::new(),
        };
        Self { limits: written, allowed, notes }
    }
}

#[cfg(test)]
mod tests;
