//! Typed values out of a parsed document, with every mistake and its place.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use stepcell_core::{
    grant::GrantProblem,
    parse::Document,
    problem::{Position, Problem, listed, nearest},
};

use crate::{error::Error, listing::Listing, text};

/// Keys whose values may be or hold a password, also where it stands in the wrong place. No message repeats them.
const PRIVATE: [&str; 3] = ["secrets", "databases", "email"];

/// Reads values and collects what is wrong with them. A wrong value is left out; the reading goes on.
#[derive(Debug)]
pub(super) struct Reader {
    document: Document,
    problems: Vec<Problem>,
    /// Paths with a problem of which others would only be the consequence.
    given_up: HashSet<String>,
}

impl Reader {
    pub(super) fn new(document: Document) -> Self {
        Self { document, problems: Vec::new(), given_up: HashSet::new() }
    }

    /// The result, or all problems in the order of the file.
    pub(super) fn finish<T>(mut self, file: &Path, value: T) -> Result<T, Error> {
        if self.problems.is_empty() {
            return Ok(value);
        }
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        Err(Error::Problems(Listing::new(file.display().to_string(), self.problems)))
    }

    /// The place of a path, or of its nearest parent.
    pub(super) fn locate(&self, path: &str) -> Position {
        self.document.locate(path)
    }

    pub(super) fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Reports nothing more for this path.
    pub(super) fn give_up(&mut self, path: &str) {
        self.given_up.insert(path.to_owned());
    }

    pub(super) fn problem(&mut self, path: &str, code: &'static str, message: String, hint: Option<String>) {
        if !self.given_up.contains(path) {
            let Position { line, column } = self.locate(path);
            self.push(Problem { path: path.to_owned(), line, column, code, message, hint });
        }
    }

    /// Reports what core found in the value at `path`.
    pub(super) fn adopt(&mut self, path: &str, problems: Vec<GrantProblem>) {
        for GrantProblem { path: inner, code, message, hint } in problems {
            let path = if inner.starts_with('[') { format!("{path}{inner}") } else { join(path, &inner) };
            let path = path.trim_end_matches('.').to_owned();
            if code == "unknown_key" {
                let Position { line, column } = self.document.locate_name(&path);
                let within = path.rsplit_once('.').map(|(parent, _)| parent).unwrap_or_default();
                let message = format!("{message} in `{}`", text::line(within));
                self.push(Problem { path, line, column, code, message, hint });
            } else {
                self.problem(&path, code, format!("`{}`: {message}", text::line(&path)), hint);
            }
        }
    }

    /// A mapping with no keys but `known` ones.
    pub(super) fn object<'v>(
        &mut self,
        path: &str,
        value: &'v Value,
        known: &[&str],
    ) -> Option<&'v Map<String, Value>> {
        let map = self.any_object(path, value)?;
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            self.unknown_key(path, key, known);
        }
        Some(map)
    }

    /// A mapping whose keys are names of the operator's own. One without a value is empty.
    pub(super) fn any_object<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v Map<String, Value>> {
        let map = value.as_object();
        if map.is_none() && !value.is_null() {
            self.wrong(path, value, "a mapping of keys to values", None);
        }
        map
    }

    /// A list; wrong items are left out.
    pub(super) fn list<'v, T>(
        &mut self,
        path: &str,
        value: &'v Value,
        mut item: impl FnMut(&mut Self, &str, &'v Value) -> Option<T>,
    ) -> Vec<T> {
        let Some(items) = value.as_array() else {
            let hint = "write it as `[first, second]`, also where there is only one".to_owned();
            self.wrong(path, value, "a list", Some(hint));
            return Vec::new();
        };
        let read = |(index, value): (usize, &'v Value)| item(self, &format!("{path}[{index}]"), value);
        items.iter().enumerate().filter_map(read).collect()
    }

    /// A text that is not empty.
    pub(super) fn text<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v str> {
        let text = value.as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            self.wrong(path, value, "a text", None);
        }
        text
    }

    /// A list of files or folders, relative to the config's.
    pub(super) fn paths(&mut self, path: &str, value: Option<&Value>, folder: &Path) -> Vec<PathBuf> {
        let Some(value) = value else { return Vec::new() };
        self.list(path, value, |reader, path, item| reader.text(path, item).map(|item| folder.join(item)))
    }

    /// A text or a number that `parse` understands, `wanted` being what that is; the error of `parse` is what to
    /// write instead.
    pub(super) fn parsed<T>(
        &mut self,
        path: &str,
        value: &Value,
        wanted: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => {
                self.wrong(path, value, wanted, None);
                return None;
            }
        };
        parse(&text).map_err(|hint| self.wrong(path, value, wanted, Some(hint))).ok()
    }

    fn unknown_key(&mut self, path: &str, key: &str, known: &[&str]) {
        let within = if path.is_empty() { String::new() } else { format!(" in `{}`", text::line(path)) };
        let names = listed(known.iter().copied());
        let hint = match nearest(key, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? the keys here are {names}"),
            None => format!("the keys here are {names}"),
        };
        let Position { line, column } = self.document.locate_key(path, key);
        self.push(Problem {
            path: join(path, key),
            line,
            column,
            code: "unknown_key",
            message: format!("unknown key `{}`{within}", text::line(key)),
            hint: Some(hint),
        });
    }

    fn wrong(&mut self, path: &str, value: &Value, wanted: &str, hint: Option<String>) {
        let private = PRIVATE.contains(&path.split('.').next().unwrap_or_default());
        let found = match value {
            Value::String(text) if text.is_empty() => "empty".to_owned(),
            Value::String(_) if private => "this text".to_owned(),
            Value::Bool(_) | Value::Number(_) if private => "this value".to_owned(),
            Value::Null => "empty".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "a mapping".to_owned(),
            Value::String(text) => format!("`{}`", text::line(text)),
            Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        };
        let subject = if path.is_empty() { "the file".to_owned() } else { format!("`{}`", text::line(path)) };
        self.problem(path, "wrong_value", format!("{subject} has to be {wanted}, not {found}"), hint);
    }
}

/// The path of a key within a mapping, as core writes it.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
