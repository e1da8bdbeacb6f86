//! The keys of the config file.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use stepcell_core::Limits;
use stepcell_sandbox::Grant;

use super::{StoreKind, document, grants, interpolate::Variables, parse_address, reader::Reader};
use crate::error::Error;

/// What a config file sets; relative paths are already relative to its folder.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) listen: Option<SocketAddr>,
    pub(super) data: Option<PathBuf>,
    pub(super) store: Option<StoreKind>,
    pub(super) plugins: Option<Vec<PathBuf>>,
    pub(super) limits: Limits,
    pub(super) grants: BTreeMap<String, Grant>,
}

const KEYS: &[&str] = &["listen", "data", "store", "plugins", "limits", "grants"];

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
        let folders = reader.list("plugins", value, |reader, path, item| {
            reader.text(path, item).map(|plugin_folder| folder.join(plugin_folder))
        });
        file.plugins = Some(folders);
    }
    if let Some(value) = keys.get("limits") {
        let patch = grants::limits(reader, "limits", value);
        let Limits { fuel, memory, time, output } = Limits::default();
        file.limits = Limits {
            fuel: patch.fuel.unwrap_or(fuel),
            memory: patch.memory.unwrap_or(memory),
            time: patch.time.unwrap_or(time),
            output: patch.output.unwrap_or(output),
        };
    }
    if let Some(value) = keys.get("grants") {
        file.grants = grants::by_type(reader, "grants", value);
    }
    file
}

fn store(text: &str) -> Result<StoreKind, String> {
    match text {
        "sled" => Ok(StoreKind::Sled),
        "memory" => Ok(StoreKind::Memory),
        _ => Err("write `sled`, which lasts, or `memory`, which ends with the process".to_owned()),
    }
}
