//! `wasi:filesystem` with the folders that were granted, and nothing else.
//!
//! A path is resolved within its folder: a link that leads out of it is refused. What waits for the disk runs on the
//! host's threads for that, so that no lane stands still.

use std::{io, mem, path::Path};

use stepcell_core::{
    event::CapabilityDenied,
    grant::{FileAccess, FileRule},
};
use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi::{
    FsPerms, WasiCtxBuilder,
    filesystem::{Descriptor, WasiFilesystemCtx},
    p2::{
        FsError, FsResult,
        bindings::filesystem::types::{
            DescriptorFlags, DescriptorType, ErrorCode, HostDescriptor as _, OpenFlags, PathFlags,
        },
    },
};

use super::granted_files;
use crate::cell::CellState;

/// As `wasmtime-wasi` names it; what a component asks for is matched to it.
const INTERFACE: &str = "wasi:filesystem/types@0.2.12";
const OPEN: &str = "[method]descriptor.open-at";

/// The folders of one cell, open.
#[derive(Default)]
pub(crate) struct Folders {
    pub(super) ctx: WasiFilesystemCtx,
    /// Whether there is any.
    pub(super) some: bool,
    /// Those that are granted and can not be opened.
    pub(crate) missing: Vec<CapabilityDenied>,
}

impl Folders {
    /// Opens what is granted. A folder that is not there is no reason to fail: the step may not need it.
    pub(crate) async fn open(rules: Vec<FileRule>) -> Self {
        if rules.is_empty() {
            return Self::default();
        }
        tokio::task::spawn_blocking(move || Self::open_now(&rules)).await.unwrap_or_default()
    }

    fn open_now(rules: &[FileRule]) -> Self {
        let (mut builder, mut missing) = (WasiCtxBuilder::new(), Vec::new());
        for rule in rules {
            // The operator's rules have one.
            let Some(path) = &rule.path else { continue };
            let access = match rule.access {
                FileAccess::Read => FsPerms::ReadOnly,
                FileAccess::Write => FsPerms::ReadWrite,
            };
            let opened = is_folder(path).and_then(|()| {
                builder.preopened_dir(path, &rule.at, access).map(|_| ()).map_err(io::Error::other)
            });
            if let Err(error) = opened {
                missing.push(told(path, &rule.at, &error));
            }
        }
        let some = missing.len() < rules.len();
        Self { ctx: mem::take(builder.build().filesystem()), some, missing }
    }
}

/// What `open-at` is called with.
type Opening = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);

/// Puts another `open-at` over WASI's, one that opens files and folders only. A pipe or a device may wait for ever
/// when it is opened or read, on a thread that no deadline of ours stops.
pub(super) fn refuse_special(linker: &mut Linker<CellState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance(INTERFACE)?.func_wrap_async(
        OPEN,
        |mut cell: StoreContextMut<'_, CellState>, opening| {
            Box::new(async move {
                match open_at(cell.data_mut(), opening).await {
                    Ok(opened) => Ok((Ok(opened),)),
                    Err(error) => error.downcast().map(|code| (Err(code),)),
                }
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

async fn open_at(state: &mut CellState, opening: Opening) -> FsResult<Resource<Descriptor>> {
    let (folder, path_flags, path, open_flags, flags) = opening;
    let mut files = granted_files(state);
    // What can not be looked at is for the real call to refuse, or to create. Nothing that a cell can do makes
    // something special of it in between.
    if let Ok(found) = files.stat_at(Resource::new_borrow(folder.rep()), path_flags, path.clone()).await
        && !matches!(
            found.type_,
            DescriptorType::RegularFile | DescriptorType::Directory | DescriptorType::SymbolicLink
        )
    {
        return Err(FsError::from(ErrorCode::Unsupported));
    }
    files.open_at(folder, path_flags, path, open_flags, flags).await
}

fn is_folder(path: &Path) -> io::Result<()> {
    match path.metadata()?.is_dir() {
        true => Ok(()),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// No line of the config would help.
fn told(path: &Path, at: &str, error: &io::Error) -> CapabilityDenied {
    let folder = path.display();
    tracing::warn!(%folder, %error, "a folder that is granted can not be opened");
    let reason = error.kind();
    CapabilityDenied {
        capability: "files".to_owned(),
        target: at.to_owned(),
        message: format!("the folder `{folder}` that is granted there can not be opened: {reason}"),
        allow: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    fn rule(path: PathBuf, at: &str) -> FileRule {
        FileRule { path: Some(path), at: at.to_owned(), access: FileAccess::Read }
    }

    #[tokio::test]
    async fn what_is_no_folder_is_told_and_the_rest_is_there() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("file"), "x").unwrap();
        let rules = ["", "gone", "file"].map(|name| rule(temp.path().join(name), &format!("/{name}")));
        let folders = Folders::open(rules.to_vec()).await;
        let told: Vec<_> = folders.missing.iter().map(|denied| denied.target.as_str()).collect();
        assert_eq!(told, ["/gone", "/file"]);
        assert!(folders.some);
        let message = &folders.missing[0].message;
        assert!(message.ends_with("can not be opened: entity not found"), "{message}");
    }

    #[tokio::test]
    async fn nothing_is_opened_by_default() {
        let folders = Folders::open(Vec::new()).await;
        assert!(!folders.some);
        assert!(folders.missing.is_empty());
    }
}
