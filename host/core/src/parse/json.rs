//! JSON text to a tree with places.
//!
//! `serde_json` decides what JSON is: it checks the whole text first and decodes every leaf. Only the walk
//! from one token to the next is ours, as serde hands out no positions; on a text known to be well-formed
//! that walk needs no error handling. The YAML reader was rejected for this: it reads `"\ud83d\ude00"` otherwise.

use serde::de::{DeserializeOwned, IgnoredAny};

use super::node::{Budget, Entry, Kind, MAX_DEPTH, Node};
use crate::problem::{Position, Problems};

/// Reads one document. `None` where it can not be read to its end; the reason is among the problems then.
pub(crate) fn read(text: &str, problems: &mut Problems) -> Option<Node> {
    read_at(text, Position::START, &mut Budget::new(), problems)
}

/// Reads one document of several: it begins a line of the whole text, and takes from what all may hold together.
pub(crate) fn read_at(
    text: &str,
    start: Position,
    budget: &mut Budget,
    problems: &mut Problems,
) -> Option<Node> {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        let at = place(text, error.line(), error.column());
        let at = Position { line: at.line.saturating_add(start.line.saturating_sub(1)), ..at };
        problems.add("", at, "invalid_json", format!("this is not JSON: {}", reason(&error)));
        return None;
    }
    let cursor = Cursor { rest: text, at: start };
    Walker { cursor, budget, problems }.value(0)
}

struct Walker<'t, 'p> {
    cursor: Cursor<'t>,
    budget: &'p mut Budget,
    problems: &'p mut Problems,
}

impl<'t> Walker<'t, '_> {
    fn value(&mut self, depth: usize) -> Option<Node> {
        let first = self.cursor.skip_blank();
        let at = self.cursor.at;
        let kind = match first {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => {
                super::too_deep(self.problems, at);
                return None;
            }
            Some(b'{') => Kind::Object(self.object(depth + 1)?),
            Some(b'[') => Kind::Array(self.array(depth + 1)?),
            Some(b'"') => Kind::Text(self.text()?),
            _ => self.literal()?,
        };
        self.charge(1, 0, at)?;
        Some(Node { at, kind })
    }

    fn object(&mut self, depth: usize) -> Option<Vec<Entry>> {
        let mut entries = Vec::new();
        self.cursor.skip(1);
        while self.cursor.skip_to_item() != Some(b'}') {
            let key_at = self.cursor.at;
            let key = self.text()?;
            let value = self.value(depth)?;
            entries.push(Entry { key, key_at, value });
        }
        self.cursor.skip(1);
        Some(entries)
    }

    fn array(&mut self, depth: usize) -> Option<Vec<Node>> {
        let mut items = Vec::new();
        self.cursor.skip(1);
        while self.cursor.skip_to_item() != Some(b']') {
            items.push(self.value(depth)?);
        }
        self.cursor.skip(1);
        Some(items)
    }

    fn text(&mut self) -> Option<String> {
        let at = self.cursor.at;
        let text: String = self.decode(string_end)?;
        self.charge(0, text.len(), at)?;
        Some(text)
    }

    fn literal(&mut self) -> Option<Kind> {
        match self.cursor.rest.bytes().next() {
            Some(b't' | b'f') => self.decode(literal_end).map(Kind::Bool),
            Some(b'n') => self.decode::<()>(literal_end).map(|()| Kind::Null),
            _ => self.decode(literal_end).map(Kind::Number),
        }
    }

    /// Decodes the token that begins here; what is no value (a lone surrogate, `1e999`) ends the reading.
    fn decode<T: DeserializeOwned>(&mut self, end: fn(&str) -> usize) -> Option<T> {
        let at = self.cursor.at;
        let token = self.cursor.skip(end(self.cursor.rest));
        match serde_json::from_str(token) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.add("", at, "invalid_json", format!("this is not JSON: {}", reason(&error)));
                None
            }
        }
    }

    fn charge(&mut self, nodes: usize, bytes: usize, at: Position) -> Option<()> {
        let left = self.budget.take(nodes, bytes);
        if left.is_none() {
            super::too_large(self.problems, at);
        }
        left
    }
}

/// What is left of the text, and where that begins.
struct Cursor<'t> {
    rest: &'t str,
    at: Position,
}

impl<'t> Cursor<'t> {
    /// Goes to the next token and gives its first byte.
    fn skip_blank(&mut self) -> Option<u8> {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b':'))
    }

    /// The same past the comma between two items.
    fn skip_to_item(&mut self) -> Option<u8> {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b','))
    }

    fn skip_while(&mut self, blank: fn(u8) -> bool) -> Option<u8> {
        let length = self.rest.bytes().take_while(|byte| blank(*byte)).count();
        self.skip(length);
        self.rest.bytes().next()
    }

    fn skip(&mut self, bytes: usize) -> &'t str {
        let (passed, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        for byte in passed.bytes() {
            match byte {
                b'\n' => self.at = Position { line: self.at.line.saturating_add(1), column: 1 },
                // Not the first byte of a character.
                0x80..=0xBF => {}
                _ => self.at.column = self.at.column.saturating_add(1),
            }
        }
        self.rest = rest;
        passed
    }
}

/// The length of the string that begins here, quotes included.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    let inner = text.bytes().skip(1).take_while(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        !ends
    });
    inner.count() + 2
}

fn literal_end(text: &str) -> usize {
    text.bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'))
        .count()
        .max(1)
}

/// `serde_json` counts columns in bytes.
fn place(text: &str, line: usize, column: usize) -> Position {
    let content = text.split('\n').nth(line.saturating_sub(1)).unwrap_or_default();
    let before = content.bytes().take(column.saturating_sub(1));
    let characters = before.filter(|byte| !matches!(byte, 0x80..=0xBF)).count();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position { line: count(line.max(1)), column: count(characters).saturating_add(1) }
}

/// The error without its own idea of the place.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Value) {
        let mut problems = Problems::default();
        let node = read(text, &mut problems);
        assert!(problems.is_empty(), "{:?}", problems.into_vec());
        assert_eq!(node.unwrap().to_value(), expected);
    }

    #[track_caller]
    fn fails(text: &str, expected: &str) {
        let mut problems = Problems::default();
        assert_eq!(read(text, &mut problems), None);
        assert_eq!(problems.into_vec().iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn reads_what_serde_json_reads() {
        check("null", json!(null));
        check(" [ 1 , -2.5e3 , true , false , null ] ", json!([1, -2500.0, true, false, null]));
        check(r#"{"a":{"b":[]},"c":{},"d":"x"}"#, json!({"a": {"b": []}, "c": {}, "d": "x"}));
        check(r#"["\"", "\\", "\\\"", "a,b", "]}", "😀"]"#, json!(["\"", "\\", "\\\"", "a,b", "]}", "😀"]));
        check("18446744073709551615", json!(u64::MAX));
        check(r#"{"": 1}"#, json!({"": 1}));
    }

    #[test]
    fn tells_where_and_why() {
        fails("", "1:1: this is not JSON: EOF while parsing a value");
        fails("{\"é\": tru}", "1:10: this is not JSON: expected ident");
        fails("[1,\n 2,]", "2:4: this is not JSON: expected value");
        fails("[1] 2", "1:5: this is not JSON: trailing characters");
        fails("[\n \"\\ud800\"]", "2:2: this is not JSON: unexpected end of hex escape");
        fails("[1e999]", "1:2: this is not JSON: number out of range");
    }

    #[test]
    fn columns_count_characters() {
        let mut problems = Problems::default();
        let node = read("{\"é😀\": 1,\n\t\"b\": [2, 3]}", &mut problems).unwrap();
        assert_eq!(node.locate("é😀"), Position { line: 1, column: 8 });
        assert_eq!(node.get("b").unwrap().key_at, Position { line: 2, column: 2 });
        assert_eq!(node.locate("b[1]"), Position { line: 2, column: 11 });
    }
}
