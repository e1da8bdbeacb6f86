//! One file by itself, for whoever wants to know what it is before dropping it into a folder.

use std::{path::Path, sync::Arc};

use stepcell_core::Digest;
use stepcell_engine::runner::{PluginInfo, PluginState};

use crate::{
    Options, Sandbox,
    error::Error,
    folder::{FILE_BYTES_MAX, Shape, shape},
    library::refused_state,
    plugin::{Described, Refusal},
};

/// Checks, compiles and describes a file as a folder would, without any folder. A file that would be refused
/// is told as one, in `state`; only a file that can not be read is an error.
pub async fn inspect(file: &Path, options: Options) -> Result<PluginInfo, Error> {
    let unreadable = |source| Error::File { path: file.to_owned(), source };
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
    let bytes = read.map_err(|error| unreadable(error.into())).and_then(|read| read.map_err(unreadable))?;
    let alone = Options { folders: Vec::new(), builtins: None, watch: false, ..options };
    let sandbox = Sandbox::start(alone).await?;
    let len = bytes.len() as u64;
    let digest = Digest::of(&bytes);
    let prepared = match (len > FILE_BYTES_MAX, shape(&bytes)) {
        (true, _) => {
            Err(Refusal::new(format!("it has {len} bytes, of {FILE_BYTES_MAX} allowed for a plugin")))
        }
        (false, Shape::Whole) => sandbox.shared().library.prepare(digest, bytes).await,
        (false, Shape::Cut) => Err(Refusal::new(format!("it ends in the middle, after {len} bytes"))),
        (false, Shape::NotWasm) => Err(Refusal::new("it is no WebAssembly file")),
    };
    Ok(info(file.display().to_string(), len, digest, prepared))
}

fn info(file: String, bytes: u64, digest: Digest, prepared: Result<Described, Refusal>) -> PluginInfo {
    match prepared {
        Ok(described) => PluginInfo {
            file,
            digest: Some(digest),
            bytes,
            imports: described.plugin.imports().names().to_vec(),
            capabilities: described.plugin.imports().capabilities(),
            state: PluginState::Ready { kind: described.describe.kind.clone() },
            describe: Some(Arc::clone(&described.describe)),
        },
        Err(refusal) => PluginInfo {
            file,
            digest: Some(digest),
            bytes,
            imports: Vec::new(),
            capabilities: Vec::new(),
            state: refused_state(refusal),
            describe: None,
        },
    }
}
