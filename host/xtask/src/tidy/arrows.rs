//! Which crate may use which. The arrows never turn round.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use cargo_metadata::{DependencyKind, MetadataCommand};

/// For each crate of the host, the crates of ours that it may use. A new arrow is a decision: it is made
/// here and in ARCHITECTURE.md, not in a manifest alone.
const ARROWS: &[(&str, &[&str])] = &[
    ("stepcell-core", &[]),
    ("stepcell-store", &["stepcell-core"]),
    ("stepcell-store-sled", &["stepcell-core", "stepcell-store"]),
    ("stepcell-engine", &["stepcell-core", "stepcell-store"]),
    ("stepcell-database", &["stepcell-core"]),
    ("stepcell-sandbox", &["stepcell-core", "stepcell-engine", "stepcell-database"]),
    ("stepcell-api", &["stepcell-core", "stepcell-store", "stepcell-engine"]),
    (
        "stepcell-cli",
        &[
            "stepcell-core",
            "stepcell-store",
            "stepcell-store-sled",
            "stepcell-engine",
            "stepcell-database",
            "stepcell-sandbox",
            "stepcell-api",
        ],
    ),
    ("stepcell", &["stepcell-macros"]),
    ("stepcell-macros", &[]),
    ("xtask", &[]),
];

/// What plugins and guests may use: the SDK, never the host.
const CELL_MAY_USE: &[&str] = &["stepcell"];

/// Crates that only one of ours may name: an outside format is known at one edge.
const KNOWN_IN_ONE_PLACE: &[(&str, &str)] = &[
    ("wasmtime", "stepcell-sandbox"),
    ("wasmtime-wasi", "stepcell-sandbox"),
    ("wasmtime-wasi-http", "stepcell-sandbox"),
    ("lettre", "stepcell-sandbox"),
    ("rusqlite", "stepcell-database"),
    ("tokio-postgres", "stepcell-database"),
    ("sled", "stepcell-store-sled"),
    ("clap", "stepcell-cli"),
];

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).no_deps().exec()?;
    let arrows: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut found = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let folder = package.manifest_path.parent().map(|path| path.as_str()).unwrap_or_default();
        let cell = folder.contains("/plugins/") || folder.contains("/tests/guests/");
        let allowed = match arrows.get(name) {
            Some(allowed) => *allowed,
            None if cell => CELL_MAY_USE,
            // The integration tests stand outside the house and may look in at every window.
            None if folder.ends_with("/tests") => continue,
            None => {
                found.push(format!("crate `{name}`: not in the list of arrows in tidy/arrows.rs"));
                continue;
            }
        };
        for dependency in &package.dependencies {
            let ours = arrows.contains_key(dependency.name.as_str());
            if ours
                && dependency.kind != DependencyKind::Development
                && !allowed.contains(&dependency.name.as_str())
            {
                found.push(format!(
                    "crate `{name}` uses `{}`: no such arrow in tidy/arrows.rs",
                    dependency.name
                ));
            }
            for (outside, owner) in KNOWN_IN_ONE_PLACE {
                if dependency.name == *outside && name != *owner {
                    found.push(format!("crate `{name}` uses `{outside}`, which only `{owner}` may know"));
                }
            }
        }
    }
    Ok(found)
}
