//! What one file is, for people and for programs.

use std::fmt;

use serde::Serialize;
use stepcell_core::{Limits, catalog::Describe};
use stepcell_engine::PluginInfo;

use crate::{config::Config, text};

/// A file with its catalog entry, and the limits under which its steps would run here.
#[derive(Debug, Serialize)]
pub(super) struct Description<'a> {
    #[serde(flatten)]
    info: &'a PluginInfo,
    describe: Option<&'a Describe>,
    limits: LimitsView,
}

/// Limits as programs read them: plain numbers, the unit in the name.
#[derive(Debug, Serialize)]
struct LimitsView {
    fuel: u64,
    memory_bytes: u64,
    time_ms: u128,
    output_bytes: u64,
}

impl<'a> Description<'a> {
    pub(super) fn new(info: &'a PluginInfo, config: &Config) -> Self {
        let describe = info.describe.as_deref();
        let Limits { fuel, memory, time, output } = config.limits;
        let grant = describe.and_then(|describe| config.grants.get(&describe.kind));
        let own = grant.map(|grant| grant.limits).unwrap_or_default();
        let limits = LimitsView {
            fuel: own.fuel.unwrap_or(fuel),
            memory_bytes: own.memory.unwrap_or(memory),
            time_ms: own.time.unwrap_or(time).as_millis(),
            output_bytes: own.output.unwrap_or(output),
        };
        Self { info, describe, limits }
    }
}

impl fmt::Display for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |label: &str, value: &str| writeln!(f, "{label:<13} {value}");
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
        line("capabilities", &listed(&info.capabilities))?;
        let LimitsView { fuel, memory_bytes, time_ms, output_bytes } = &self.limits;
        let time =
            text::duration(std::time::Duration::from_millis(u64::try_from(*time_ms).unwrap_or(u64::MAX)));
        let (memory, output) = (text::bytes(*memory_bytes), text::bytes(*output_bytes));
        line(
            "limits",
            &format!("fuel {}, memory {memory}, time {time}, output {output}", text::fuel(*fuel)),
        )?;
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
