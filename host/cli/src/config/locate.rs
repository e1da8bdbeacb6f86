//! Which config file is read.

use std::path::{Path, PathBuf};

use super::{FILE_NAME, interpolate::Variables};
use crate::error::Error;

/// The file that was named; else the one beside the flow, else the one in the current folder, else none.
pub(super) fn file(
    flag: Option<&Path>,
    flow: Option<&Path>,
    variables: &Variables<'_>,
) -> Result<Option<PathBuf>, Error> {
    let named = flag.map(Path::to_owned).or_else(|| variables("STEPCELL_CONFIG").map(PathBuf::from));
    if let Some(path) = named {
        return if path.is_file() { Ok(Some(path)) } else { Err(missing(&path)) };
    }
    let beside = flow.and_then(Path::parent).map(|folder| folder.join(FILE_NAME));
    Ok(beside.into_iter().chain([PathBuf::from(FILE_NAME)]).find(|path| path.is_file()))
}

fn missing(path: &Path) -> Error {
    Error::call(
        "config_missing",
        format!("the config file `{}` is not there", path.display()),
        "name an existing file with `--config`, or leave it out to use the defaults",
    )
}
