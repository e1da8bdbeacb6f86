//! Documents that are no flows: the config file, an input.

use serde_json::Value;

use super::{Format, keys, node::Node, read_any};
use crate::problem::{Position, Problem, Problems};

/// A document with the places of its parts.
#[derive(Debug)]
pub struct Document {
    root: Node,
}

impl Document {
    /// Reads a text of at most `bytes_max`. An empty YAML text is `null`; a key that is there twice is an error.
    pub fn read(text: &str, format: Format, bytes_max: usize) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let root = read_any(text, format, bytes_max, &mut problems);
        if let Some(root) = &root {
            keys::check(root, "", &mut problems);
        }
        match root {
            Some(root) if problems.is_empty() => Ok(Self { root }),
            _ => Err(problems.into_vec()),
        }
    }

    /// The document without its places.
    pub fn value(&self) -> Value {
        self.root.to_value()
    }

    /// The place of a path (`grants.x.http[0]`), or of its nearest parent that is there.
    pub fn locate(&self, path: &str) -> Position {
        self.root.locate(path)
    }

    /// The place of the key that `path` ends in, or that of its value where it ends in no key.
    pub fn locate_name(&self, path: &str) -> Position {
        self.root.locate_name(path)
    }

    /// The place of a key itself, where [`locate`](Self::locate) gives that of its value.
    pub fn locate_key(&self, path: &str, key: &str) -> Position {
        self.root.locate_key(path, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_places_of_its_parts() {
        let text = "a:\n  b: [1, x]\n  c: 2\n";
        let document = Document::read(text, Format::Yaml, 100).unwrap();
        assert_eq!(document.value(), serde_json::json!({"a": {"b": [1, "x"], "c": 2}}));
        assert_eq!(document.locate("a.b[1]"), Position { line: 2, column: 10 });
        assert_eq!(document.locate_key("a", "c"), Position { line: 3, column: 3 });
        assert_eq!(document.locate_name("a.c"), Position { line: 3, column: 3 });
        assert_eq!(document.locate_name("a.b[1]"), Position { line: 2, column: 10 });
        assert_eq!(document.locate_name("a.d"), Position { line: 2, column: 3 });
    }

    #[test]
    fn an_empty_text_is_null() {
        assert_eq!(Document::read("", Format::Yaml, 0).unwrap().value(), Value::Null);
    }

    #[test]
    fn size_and_double_keys_are_refused() {
        assert!(Document::read("a: 1", Format::Yaml, 3).is_err());
        assert!(Document::read("a: 1\na: 2\n", Format::Yaml, 100).is_err());
    }
}
