//! What one file is, for people and for programs.

use std::{fmt, sync::Arc};

use serde::Serialize;
use stepcell_core::{catalog::Describe, grant::Grant};
use stepcell_engine::PluginInfo;
use stepcell_sandbox::GrantSource;

use crate::{
    config::Config,
    explain::{self, LimitShare, NAMES_WIDTH, Share, Word},
    text,
};

/// A file with its catalog entry, and what its steps would get here.
#[derive(Debug, Serialize)]
pub(super) struct Description<'a> {
    #[serde(flatten)]
    info: &'a PluginInfo,
    describe: Option<&'a Describe>,
    gets: Vec<Share>,
    limits: LimitShare,
}

impl<'a> Description<'a> {
    pub(super) fn new(info: &'a PluginInfo, granted: (Arc<Grant>, GrantSource), config: &Config) -> Self {
        let describe = info.describe.as_deref();
        let kind = describe.map(|describe| describe.kind.as_str()).unwrap_or_default();
        let word = Word::of(granted, kind);
        Self {
            info,
            describe,
            gets: explain::shares(&info.imports, false, &word, &[], config),
            limits: LimitShare::new(config, &word, &[]),
        }
    }
}

impl fmt::Display for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |label: &str, value: &str| writeln!(f, "{label:<NAMES_WIDTH$} {value}");
        let info = self.info;
        if let Some(describe) = self.describe {
            line("type", &describe.kind)?;
            line("label", &describe.label)?;
            line("category", &describe.category)?;
            line("description", &text::line(&describe.description))?;
            for (key, value) in &describe.matches {
                line("match", &format!("{key}: {value}"))?;
            }
            if !describe.ports.is_empty() {
                line("ports", &describe.ports.join(", "))?;
            }
        }
        line("file", &info.file)?;
        line("size", &text::bytes(info.bytes))?;
        if let Some(digest) = info.digest {
            line("digest", &digest.to_string())?;
        }
        line("imports", &listed(&info.imports))?;
        write!(f, "{}", explain::capability_lines(&self.gets, ""))?;
        write!(f, "{}", explain::limits(&self.limits, ""))?;
        if let Some(describe) = self.describe {
            let schema = serde_json::to_string_pretty(&describe.config_schema).map_err(|_| fmt::Error)?;
            writeln!(f, "config schema\n{schema}")?;
        }
        Ok(())
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
