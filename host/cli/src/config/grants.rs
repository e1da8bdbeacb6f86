//! What step types are allowed, and the limits of one execution.

use std::{
    collections::BTreeMap,
    path::{Path, absolute},
};

use serde_json::{Map, Value};
use stepcell_core::{
    Budget, Digest, Limits,
    grant::{Grant, Level, read_budget, read_limits},
};
use stepcell_sandbox::GrantSource;

use super::reader::{Reader, join};

/// `grants`, by step type, or by step type and file.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    pub by_type: BTreeMap<String, Grant>,
    /// They win over those by type alone.
    pub by_file: BTreeMap<(String, Digest), Grant>,
}

impl Grants {
    /// The word on a file as a step type, if there is one.
    pub fn of(&self, kind: &str, digest: Option<Digest>) -> Option<(&Grant, GrantSource)> {
        let for_file = digest.and_then(|digest| {
            Some((self.by_file.get(&(kind.to_owned(), digest))?, GrantSource::File(digest)))
        });
        for_file.or_else(|| Some((self.by_type.get(kind)?, GrantSource::Type)))
    }

    /// Every grant with the key that it stands under.
    pub fn iter(&self) -> impl Iterator<Item = (String, &Grant)> {
        let by_type = self.by_type.iter().map(|(kind, grant)| (kind.clone(), grant));
        by_type.chain(self.by_file.iter().map(|((kind, digest), grant)| (file_key(kind, *digest), grant)))
    }
}

/// The key of a grant for one very file.
pub(crate) fn file_key(kind: &str, digest: Digest) -> String {
    format!("{kind}@sha256:{digest}")
}

/// `grants`. Folders are made absolute, so that a line which is shown can be pasted into any config file.
pub(super) fn read(reader: &mut Reader, path: &str, value: &Value, folder: &Path) -> Grants {
    let mut grants = Grants::default();
    let empty = Map::new();
    for (key, value) in reader.any_object(path, value).unwrap_or(&empty) {
        let path = join(path, key);
        let (mut grant, problems) = Grant::read(value, Level::Operator);
        reader.adopt(&path, problems);
        for rule in grant.files.iter_mut().flatten() {
            rule.path = rule.path.take().map(|path| absolute(folder.join(&path)).unwrap_or(path));
        }
        match key.split_once('@') {
            None => _ = grants.by_type.insert(key.clone(), grant),
            Some((kind, file)) => match file.strip_prefix("sha256:").and_then(|digest| digest.parse().ok()) {
                Some(digest) => _ = grants.by_file.insert((kind.to_owned(), digest), grant),
                None => no_file(reader, &path, key),
            },
        }
    }
    grants
}

/// `limits`: those that are left out are the defaults.
pub(super) fn limits(reader: &mut Reader, path: &str, value: &Value) -> Limits {
    let (patch, problems) = read_limits(value);
    reader.adopt(path, problems);
    Limits::default().replaced_by(&patch)
}

/// `budget`: what is left out has no bound.
pub(super) fn budget(reader: &mut Reader, path: &str, value: &Value) -> Budget {
    let (budget, problems) = read_budget(value);
    reader.adopt(path, problems);
    budget
}

fn no_file(reader: &mut Reader, path: &str, key: &str) {
    let hint = "write the step type alone, or `TYPE@sha256:…` with the digest that `stepcell plugins inspect FILE` prints";
    reader.problem(path, "invalid_value", format!("`{key}` names no file"), Some(hint.to_owned()));
}
