//! What each step of a flow can ask for, what it gets of it, and why not more.

mod capability;
mod doubts;
mod places;
mod render;
mod share;
mod warnings;

use std::sync::Arc;

use serde::Serialize;
use stepcell_core::{
    Catalog, Digest, Limits, catalog::Provider, flow::LimitsPatch, grant::Grant, parse::units, plan::Plan,
};
use stepcell_sandbox::GrantSource;

use self::places::{Place, places};
pub(crate) use self::{
    capability::Capability,
    doubts::{doubts, note_doubts},
    render::{NAMES_WIDTH, capability_lines, limits},
    share::{Share, Word, shares},
    warnings::warnings,
};
use crate::{config::Config, host::PluginSet};

/// A flow's steps, those that fan-outs run among them, in the order of the file.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    pub(crate) flow: String,
    pub(crate) steps: Vec<StepShare>,
}

/// One step, with each plugin that may serve it: more than one where a template decides.
#[derive(Debug, Serialize)]
pub(crate) struct StepShare {
    /// Within the body of a fan-out `m` it is `m[]`, or `m[].id`.
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
        let steps = places(plan).iter().map(|place| around.step(place)).collect();
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
    fn step(&self, place: &Place<'_>) -> StepShare {
        let step = &place.planned.step;
        let kind = self.catalog.types.get(&step.kind);
        let providers = kind.map(|kind| kind.candidates(&step.config)).unwrap_or_default();
        StepShare {
            id: place.id.clone(),
            kind: step.kind.clone(),
            plugins: providers.iter().map(|provider| self.plugin(provider, place)).collect(),
            timeout: step.timeout.map(units::write_duration),
        }
    }

    fn plugin(&self, provider: &Provider, place: &Place<'_>) -> PluginShare {
        let step = &place.planned.step;
        let word = Word::of((self.granted)(&step.kind, provider.digest), &step.kind);
        let levels: Vec<_> = place.levels.iter().map(|level| (level.whose, level.grants)).collect();
        let limits: Vec<_> = place.levels.iter().map(|level| (level.whose, level.limits)).collect();
        let uses_secrets = place.planned.config.references().secret_names().next().is_some();
        let imports = (self.imports)(provider.digest);
        PluginShare {
            file: provider.file.clone(),
            digest: provider.digest.to_string(),
            capabilities: shares(&imports, uses_secrets, &word, &levels, self.config),
            limits: LimitShare::new(self.config, &word, &limits),
            left: word.grant.narrowed_by(levels.into_iter().map(|(_, grant)| grant)).grant,
            word,
        }
    }
}

impl LimitShare {
    /// `levels` are the flow's word and all below it, each with whose it is.
    pub(crate) fn new(config: &Config, word: &Word, levels: &[(&'static str, &LimitsPatch)]) -> Self {
        let own = &word.grant.limits;
        let allowed = config.limits.replaced_by(own);
        let limits = levels.iter().fold(allowed, |limits, (_, patch)| limits.narrowed_by(patch));
        let mut notes = Vec::new();
        if *own != LimitsPatch::default() {
            notes.push(format!("{} sets {own}", word.place()));
        }
        for (whose, patch) in levels {
            if **patch != LimitsPatch::default() {
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
