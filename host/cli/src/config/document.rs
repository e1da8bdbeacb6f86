//! The text of the config file, with its variables filled in.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use serde_json::Value;
use stepcell_core::{
    parse::{Document, Format},
    problem::{Position, Problem},
};

use super::{
    interpolate::{self, Variables},
    reader::{Reader, join},
};
use crate::{error::Error, listing::Listing};

/// The largest config file, in bytes. Protects memory from a path that names something else.
const CONFIG_BYTES_MAX: usize = 1 << 20;

/// Reads a file into its values. Variables that can not be filled in are with the reader.
pub(super) fn read(path: &Path, variables: &Variables<'_>) -> Result<(Value, Reader), Error> {
    let text = read_text(path).map_err(|error| {
        Error::call(
            "config_unreadable",
            format!("the config file `{}` can not be read: {error}", path.display()),
            "it has to be YAML text that this user may read",
        )
    })?;
    let document = Document::read(&text, Format::Yaml, CONFIG_BYTES_MAX)
        .map_err(|problems| Error::Problems(Listing::new(path.display().to_string(), problems)))?;
    let mut value = document.value();
    let mut reader = Reader::new(document);
    fill_in(&mut value, "", &text, variables, &mut reader);
    Ok((value, reader))
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // One byte more than is admitted shows that there is more.
    File::open(path)?.take(CONFIG_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// Fills in every text below `value`. The parser has bounded how deep this goes.
fn fill_in(value: &mut Value, path: &str, source: &str, variables: &Variables<'_>, reader: &mut Reader) {
    match value {
        Value::String(text) => match interpolate::fill_in(text, variables) {
            Ok(filled) => *text = filled,
            Err(error) => {
                let at = place(source, reader.locate(path), text.get(error.offset..).unwrap_or_default());
                reader.push(Problem {
                    path: path.to_owned(),
                    line: at.line,
                    column: at.column,
                    code: "variable_invalid",
                    message: error.to_string(),
                    hint: error.reason.hint(),
                });
                // Reported once: what reads this key need not find fault with it too.
                reader.give_up(path);
            }
        },
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                fill_in(item, &format!("{path}[{index}]"), source, variables, reader);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                fill_in(value, &join(path, key), source, variables, reader);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The place of a reference within the source: that of the value which holds it, moved on to the reference
/// where it stands as it is in the same line.
fn place(source: &str, value: Position, reference: &str) -> Position {
    let count = |number: u32| usize::try_from(number.saturating_sub(1)).unwrap_or_default();
    let line = source.lines().nth(count(value.line)).unwrap_or_default();
    let rest: String = line.chars().skip(count(value.column)).collect();
    // A value of several lines has only its first one here.
    let head = reference.lines().next().unwrap_or_default();
    let before = rest.find(head).and_then(|bytes| rest.get(..bytes)).unwrap_or_default();
    let further = u32::try_from(before.chars().count()).unwrap_or_default();
    Position { line: value.line, column: value.column.saturating_add(further) }
}
