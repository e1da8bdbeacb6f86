//! `{"$from": {"step": "fetch"}, "path": "$.body.total"}`: the same as a template, as a JSON value.

use serde_json::{Map, Value};
use serde_json_path::JsonPath;

use super::{
    compile::Fault,
    eval::Eval,
    expr::Root,
    limits::Budget,
    names::Names,
    value::{Made, Reason, Val, pay_for_items},
};
use crate::ids::shorten;

/// The longest path, in bytes.
const MAX_PATH_BYTES: usize = 1_024;
/// The most wildcards, slices, unions, filters and descents of a path, and the most brackets around each
/// other. Each can multiply what the next one looks at.
const MAX_BRANCHES: usize = 4;

/// A compiled `$from`.
#[derive(Debug)]
pub(super) struct From {
    pub(super) root: Root,
    path: Option<Query>,
}

#[derive(Debug)]
struct Query {
    text: String,
    path: JsonPath,
    /// How many branches it has; none gives the value itself, any gives a list.
    branches: usize,
}

/// Whether a map is meant to be a reference.
pub(super) fn is_from(map: &Map<String, Value>) -> bool {
    map.contains_key("$from")
}

/// Compiles a map that has the key `$from`.
pub(super) fn compile(map: &Map<String, Value>, names: &mut Names<'_>) -> Result<From, Fault> {
    if let Some(unknown) = map.keys().find(|key| !matches!(key.as_str(), "$from" | "path")) {
        return Err(invalid(format!("`{}` can not stand beside `$from`, only `path` can", shorten(unknown))));
    }
    let path = match map.get("path") {
        None => None,
        Some(Value::String(path)) => Some(query(path)?),
        Some(_) => return Err(invalid("`path` is no string")),
    };
    let source = map.get("$from").and_then(Value::as_object).filter(|source| source.len() == 1);
    let root = match source.and_then(|source| source.iter().next()) {
        Some((key, Value::String(step))) if key == "step" => names.step(step),
        Some((key, Value::String(name))) if key == "workflow" && name == "input" => {
            names.input();
            Root::Input
        }
        _ => return Err(invalid("`$from` names neither a step nor the input")),
    };
    Ok(From { root, path })
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new("from_invalid", message)
        .hint(r#"write {"$from": {"step": "ID"}, "path": "$.…"} or {"$from": {"workflow": "input"}, "path": "$.…"}"#)
}

fn query(text: &str) -> Result<Query, Fault> {
    let text = match text {
        text if text.starts_with('$') => text.to_owned(),
        text if text.starts_with('[') => format!("${text}"),
        text => format!("$.{text}"),
    };
    let shape = Shape::of(&text);
    if text.len() > MAX_PATH_BYTES || shape.is_too_much() {
        return Err(Fault::new("path_invalid", format!("the path `{}` does too much", shorten(&text))).hint(format!(
            "a path has at most one `..`, one filter, {MAX_BRANCHES} wildcards, slices, unions and filters in all, \
             no `match` or `search`, and {MAX_PATH_BYTES} bytes"
        )));
    }
    let path = JsonPath::parse(&text).map_err(|error| {
        Fault::new("path_invalid", format!("`{}` is no JSONPath: {}", shorten(&text), error.message()))
            .hint("RFC 9535 has the rules; examples: `$.body.items[0].id`, `$.items[*].id`")
    })?;
    Ok(Query { path, branches: shape.branches, text })
}

/// What makes a path expensive, read off its text: the library has no limits, and compiles regular expressions
/// for each node.
#[derive(Debug, Default)]
struct Shape {
    branches: usize,
    descents: usize,
    filters: usize,
    roots: usize,
    nesting: usize,
    regex: bool,
}

impl Shape {
    fn of(text: &str) -> Self {
        let mut shape = Self::default();
        let mut rest = text;
        let mut open = 0_usize;
        while let Some(first) = rest.chars().next() {
            match first {
                '"' | '\'' => rest = after_string(rest, first),
                '.' if rest.starts_with("..") => {
                    shape.descents += 1;
                    shape.branches += 1;
                    rest = rest.get(1..).unwrap_or_default();
                }
                '?' => shape.filters += 1,
                '$' => shape.roots += 1,
                '(' | '[' => {
                    open += 1;
                    shape.nesting = shape.nesting.max(open);
                }
                ')' | ']' => open = open.saturating_sub(1),
                _ => shape.regex |= rest.starts_with("match(") || rest.starts_with("search("),
            }
            shape.branches += usize::from(matches!(first, '*' | ',' | ':' | '?'));
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
        shape
    }

    fn is_too_much(&self) -> bool {
        self.regex
            || self.branches > MAX_BRANCHES
            || self.nesting > MAX_BRANCHES
            || self.descents > 1
            || self.filters > 1
            || self.roots > 1
    }
}

/// What begins with the closing quote of the string that begins here.
fn after_string(text: &str, quote: char) -> &str {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, char)| {
        let ends = *char == quote && !escaped;
        escaped = *char == '\\' && !escaped;
        ends
    });
    end.and_then(|(at, _)| text.get(at..)).unwrap_or_default()
}

impl From {
    /// Whether it is the whole document.
    pub(super) fn is_whole(&self) -> bool {
        self.path.as_ref().is_none_or(|query| query.text == "$")
    }

    pub(super) fn resolve<'a>(&'a self, eval: &Eval<'a>) -> Made<'a> {
        let json = eval.root(self.root)?;
        let Some(query) = &self.path else { return Ok(json.value().into()) };
        pay(json.len(), query.branches, &eval.budget)?;
        let found = query.path.query(json.value()).all();
        if query.branches > 0 {
            pay_for_items(found.len(), &eval.budget)?;
            return Ok(Val::from(found.into_iter().map(Val::from).collect::<Vec<_>>()));
        }
        found
            .first()
            .map(|value| Val::from(*value))
            .ok_or_else(|| Reason::new(format!("there is nothing at `{}`", shorten(&query.text))))
    }
}

/// A path without branches looks at a handful of values, one with them at the whole document and more.
fn pay(bytes: usize, branches: usize, budget: &Budget) -> Result<(), Reason> {
    budget.work(1)?;
    match branches {
        0 => Ok(()),
        branches => budget.scan(bytes.saturating_mul(1 + branches)),
    }
}
