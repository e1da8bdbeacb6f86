//! What in the config is probably a slip.

use std::collections::BTreeSet;

use stepcell_core::{
    Catalog,
    problem::{listed, nearest},
};

use crate::{
    config::{Config, MAIN},
    output::note,
    text,
};

/// Grants that name what is not there: one line each. Call it once the plugins are loaded.
pub(crate) fn doubts(config: &Config, catalog: &Catalog) -> Vec<String> {
    let databases: BTreeSet<&str> =
        config.databases.keys().map(String::as_str).chain(std::iter::once(MAIN)).collect();
    let secrets: BTreeSet<&str> = config.secrets.keys().map(String::as_str).collect();
    let kinds: BTreeSet<&str> = catalog.types.keys().map(String::as_str).collect();
    let mut found = Vec::new();
    for (key, grant) in config.grants.iter() {
        let kind = key.split('@').next().unwrap_or_default();
        if !kinds.contains(kind) {
            found.push(missing(&format!("`grants.{key}`"), "no plugin provides", kind, &kinds));
        }
        for name in grant.secrets.iter().flatten().filter(|name| !secrets.contains(name.as_str())) {
            let place = format!("`grants.{key}.secrets`");
            found.push(missing(&place, "the config has no secret", name, &secrets));
        }
        for name in grant.databases.iter().flat_map(|rules| rules.keys()) {
            if !databases.contains(name.as_str()) {
                let place = format!("`grants.{key}.databases`");
                found.push(missing(&place, "the config has no database", name, &databases));
            }
        }
        if grant.email.as_ref().is_some_and(|rules| !rules.is_empty()) && config.email.is_none() {
            found.push(format!("`grants.{key}.email`: the config names no server for mail under `email`"));
        }
    }
    found
}

/// Tells them to the user of a command.
pub(crate) fn note_doubts(config: &Config, catalog: &Catalog) {
    for doubt in doubts(config, catalog) {
        note(&format!("warning: {}", text::line(&doubt)));
    }
}

fn missing(place: &str, what: &str, name: &str, known: &BTreeSet<&str>) -> String {
    let advice = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", listed(known.iter().copied())),
    };
    format!("{place}: {what} `{name}`; {advice}")
}
