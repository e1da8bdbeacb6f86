//! A grant as it is written, in the config or in a flow.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{BlobAccess, DatabaseRule, FileRule, Grant, HttpRule, RecipientPattern, budget, limits};
use crate::{
    flow::LimitsPatch,
    limits::Budget,
    parse::{Field, Fields, Kind, Node, Path},
    problem::{Problem, Problems, shorten},
};

/// The most entries of one list of a grant. Bounds the work of each request that is held against it.
pub const MAX_ENTRIES: usize = 1_000;
/// The longest name of a secret or a database. Names stand in messages and events.
pub const MAX_NAME_BYTES: usize = 64;

const KEYS: [&str; 7] = ["http", "secrets", "databases", "email", "blobs", "files", "limits"];
const NARROWING_KEYS: [&str; 6] = ["http", "secrets", "databases", "email", "blobs", "files"];
const NAME_HINT: &str = "use letters, digits, `_` and `-`, beginning with a letter, 64 characters at most";
const NOTHING_HINT: &str = "write `[]` to allow nothing, or leave the key out";

/// Who writes the grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The operator, in `stepcell.yaml`.
    Operator,
    /// A flow or a step, which can only narrow.
    Narrowing,
}

/// Something wrong with a grant, or with what is written like one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantProblem {
    /// Within the grant: `http[1].methods`; empty for the grant itself.
    pub path: String,
    /// `unknown_key`, `missing_key`, `wrong_type`, `invalid_value`, `invalid_name`, `http_rule_invalid`,
    /// `duplicate_folder` or `too_large`.
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

impl Grant {
    /// Reads a grant; every mistake in it is told at once, and what can be read is there. Nothing at all is a
    /// grant that says nothing.
    pub fn read(value: &Value, level: Level) -> (Self, Vec<GrantProblem>) {
        read(value, |field, problems| Self::read_field(field, level, problems))
    }

    pub(crate) fn read_field(field: Field<'_, '_>, level: Level, problems: &mut Problems) -> Self {
        let mut grant = Self::default();
        let Some(fields) = fields(field, level, problems) else { return grant };
        if let Some(field) = fields.get_any("http") {
            let expected = "a list of rules, such as `[\"https://api.example.com\"]`";
            grant.http = Some(list(field, expected, problems, HttpRule::read_field));
        }
        if let Some(field) = fields.get_any("secrets") {
            let names = list(field, "a list of names, such as `[github]`", problems, name);
            grant.secrets = Some(names.into_iter().collect::<BTreeSet<_>>());
        }
        grant.databases = fields.get_any("databases").map(|field| databases(field, problems));
        if let Some(field) = fields.get_any("email") {
            let expected = "a list of recipients, such as `[\"*@example.com\"]`";
            grant.email = Some(list(field, expected, problems, RecipientPattern::read_field));
        }
        grant.blobs = fields.get_any("blobs").and_then(|field| BlobAccess::read_field(field, problems));
        grant.files = fields.get_any("files").map(|field| files(field, level, problems));
        if let Some(field) = fields.get("limits").filter(|_| level == Level::Operator) {
            grant.limits = limits(field, problems);
        }
        grant
    }
}

/// `limits` of the config, read as those of a flow are.
pub fn read_limits(value: &Value) -> (LimitsPatch, Vec<GrantProblem>) {
    read(value, limits)
}

/// `budget` of the config, read as that of a flow is.
pub fn read_budget(value: &Value) -> (Budget, Vec<GrantProblem>) {
    read(value, budget)
}

/// The rules of a list such as `hosts` of a secret.
pub fn read_http(value: &Value) -> (Vec<HttpRule>, Vec<GrantProblem>) {
    read(value, |field, problems| {
        list(field, "a list such as `[\"https://api.example.com\"]`", problems, HttpRule::read_field)
    })
}

/// Whether a text can name a secret or a database; the error is what to write instead.
pub fn check_name(text: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let fits = text.len() <= MAX_NAME_BYTES && text.bytes().all(plain);
    if fits && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        Ok(())
    } else {
        Err(NAME_HINT)
    }
}

fn read<T: Default>(
    value: &Value,
    read: impl FnOnce(Field<'_, '_>, &mut Problems) -> T,
) -> (T, Vec<GrantProblem>) {
    if value.is_null() {
        return (T::default(), Vec::new());
    }
    let mut problems = Problems::default();
    let node = Node::from_value(value);
    let read = read(Field { node: &node, path: Path::Root("") }, &mut problems);
    (read, problems.into_vec().into_iter().map(GrantProblem::from).collect())
}

impl From<Problem> for GrantProblem {
    fn from(Problem { path, code, message, hint, .. }: Problem) -> Self {
        Self { path, code, message, hint }
    }
}

/// The keys of a grant. `limits` stand in that of the operator only.
fn fields<'n, 'p>(field: Field<'n, 'p>, level: Level, problems: &mut Problems) -> Option<Fields<'n, 'p>> {
    match field.node.get("limits").filter(|_| level == Level::Narrowing) {
        None if level == Level::Narrowing => Fields::of(field.node, field.path, &NARROWING_KEYS, problems),
        None => Fields::of(field.node, field.path, &KEYS, problems),
        Some(entry) => {
            let message = "the `grants` of a flow or a step have no `limits`";
            problems
                .add(field.path.key("limits"), entry.key_at, "unknown_key", message)
                .hint("a flow and a step have `limits` of their own, beside `grants`");
            Fields::of(field.node, field.path, &KEYS, problems)
        }
    }
}

/// A list of at most [`MAX_ENTRIES`]; what is wrong is left out, so that less is allowed.
pub(super) fn list<T>(
    field: Field<'_, '_>,
    expected: &str,
    problems: &mut Problems,
    mut item: impl FnMut(Field<'_, '_>, &mut Problems) -> Option<T>,
) -> Vec<T> {
    let Kind::Array(items) = &field.node.kind else {
        let message = format!("expected {expected}, found {}", field.node.what());
        let added = problems.add(field.path, field.node.at, "wrong_type", message);
        if field.node.kind == Kind::Null {
            added.hint(NOTHING_HINT);
        }
        return Vec::new();
    };
    if too_many(field, items.len(), problems) {
        return Vec::new();
    }
    let items = items.iter().enumerate();
    items.filter_map(|(index, node)| item(Field { node, path: field.path.index(index) }, problems)).collect()
}

fn too_many(field: Field<'_, '_>, entries: usize, problems: &mut Problems) -> bool {
    let many = entries > MAX_ENTRIES;
    if many {
        let message = format!("{entries} entries, the limit is {MAX_ENTRIES}");
        problems.add(field.path, field.node.at, "too_large", message).hint("use patterns with `*`");
    }
    many
}

fn name(field: Field<'_, '_>, problems: &mut Problems) -> Option<String> {
    let text = field.text(problems)?;
    named(text, field, problems).then(|| text.to_owned())
}

fn named(text: &str, field: Field<'_, '_>, problems: &mut Problems) -> bool {
    let checked = check_name(text);
    if let Err(hint) = checked {
        let message = format!("`{}` is no name", shorten(text));
        problems.add(field.path, field.node.at, "invalid_name", message).hint(hint);
    }
    checked.is_ok()
}

fn databases(field: Field<'_, '_>, problems: &mut Problems) -> BTreeMap<String, DatabaseRule> {
    let mut found = BTreeMap::new();
    let Kind::Object(entries) = &field.node.kind else {
        let message = format!("expected a mapping such as `{{ main: read }}`, found {}", field.node.what());
        let added = problems.add(field.path, field.node.at, "wrong_type", message);
        if field.node.kind == Kind::Null {
            added.hint("write `{}` to allow nothing, or leave the key out");
        }
        return found;
    };
    if too_many(field, entries.len(), problems) {
        return found;
    }
    for entry in entries {
        let field = Field { node: &entry.value, path: field.path.key(&entry.key) };
        if named(&entry.key, field, problems)
            && let Some(rule) = DatabaseRule::read_field(field, problems)
        {
            found.insert(entry.key.clone(), rule);
        }
    }
    found
}

fn files(field: Field<'_, '_>, level: Level, problems: &mut Problems) -> Vec<FileRule> {
    let expected = match level {
        Level::Operator => "a list of folders, such as `[\"./in\"]`",
        Level::Narrowing => "a list of what the step sees, such as `[/in]`",
    };
    let mut seen = BTreeSet::new();
    list(field, expected, problems, |field, problems| {
        let rule = FileRule::read_field(field, level, problems)?;
        if seen.insert(rule.at.clone()) {
            return Some(rule);
        }
        let message = format!("there is a folder at `{}` already", shorten(&rule.at));
        problems
            .add(field.path, field.node.at, "duplicate_folder", message)
            .hint("say with `at` where the step finds it");
        None
    })
}

impl BlobAccess {
    fn read_field(field: Field<'_, '_>, problems: &mut Problems) -> Option<Self> {
        match field.text(problems)? {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            other => {
                let message = format!("`{}` is no access to blobs", shorten(other));
                field.invalid(message, "write `read`, or `write` to put new ones as well", problems);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
