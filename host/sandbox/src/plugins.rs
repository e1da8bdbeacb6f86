//! The plugin folders as the API shows and changes them.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use stepcell_core::{Digest, Failure, Fault, Limits, catalog::Describe};
use stepcell_engine::runner::{PluginInfo, PluginState, Plugins};

use crate::{
    Sandbox,
    folder::{FILE_BYTES_MAX, Shape, shape},
    library::{Library, Published},
    limits::Bytes as Shown,
    plugin::Refusal,
};

impl Plugins for Sandbox {
    fn list(&self) -> Vec<PluginInfo> {
        self.shared().library.published().files.clone()
    }

    fn install(&self, bytes: Bytes) -> BoxFuture<'static, Result<PluginInfo, Failure>> {
        let library = Arc::clone(&self.shared().library);
        Box::pin(async move { install(&library, bytes).await })
    }

    fn remove(&self, kind: String) -> BoxFuture<'static, Result<Vec<PluginInfo>, Failure>> {
        let library = Arc::clone(&self.shared().library);
        Box::pin(async move { remove(&library, &kind).await })
    }

    fn ready(&self) -> bool {
        self.shared().library.is_ready()
    }

    fn limits(&self) -> Limits {
        self.shared().policy.limits
    }
}

/// Nothing is written unless the file is a plugin.
/// How long a change over HTTP waits until the library has seen it. The file was compiled before it was written.
const SEEN_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

async fn install(library: &Arc<Library>, bytes: Bytes) -> Result<PluginInfo, Failure> {
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message =
            format!("the file has {}, of {} allowed", Shown(bytes.len() as u64), Shown(FILE_BYTES_MAX));
        return Err(Failure::system(Fault::Limit, "plugin_too_large", message));
    }
    if shape(&bytes) != Shape::Whole {
        return Err(refused(Refusal::new("it is no WebAssembly file, or not all of one")));
    }
    let Some(folder) = library.first_folder() else {
        return Err(Failure::system(
            Fault::Config,
            "no_plugin_folder",
            "there is no folder to put a plugin into",
        )
        .with_hint("name one under `plugins` in stepcell.yaml, or start with `--plugins`"));
    };
    let digest = digest(bytes.clone()).await;
    let described = library.prepare(digest, bytes.to_vec()).await.map_err(refused)?;
    let _one_at_a_time = library.changing.lock().await;
    let name = file_name(&library.published(), &described.describe, digest);
    let shown = folder.shown(&name);
    let written = tokio::task::spawn_blocking(move || folder.install(&name, &bytes)).await;
    on_disk("written", written)?;
    let seen = library.changed(|published| settled(published, &shown, digest));
    match tokio::time::timeout(SEEN_WITHIN, seen).await {
        Ok(Some(info)) => Ok(info),
        Ok(None) => Err(Failure::system(Fault::Unavailable, "stopping", "the host stops").retryable()),
        Err(_) => Err(Failure::system(
            Fault::Unavailable,
            "plugin_overtaken",
            "the file was written, and another one took its place before it was looked at",
        )
        .retryable()),
    }
}

async fn digest(bytes: Bytes) -> Digest {
    let hashed = tokio::task::spawn_blocking({
        let bytes = bytes.clone();
        move || Digest::of(&bytes)
    });
    hashed.await.unwrap_or_else(|_| Digest::of(&bytes))
}

fn settled(published: &Published, shown: &str, digest: Digest) -> Option<PluginInfo> {
    let found = published.files.iter().find(|info| info.file == shown && info.digest == Some(digest))?;
    (found.state != PluginState::Loading).then(|| found.clone())
}

fn refused(refusal: Refusal) -> Failure {
    let failure = Failure::system(
        Fault::Config,
        "plugin_refused",
        format!("the file is no plugin: {}", refusal.reason),
    );
    refusal.hint.into_iter().fold(failure, Failure::with_hint)
}

/// The file that serves the same in the first folder is replaced; else the file is named after what it serves.
fn file_name(published: &Published, describe: &Describe, digest: Digest) -> String {
    let same = published.files.iter().zip(&published.places).find(|(info, (folder, _))| {
        *folder == 0
            && info
                .describe
                .as_ref()
                .is_some_and(|other| other.kind == describe.kind && other.matches == describe.matches)
    });
    if let Some((_, (_, name))) = same {
        return name.clone();
    }
    let mut name = describe.kind.clone();
    for value in describe.matches.values() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        name.push('-');
        name.extend(text.chars().filter(char::is_ascii_alphanumeric));
    }
    let taken =
        published.places.iter().any(|(folder, other)| *folder == 0 && *other == format!("{name}.wasm"));
    if taken { format!("{name}-{}.wasm", digest.short()) } else { format!("{name}.wasm") }
}

async fn remove(library: &Arc<Library>, kind: &str) -> Result<Vec<PluginInfo>, Failure> {
    let _one_at_a_time = library.changing.lock().await;
    let (own, builtin) = library.files_of(kind);
    if own.is_empty() {
        return Err(nothing_to_remove(kind, &builtin));
    }
    for file in &own {
        let (folder, name) = (Arc::clone(&file.folder), file.name.clone());
        let removed = tokio::task::spawn_blocking(move || folder.remove(&name)).await;
        on_disk("removed", removed)?;
    }
    let removed: Vec<PluginInfo> = own.into_iter().map(|file| file.info).collect();
    let gone = library.changed(|published| {
        let gone = |info: &PluginInfo| published.files.iter().all(|other| other.file != info.file);
        removed.iter().all(gone).then_some(())
    });
    // Somebody may have dropped a file of the same name meanwhile: what was asked for is done all the same.
    let _ = tokio::time::timeout(SEEN_WITHIN, gone).await;
    Ok(removed)
}

fn nothing_to_remove(kind: &str, builtin: &[PluginInfo]) -> Failure {
    match builtin.first() {
        None => Failure::system(Fault::Config, "unknown_type", format!("no file serves the type `{kind}`"))
            .with_hint("`GET /api/v1/plugins` lists the files there are"),
        Some(info) => {
            let message = format!("`{}`, which serves `{kind}`, comes with the host", info.file);
            Failure::system(Fault::Denied, "plugin_builtin", message).with_hint(
                "remove the file itself, or put one that serves the same type into a folder of yours",
            )
        }
    }
}

fn on_disk(what: &str, result: Result<io::Result<()>, tokio::task::JoinError>) -> Result<(), Failure> {
    let error = match result {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it was given up".to_owned(),
    };
    Err(Failure::system(
        Fault::Unavailable,
        "folder_unwritable",
        format!("the file can not be {what}: {error}"),
    )
    .with_hint("the host needs the right to write to its first plugin folder"))
}
