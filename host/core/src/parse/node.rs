//! A document as a tree in which every value knows its place.

use std::fmt;

use serde_json::{Map, Number, Value};

use crate::problem::Position;

/// How deep a document may nest. Protects the stack: trees are walked and dropped recursively. Below the 128
/// of `serde_json`, so that a flow that was accepted can be read back from the store.
pub const MAX_DEPTH: usize = 96;

/// The most values in one document, aliases written out. Protects memory: `[1,1,1…` makes a value of each two bytes.
pub const MAX_NODES: usize = 1_000_000;

/// The most bytes of text in one document, aliases written out. Protects memory from a long text that is
/// aliased many times.
pub const MAX_TEXT_BYTES: usize = 32 << 20;

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    Array(Vec<Node>),
    Object(Vec<Entry>),
}

/// One key of an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Position,
    pub(crate) value: Node,
}

impl Node {
    /// A tree without places, for what the host itself stored.
    pub(crate) fn from_value(value: &Value) -> Self {
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Bool(*value),
            Value::Number(value) => Kind::Number(value.clone()),
            Value::String(value) => Kind::Text(value.clone()),
            Value::Array(items) => Kind::Array(items.iter().map(Self::from_value).collect()),
            Value::Object(map) => Kind::Object(map.iter().map(Entry::from_pair).collect()),
        };
        Self { at: Position::default(), kind }
    }

    pub(crate) fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(value) => Value::Number(value.clone()),
            Kind::Text(value) => Value::String(value.clone()),
            Kind::Array(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Kind::Object(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_value()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// The value of a key, where this is an object that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.kind {
            Kind::Object(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub(crate) fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::Array(_) => "a list",
            Kind::Object(_) => "a mapping",
        }
    }

    /// The value at `path`.
    pub(crate) fn find(&self, path: &str) -> Option<&Self> {
        let (node, rest) = self.walk(path);
        rest.is_empty().then_some(node)
    }

    /// The place of `path`, or of its nearest parent that is there.
    pub(crate) fn locate(&self, path: &str) -> Position {
        self.walk(path).0.at
    }

    /// The place of a key of the mapping at `path`, or of that mapping.
    pub(crate) fn locate_key(&self, path: &str, key: &str) -> Position {
        let (node, rest) = self.walk(path);
        node.get(key).filter(|_| rest.is_empty()).map_or(node.at, |entry| entry.key_at)
    }

    /// The place of the key that `path` ends in, or of what it leads to where it ends in no key.
    pub(crate) fn locate_name(&self, path: &str) -> Position {
        let (mut node, mut rest, mut name) = (self, path, None);
        while let Some((next, after)) = node.step_into(rest) {
            let entry = match &node.kind {
                Kind::Object(entries) => entries.iter().find(|entry| std::ptr::eq(&entry.value, next)),
                _ => None,
            };
            name = entry.map(|entry| entry.key_at);
            (node, rest) = (next, after);
        }
        name.filter(|_| rest.is_empty()).unwrap_or(node.at)
    }

    /// As far as `path` leads, and what is left of it.
    fn walk<'p>(&self, path: &'p str) -> (&Self, &'p str) {
        let mut node = self;
        let mut rest = path;
        while let Some((next, after)) = node.step_into(rest) {
            node = next;
            rest = after;
        }
        (node, rest)
    }

    /// The first part of a path and what is left of it. Keys are written into paths as they are, so the
    /// longest key that fits is the one meant where a key holds a `.` or a `[`.
    fn step_into<'p>(&self, path: &'p str) -> Option<(&Self, &'p str)> {
        match &self.kind {
            Kind::Array(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                Some((items.get(index.parse::<usize>().ok()?)?, rest))
            }
            Kind::Object(entries) => {
                let path = path.strip_prefix('.').unwrap_or(path);
                let fits = |entry: &&Entry| {
                    let rest = path.strip_prefix(entry.key.as_str());
                    !path.is_empty()
                        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
                };
                let entry = entries.iter().filter(fits).max_by_key(|entry| entry.key.len())?;
                Some((&entry.value, path.get(entry.key.len()..)?))
            }
            _ => None,
        }
    }
}

impl Entry {
    fn from_pair((key, value): (&String, &Value)) -> Self {
        Self { key: key.clone(), key_at: Position::default(), value: Node::from_value(value) }
    }
}

/// What a document may still grow by.
#[derive(Debug)]
pub(crate) struct Budget {
    most: (usize, usize),
    nodes: usize,
    bytes: usize,
    spent: bool,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self::of(MAX_NODES, MAX_TEXT_BYTES)
    }

    /// For so many values and so many bytes of text.
    pub(crate) fn of(nodes: usize, bytes: usize) -> Self {
        Self { most: (nodes, bytes), nodes, bytes, spent: false }
    }

    /// How many values and bytes of text there was room for at first.
    pub(crate) fn most(&self) -> (usize, usize) {
        self.most
    }

    /// Whether there was more than it had room for.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent
    }

    /// Takes a value with all that is in it.
    pub(crate) fn take_tree(&mut self, node: &Node) -> Option<()> {
        match &node.kind {
            Kind::Text(text) => self.take(1, text.len()),
            Kind::Array(items) => {
                self.take(1, 0)?;
                items.iter().try_for_each(|item| self.take_tree(item))
            }
            Kind::Object(entries) => {
                self.take(1, 0)?;
                entries.iter().try_for_each(|entry| {
                    self.take(0, entry.key.len())?;
                    self.take_tree(&entry.value)
                })
            }
            _ => self.take(1, 0),
        }
    }

    /// Takes a value with so much text out of the budget; `None` where nothing is left.
    pub(crate) fn take(&mut self, nodes: usize, bytes: usize) -> Option<()> {
        match (self.nodes.checked_sub(nodes), self.bytes.checked_sub(bytes)) {
            (Some(nodes), Some(bytes)) => (self.nodes, self.bytes) = (nodes, bytes),
            _ => self.spent = true,
        }
        (!self.spent).then_some(())
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

/// The way from the root of a document to a value, kept on the stack while it is read.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    Root(&'a str),
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(crate) fn key(&'a self, key: &'a str) -> Self {
        Self::Key(self, key)
    }

    pub(crate) fn index(&'a self, index: usize) -> Self {
        Self::Index(self, index)
    }

    /// The key that it ends in.
    pub(crate) fn name(&self) -> Option<&'a str> {
        match self {
            Self::Key(_, key) => Some(key),
            _ => None,
        }
    }
}

/// Puts two paths together.
pub(crate) fn join(outer: &str, inner: &str) -> String {
    if outer.is_empty() || inner.is_empty() || inner.starts_with('[') {
        format!("{outer}{inner}")
    } else {
        format!("{outer}.{inner}")
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(root) => f.write_str(root),
            Self::Key(Path::Root(""), key) => f.write_str(&crate::problem::shorten(key)),
            Self::Key(parent, key) => write!(f, "{parent}.{}", crate::problem::shorten(key)),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(line: u32) -> Node {
        Node { at: Position { line, column: 1 }, kind: Kind::Null }
    }

    fn object(line: u32, entries: Vec<(&str, Node)>) -> Node {
        let entry = |(key, value): (&str, Node)| Entry { key: key.to_owned(), key_at: value.at, value };
        Node { at: leaf(line).at, kind: Kind::Object(entries.into_iter().map(entry).collect()) }
    }

    #[track_caller]
    fn check(path: &str, line: u32) {
        let list = Node {
            at: leaf(2).at,
            kind: Kind::Array(vec![leaf(3), object(4, vec![("x", leaf(5)), ("x.y", leaf(6))])]),
        };
        let root = object(1, vec![("a", list), ("b", leaf(7))]);
        assert_eq!(root.locate(path).line, line, "{path}");
    }

    #[test]
    fn locates_the_value_or_its_nearest_parent() {
        check("", 1);
        check("a", 2);
        check("a[0]", 3);
        check("a[1]", 4);
        check("a[1].x", 5);
        check("a[1].x.y", 6);
        check("a[1].x.z", 5);
        check("a[1].z", 4);
        check("a[9].z", 2);
        check("b", 7);
        check("c.d", 1);
        check("[0]", 1);
    }

    #[test]
    fn joins_paths() {
        assert_eq!(join("a", "b"), "a.b");
        assert_eq!(join("a", "[2]"), "a[2]");
        assert_eq!(join("", "b"), "b");
        assert_eq!(join("a", ""), "a");
    }
}
