//! Works on files of the folders that it was given, by plain WASI.

use stepcell::prelude::*;

mod bindings {
    #![allow(unsafe_code, clippy::allow_attributes_without_reason, reason = "wit-bindgen writes it")]
    wit_bindgen::generate!({ path: "wit", world: "files", generate_all });
}

use bindings::wasi::filesystem::{
    preopens::get_directories,
    types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags},
};

/// As much as is read of a file.
const MOST: u64 = 1 << 20;

#[stepcell::data]
#[serde(tag = "action", rename_all = "snake_case")]
enum Config {
    /// Gives the paths of the folders that it was given.
    Folders {},
    Read {
        path: String,
    },
    Write {
        path: String,
        text: String,
    },
    List {
        path: String,
    },
    CreateFolder {
        path: String,
    },
    Remove {
        path: String,
    },
    /// A symbolic link at `path`.
    Link {
        path: String,
        to: String,
    },
}

/// Does one thing with one file. A refusal fails with WASI's own word as its code.
#[stepcell::step(label = "Uses files", icon = "file", category = "custom")]
fn uses_files(config: Config) -> Result<Value, Failure> {
    match config {
        Config::Folders {} => Ok(get_directories().into_iter().map(|(_, path)| path).collect()),
        Config::Read { path } => at(&path, |folder, path| read(folder, path).map(Value::from)),
        Config::Write { path, text } => {
            at(&path, |folder, path| write(folder, path, text.as_bytes()).map(Value::from))
        }
        Config::List { path } => at(&path, |folder, path| list(folder, path).map(Value::from)),
        Config::CreateFolder { path } => {
            at(&path, |folder, path| folder.create_directory_at(path).map(Value::from))
        }
        Config::Remove { path } => at(&path, |folder, path| folder.unlink_file_at(path).map(Value::from)),
        Config::Link { path, to } => at(&path, |folder, path| folder.symlink_at(&to, path).map(Value::from)),
    }
}

/// Finds the given folder that `path` lies in. What follows is handed to the host as it stands, `..` included.
fn at(
    path: &str,
    work: impl FnOnce(&Descriptor, &str) -> Result<Value, ErrorCode>,
) -> Result<Value, Failure> {
    let folders = get_directories();
    let within = folders.iter().find_map(|(folder, name)| {
        let rest = path.strip_prefix(name.trim_end_matches('/'))?;
        let relative = rest.strip_prefix('/').unwrap_or(rest);
        (rest.is_empty() || rest.starts_with('/'))
            .then_some((folder, if relative.is_empty() { "." } else { relative }))
    });
    let Some((folder, relative)) = within else {
        return Err(Failure::denied(format!("`{path}` lies in no folder that was given")).code("no_folder"));
    };
    work(folder, relative)
        .map_err(|code| Failure::failed(format!("`{path}`: {}", code.message())).code(code.name()))
}

fn read(folder: &Descriptor, path: &str) -> Result<String, ErrorCode> {
    let file = folder.open_at(PathFlags::SYMLINK_FOLLOW, path, OpenFlags::empty(), DescriptorFlags::READ)?;
    let (bytes, _) = file.read(MOST, 0)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(folder: &Descriptor, path: &str, bytes: &[u8]) -> Result<u64, ErrorCode> {
    let how = OpenFlags::CREATE | OpenFlags::TRUNCATE;
    let file = folder.open_at(PathFlags::SYMLINK_FOLLOW, path, how, DescriptorFlags::WRITE)?;
    let mut written = 0;
    while let Some(rest) =
        bytes.get(usize::try_from(written).unwrap_or(usize::MAX)..).filter(|rest| !rest.is_empty())
    {
        written += file.write(rest, written)?;
    }
    Ok(written)
}

fn list(folder: &Descriptor, path: &str) -> Result<Vec<String>, ErrorCode> {
    let flags = DescriptorFlags::READ;
    let entries =
        folder.open_at(PathFlags::SYMLINK_FOLLOW, path, OpenFlags::DIRECTORY, flags)?.read_directory()?;
    let mut names = Vec::new();
    while let Some(entry) = entries.read_directory_entry()? {
        names.push(entry.name);
    }
    names.sort();
    Ok(names)
}
