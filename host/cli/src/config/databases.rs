//! Databases, by the name that steps use.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Map, Value};
use stepcell_core::{grant::check_name, parse::units};
use zeroize::Zeroizing;

use super::reader::{Reader, join};

/// The name of the database that is there without being named.
pub const MAIN: &str = "main";

const KEYS: &[&str] = &["url", "role", "connections", "time", "ca"];
const SCHEMES: [&str; 3] = ["sqlite:", "postgres://", "postgresql://"];
const URL_HINT: &str =
    "write `sqlite:main.db`, a file in the data folder, or `postgres://USER:PASSWORD@HOST/DATABASE`";
/// The most connections to one database. Protects its server, and this host's file descriptors.
const CONNECTIONS_MAX: usize = 1_000;

/// A database of the config. Nothing is opened before a step asks for it.
#[derive(Clone)]
pub struct DatabaseEntry {
    /// May hold a password.
    pub url: Zeroizing<String>,
    /// Of PostgreSQL: what statements run as.
    pub role: Option<String>,
    pub connections: Option<usize>,
    /// Of one statement, where no grant says less.
    pub time: Option<Duration>,
    /// Files with roots that are trusted beside the platform's.
    pub ca: Vec<PathBuf>,
}

/// Never the password.
impl fmt::Debug for DatabaseEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, connections, time, ca, .. } = self;
        let mut entry = f.debug_struct("DatabaseEntry");
        entry.field("role", role).field("connections", connections).field("time", time).field("ca", ca);
        entry.finish_non_exhaustive()
    }
}

/// `databases`, by name.
pub(super) fn read(
    reader: &mut Reader,
    path: &str,
    value: &Value,
    folder: &Path,
) -> BTreeMap<String, DatabaseEntry> {
    let empty = Map::new();
    let named = reader.any_object(path, value).unwrap_or(&empty);
    let mut databases = BTreeMap::new();
    for (name, value) in named {
        let path = join(path, name);
        if let Err(hint) = check_name(name) {
            let message = format!("`{name}` is no name of a database");
            reader.problem(&path, "invalid_name", message, Some(hint.into()));
        }
        databases.extend(entry(reader, &path, value, folder).map(|entry| (name.clone(), entry)));
    }
    databases
}

fn entry(reader: &mut Reader, path: &str, value: &Value, folder: &Path) -> Option<DatabaseEntry> {
    let keys = reader.object(path, value, KEYS)?;
    let Some(url) = keys.get("url") else {
        reader.problem(path, "missing_key", format!("`{path}` has no `url`"), Some(URL_HINT.to_owned()));
        return None;
    };
    let known = |text: &str| match SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
        true => Ok(Zeroizing::new(text.to_owned())),
        false => Err(URL_HINT.to_owned()),
    };
    let url = reader.parsed(&join(path, "url"), url, "the address of a database", known)?;
    let postgres = !url.starts_with("sqlite:");
    for key in ["role", "ca"].into_iter().filter(|key| !postgres && keys.contains_key(*key)) {
        let message = format!("`{key}` is for PostgreSQL, and `{path}` is SQLite");
        reader.problem(&join(path, key), "invalid_value", message, Some("leave it out".to_owned()));
    }
    let role = keys.get("role").and_then(|value| reader.text(&join(path, "role"), value));
    let connections = keys.get("connections").and_then(|value| {
        reader.parsed(&join(path, "connections"), value, "a number of connections", |text| {
            connections(text, CONNECTIONS_MAX)
        })
    });
    let time = keys
        .get("time")
        .and_then(|value| reader.parsed(&join(path, "time"), value, "a time", units::duration));
    let ca = reader.paths(&join(path, "ca"), keys.get("ca"), folder);
    Some(DatabaseEntry { url, role: role.map(str::to_owned), connections, time, ca })
}

/// A number from 1 to `most`.
pub(super) fn connections(text: &str, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(format!("write a whole number from 1 to {most}")),
    }
}
