//! Which folders of the host a step sees.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Level, write::object};
use crate::{
    parse::{Field, Fields, Kind},
    problem::{Problems, shorten},
};

/// The longest path that a step sees a folder at. Bounds what stands in messages and reaches the guest.
const MAX_SEEN_BYTES: usize = 255;

/// What a step may do in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileAccess {
    Read,
    /// Reading included.
    Write,
}

/// `./reports`, or `{path: ./reports, at: /reports, access: write}`; reading, unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRule {
    /// The folder on the host, as written. In a flow or a step there is none: they name what the step sees.
    pub path: Option<PathBuf>,
    /// Where the step finds it: an absolute path. By default the last part of `path`.
    pub at: String,
    pub access: FileAccess,
}

impl FileRule {
    /// Without `path`, `at` or `access` where that is the default; in a flow or a step only what the step sees.
    pub(super) fn read_field(field: Field<'_, '_>, level: Level, problems: &mut Problems) -> Option<Self> {
        match level {
            Level::Operator => Self::read_folder(field, problems),
            Level::Narrowing => Self::read_narrowing(field, problems),
        }
    }

    /// As it may stand in the config, or in a flow where it was read from one.
    pub fn to_value(&self) -> Value {
        let Self { path, at, access } = self;
        let path = path.as_ref().map(|path| path.display().to_string());
        let by_default = path.as_deref().and_then(|path| last_part(Path::new(path)));
        let at = (by_default.as_ref() != Some(at)).then(|| at.as_str().into());
        match (path, at, access) {
            (Some(one), None, FileAccess::Read) => one.into(),
            (None, Some(one), FileAccess::Read) => one,
            (path, at, FileAccess::Read) => object([("path", path.map(Value::from)), ("at", at)]),
            (path, at, FileAccess::Write) => {
                object([("path", path.map(Value::from)), ("at", at), ("access", Some("write".into()))])
            }
        }
    }

    fn read_folder(field: Field<'_, '_>, problems: &mut Problems) -> Option<Self> {
        if !matches!(field.node.kind, Kind::Object(_)) {
            let path = field.text(problems)?;
            let at = default_at(path, field, problems)?;
            return Some(Self { path: Some(path.into()), at, access: FileAccess::Read });
        }
        let fields = Fields::of(field.node, field.path, &["path", "at", "access"], problems)?;
        let access = access(&fields, problems);
        let at = fields.get("at").map(|field| seen(field, problems));
        let field = fields.need("path", "such as `{ path: ./out, at: /out, access: write }`", problems)?;
        let path = field.text(problems)?;
        let at = at.unwrap_or_else(|| default_at(path, field, problems))?;
        Some(Self { path: Some(path.into()), at, access: access? })
    }

    fn read_narrowing(field: Field<'_, '_>, problems: &mut Problems) -> Option<Self> {
        if !matches!(field.node.kind, Kind::Object(_)) {
            return Some(Self { path: None, at: seen(field, problems)?, access: FileAccess::Read });
        }
        let fields = Fields::of(field.node, field.path, &["at", "access"], problems)?;
        let access = access(&fields, problems);
        let at = fields.need("at", "name what the step sees: `{ at: /out, access: write }`", problems)?;
        Some(Self { path: None, at: seen(at, problems)?, access: access? })
    }
}

fn access(fields: &Fields<'_, '_>, problems: &mut Problems) -> Option<FileAccess> {
    let Some(field) = fields.get("access") else { return Some(FileAccess::Read) };
    match field.text(problems)? {
        "read" => Some(FileAccess::Read),
        "write" => Some(FileAccess::Write),
        other => {
            let message = format!("`{}` is no access to files", shorten(other));
            field.invalid(message, "write `read`, or `write` to change them as well", problems);
            None
        }
    }
}

/// Where a step finds the folder, if `at` does not say.
fn default_at(path: &str, field: Field<'_, '_>, problems: &mut Problems) -> Option<String> {
    let at = last_part(Path::new(path)).filter(|at| is_plain(at));
    if at.is_none() {
        let message = format!("`{}` does not say where the step finds it", shorten(path));
        field.invalid(message, "add `at`, such as `{ path: ., at: /work }`", problems);
    }
    at
}

fn last_part(path: &Path) -> Option<String> {
    Some(format!("/{}", path.file_name()?.to_str()?))
}

fn seen(field: Field<'_, '_>, problems: &mut Problems) -> Option<String> {
    let text = field.text(problems)?;
    let plain = is_plain(text);
    if !plain {
        let message = format!("`{}` is no path that a step can see", shorten(text));
        field.invalid(message, "write an absolute path without `.` and `..`, such as `/in`", problems);
    }
    plain.then(|| text.to_owned())
}

/// In the one spelling that the path can have, so that two of them are equal as texts.
fn is_plain(at: &str) -> bool {
    let odd = |c: char| c.is_control() || c == '\\';
    at.len() <= MAX_SEEN_BYTES
        && at
            .strip_prefix('/')
            .is_some_and(|parts| parts.split('/').all(|part| !matches!(part, "" | "." | "..")))
        && !at.contains(odd)
}
