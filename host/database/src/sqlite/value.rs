//! Values as SQLite has them into JSON.

use std::io::Write as _;

use base64::{display::Base64Display, prelude::BASE64_STANDARD};
use rusqlite::types::ValueRef;
use serde_json::Value;

use crate::rule::EXACT_INTEGER_MAX;

/// How deep JSON in a column may nest to stand as it is: readers of the whole result give up at about 128.
const NESTING_MAX: usize = 64;

/// What a column's declared type makes of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Declared {
    Boolean,
    Json,
    Other,
}

impl Declared {
    pub(super) fn read(kind: Option<&str>) -> Self {
        match kind {
            Some(kind) if kind.eq_ignore_ascii_case("boolean") || kind.eq_ignore_ascii_case("bool") => {
                Self::Boolean
            }
            Some(kind) if kind.eq_ignore_ascii_case("json") => Self::Json,
            _ => Self::Other,
        }
    }
}

/// The fewest bytes that it takes as JSON.
pub(super) fn least_bytes(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 1,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
    }
}

/// Appends one value.
pub(super) fn write(out: &mut Vec<u8>, value: ValueRef<'_>, declared: Declared) -> std::io::Result<()> {
    match value {
        ValueRef::Null => out.write_all(b"null"),
        ValueRef::Integer(0) if declared == Declared::Boolean => out.write_all(b"false"),
        ValueRef::Integer(1) if declared == Declared::Boolean => out.write_all(b"true"),
        ValueRef::Integer(integer) if integer.unsigned_abs() <= EXACT_INTEGER_MAX => write!(out, "{integer}"),
        ValueRef::Integer(integer) => write!(out, "\"{integer}\""),
        ValueRef::Real(float) if float.is_infinite() => {
            out.write_all(if float > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" })
        }
        ValueRef::Real(float) => Ok(serde_json::to_writer(out, &float)?),
        ValueRef::Blob(bytes) => write!(out, "\"{}\"", Base64Display::new(bytes, &BASE64_STANDARD)),
        ValueRef::Text(bytes) => {
            // SQLite checks no text; what is no UTF-8 can not be JSON.
            let text = String::from_utf8_lossy(bytes);
            if declared == Declared::Json && is_json(&text) {
                return out.write_all(text.as_bytes());
            }
            Ok(serde_json::to_writer(out, &text)?)
        }
    }
}

fn is_json(text: &str) -> bool {
    depth(text) <= NESTING_MAX && serde_json::from_str::<Value>(text).is_ok()
}

/// How deep brackets nest; those in texts count too, which errs on the safe side.
fn depth(text: &str) -> usize {
    let (mut deepest, mut now) = (0_usize, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => now += 1,
            b']' | b'}' => now = now.saturating_sub(1),
            _ => continue,
        }
        deepest = deepest.max(now);
    }
    deepest
}
