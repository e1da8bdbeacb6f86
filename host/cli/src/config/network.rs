//! How the host reaches the outside.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use stepcell_core::parse::units;

use super::{
    databases::connections,
    parse_address,
    reader::{Reader, join},
};

const KEYS: &[&str] = &["ca", "dns", "connections", "connect"];
/// The most requests at a time. Protects file descriptors, of which each request holds one.
const CONNECTIONS_MAX: usize = 100_000;

/// `network` of the config. What is not set is the connector's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Files with roots that are trusted beside the platform's.
    pub ca: Vec<PathBuf>,
    /// Asked instead of the system's name servers.
    pub dns: Vec<SocketAddr>,
    /// Requests at a time.
    pub connections: Option<usize>,
    /// What connecting may take.
    pub connect: Option<Duration>,
}

/// `network`.
pub(super) fn read(reader: &mut Reader, path: &str, value: &Value, folder: &Path) -> Network {
    let Some(keys) = reader.object(path, value, KEYS) else { return Network::default() };
    let server = |reader: &mut Reader, path: &str, item: &Value| {
        reader.parsed(path, item, "an address with a port", parse_address)
    };
    Network {
        ca: reader.paths(&join(path, "ca"), keys.get("ca"), folder),
        dns: keys.get("dns").map(|value| reader.list(&join(path, "dns"), value, server)).unwrap_or_default(),
        connections: keys.get("connections").and_then(|value| {
            reader.parsed(&join(path, "connections"), value, "a number of requests", |text| {
                connections(text, CONNECTIONS_MAX)
            })
        }),
        connect: keys
            .get("connect")
            .and_then(|value| reader.parsed(&join(path, "connect"), value, "a time", units::duration)),
    }
}
