//! The keys of the config file.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Map, Value};
use stepcell_core::{Budget, Limits, parse::units};

use super::{
    StoreKind,
    capacity::{self, Concurrency, Retention},
    databases::{self, DatabaseEntry},
    document,
    email::{self, EmailEntry},
    grants::{self, Grants},
    interpolate::Variables,
    network::{self, Network},
    parse_address,
    reader::Reader,
    secrets::{self, SecretEntry},
};
use crate::error::Error;

/// What a config file sets; relative paths are already relative to its folder.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) listen: Option<SocketAddr>,
    pub(super) data: Option<PathBuf>,
    pub(super) store: Option<StoreKind>,
    pub(super) plugins: Option<Vec<PathBuf>>,
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    pub(super) concurrency: Concurrency,
    pub(super) retention: Retention,
    pub(super) events_kept: Option<Duration>,
    pub(super) drain: Option<Duration>,
    pub(super) databases: BTreeMap<String, DatabaseEntry>,
    pub(super) secrets: BTreeMap<String, SecretEntry>,
    pub(super) email: Option<EmailEntry>,
    pub(super) network: Network,
    pub(super) grants: Grants,
}

const KEYS: &[&str] = &[
    "listen",
    "data",
    "store",
    "plugins",
    "limits",
    "budget",
    "concurrency",
    "retention",
    "events",
    "drain",
    "databases",
    "secrets",
    "email",
    "network",
    "grants",
];

/// Reads a config file; all that is wrong with it comes back at once.
pub(super) fn read(path: &Path, variables: &Variables<'_>) -> Result<File, Error> {
    let (value, mut reader) = document::read(path, variables)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    // An empty file is a file that sets nothing.
    let empty = Map::new();
    let keys = if value.is_null() { Some(&empty) } else { reader.object("", &value, KEYS) };
    let file = keys.map(|keys| fields(&mut reader, keys, folder)).unwrap_or_default();
    reader.finish(path, file)
}

fn fields(reader: &mut Reader, keys: &Map<String, Value>, folder: &Path) -> File {
    let mut file = File::default();
    if let Some(value) = keys.get("listen") {
        file.listen = reader.parsed("listen", value, "an address with a port", parse_address);
    }
    if let Some(value) = keys.get("data") {
        file.data = reader.text("data", value).map(|data| folder.join(data));
    }
    if let Some(value) = keys.get("store") {
        file.store = reader.parsed("store", value, "a store", store);
    }
    if let Some(value) = keys.get("plugins") {
        file.plugins = Some(reader.paths("plugins", Some(value), folder));
    }
    if let Some(value) = keys.get("limits") {
        file.limits = grants::limits(reader, "limits", value);
    }
    if let Some(value) = keys.get("budget") {
        file.budget = grants::budget(reader, "budget", value);
    }
    if let Some(value) = keys.get("grants") {
        file.grants = grants::read(reader, "grants", value, folder);
    }
    capacity(reader, keys, &mut file);
    services(reader, keys, folder, &mut file);
    file
}

/// How much goes on at a time, and for how long what is over is kept.
fn capacity(reader: &mut Reader, keys: &Map<String, Value>, file: &mut File) {
    if let Some(value) = keys.get("concurrency") {
        file.concurrency = capacity::concurrency(reader, "concurrency", value);
    }
    if let Some(value) = keys.get("retention") {
        file.retention = capacity::retention(reader, "retention", value);
    }
    if let Some(value) = keys.get("events") {
        file.events_kept = capacity::events_kept(reader, "events", value);
    }
    if let Some(value) = keys.get("drain") {
        file.drain = reader.parsed("drain", value, "a time", units::duration);
    }
}

/// What steps reach through their capabilities.
fn services(reader: &mut Reader, keys: &Map<String, Value>, folder: &Path, file: &mut File) {
    if let Some(value) = keys.get("databases") {
        file.databases = databases::read(reader, "databases", value, folder);
    }
    if let Some(value) = keys.get("secrets") {
        file.secrets = secrets::read(reader, "secrets", value, folder);
    }
    if let Some(value) = keys.get("email") {
        file.email = email::read(reader, "email", value, folder);
    }
    if let Some(value) = keys.get("network") {
        file.network = network::read(reader, "network", value, folder);
    }
}

fn store(text: &str) -> Result<StoreKind, String> {
    match text {
        "sled" => Ok(StoreKind::Sled),
        "memory" => Ok(StoreKind::Memory),
        _ => Err("write `sled`, which lasts, or `memory`, which ends with the process".to_owned()),
    }
}
