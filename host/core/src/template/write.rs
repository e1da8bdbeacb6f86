//! Values to JSON text, within the limits.

use std::cell::RefCell;

use serde::{Serialize, Serializer};
use serde_json::{Value, ser::PrettyFormatter};

use super::{
    limits::{Budget, MAX_RESULT_DEPTH},
    value::{Reason, Val},
};
use crate::Json;

/// Compact JSON text, on the way to a result.
pub(super) fn text(value: &Val<'_>, budget: &Budget) -> Result<String, Reason> {
    let pen = Pen::new(budget, Budget::make);
    let written = serde_json::to_string(&Written { value, pen: &pen, depth: 0 });
    written.map_err(|error| pen.reason(&error))
}

/// JSON text over several lines.
pub(super) fn indented(value: &Val<'_>, indent: usize, budget: &Budget) -> Result<String, Reason> {
    // Each value has a line of its own, which begins with as much indent as it is deep.
    budget.make(lines_of(value, budget)?.saturating_mul(indent))?;
    let pen = Pen::new(budget, Budget::make);
    let indent = " ".repeat(indent);
    let mut text = Vec::new();
    let formatter = PrettyFormatter::with_indent(indent.as_bytes());
    Written { value, pen: &pen, depth: 0 }
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))
        .map_err(|error| pen.reason(&error))?;
    String::from_utf8(text).map_err(|error| Reason::new(error.to_string()))
}

/// The levels of all lines together.
fn lines_of(value: &Val<'_>, budget: &Budget) -> Result<usize, Reason> {
    fn walk(value: &Val<'_>, depth: usize, budget: &Budget) -> Result<usize, Reason> {
        budget.work(1)?;
        if depth > MAX_RESULT_DEPTH {
            return Err(too_deep());
        }
        let mut sum = 2 * depth;
        for part in value.items().chain(value.entries().map(|(_, value)| value)) {
            sum += walk(&part, depth + 1, budget)?;
        }
        Ok(sum)
    }
    walk(value, 0, budget)
}

fn too_deep() -> Reason {
    Reason::new(format!("the result nests over {MAX_RESULT_DEPTH} deep"))
}

/// Writes and pays. Serializers carry no error of ours, so that it is kept here.
pub(super) struct Pen<'b> {
    budget: &'b Budget,
    pay: fn(&Budget, usize) -> Result<(), Reason>,
    failed: RefCell<Option<Reason>>,
}

impl<'b> Pen<'b> {
    pub(super) fn new(budget: &'b Budget, pay: fn(&Budget, usize) -> Result<(), Reason>) -> Self {
        Self { budget, pay, failed: RefCell::new(None) }
    }

    /// Why it stopped.
    pub(super) fn reason(&self, error: &serde_json::Error) -> Reason {
        self.take().unwrap_or_else(|| Reason::new(error.to_string()))
    }

    /// Why it stopped, once.
    pub(super) fn take(&self) -> Option<Reason> {
        self.failed.borrow_mut().take()
    }

    pub(super) fn stop<E: serde::ser::Error>(&self, reason: Reason) -> E {
        *self.failed.borrow_mut() = Some(reason);
        E::custom("stopped")
    }

    pub(super) fn pay<E: serde::ser::Error>(&self, bytes: usize) -> Result<(), E> {
        (self.pay)(self.budget, bytes).map_err(|reason| self.stop(reason))
    }

    /// Pays for a list or a map, which must not be too deep.
    pub(super) fn open<E: serde::ser::Error>(&self, parts: usize, depth: usize) -> Result<(), E> {
        if depth >= MAX_RESULT_DEPTH {
            return Err(self.stop(too_deep()));
        }
        self.budget.work(parts).map_err(|reason| self.stop(reason))?;
        self.pay(parts.saturating_add(2))
    }

    pub(super) fn text<S: Serializer>(&self, text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        self.budget.scan(text.len()).map_err(|reason| self.stop::<S::Error>(reason))?;
        self.pay(written_length(text))?;
        serializer.serialize_str(text)
    }

    /// A whole document as the text that it is; its tree is never made.
    pub(super) fn raw<S: Serializer>(
        &self,
        json: &Json,
        depth: usize,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        self.pay(json.len())?;
        self.budget.scan(json.len()).map_err(|reason| self.stop::<S::Error>(reason))?;
        if depth > 0 && depth + nesting(json.text()) > MAX_RESULT_DEPTH {
            return Err(self.stop(too_deep()));
        }
        json.serialize(serializer)
    }
}

/// Bytes of a string's JSON text, quotes and escapes included.
fn written_length(text: &str) -> usize {
    let escaped: usize = text
        .bytes()
        .map(|byte| match byte {
            0..0x20 => 5,
            b'"' | b'\\' => 1,
            _ => 0,
        })
        .sum();
    text.len() + escaped + 2
}

/// How deep lists and maps nest in a JSON text.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in text.bytes() {
        if quoted {
            quoted = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// A value, `depth` levels below the top of what is written.
pub(super) struct Written<'v, 'a, 'b> {
    pub(super) value: &'v Val<'a>,
    pub(super) pen: &'v Pen<'b>,
    pub(super) depth: usize,
}

impl Serialize for Written<'_, '_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { value, pen, depth } = *self;
        match value {
            Val::Missing(reason) => Err(pen.stop((**reason).clone())),
            Val::Null => plain(&(), pen, serializer),
            Val::Bool(value) => plain(value, pen, serializer),
            Val::Number(number) => plain(number, pen, serializer),
            Val::Text(text) => pen.text(text, serializer),
            Val::Array(items) => {
                pen.open(items.len(), depth)?;
                serializer.collect_seq(items.iter().map(|value| Tree { value, pen, depth: depth + 1 }))
            }
            Val::List(items) => {
                pen.open(items.len(), depth)?;
                serializer.collect_seq(items.iter().map(|value| Written { value, pen, depth: depth + 1 }))
            }
            Val::Object(entries) => {
                pen.open(entries.len(), depth)?;
                let entries = entries.iter();
                serializer.collect_map(
                    entries.map(|(key, value)| (Name { key, pen }, Tree { value, pen, depth: depth + 1 })),
                )
            }
            Val::Entries(entries) => {
                pen.open(entries.len(), depth)?;
                let entries = entries.iter();
                serializer.collect_map(
                    entries.map(|(key, value)| (Name { key, pen }, Written { value, pen, depth: depth + 1 })),
                )
            }
        }
    }
}

/// The longest text of a number.
const NUMBER_BYTES: usize = 24;

fn plain<S: Serializer>(value: &impl Serialize, pen: &Pen<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    pen.pay(NUMBER_BYTES)?;
    value.serialize(serializer)
}

/// A part of an output.
pub(super) struct Tree<'v, 'b> {
    pub(super) value: &'v Value,
    pub(super) pen: &'v Pen<'b>,
    pub(super) depth: usize,
}

impl Serialize for Tree<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written { value: &self.value.into(), pen: self.pen, depth: self.depth }.serialize(serializer)
    }
}

/// A key of a map.
pub(super) struct Name<'v, 'b> {
    pub(super) key: &'v str,
    pub(super) pen: &'v Pen<'b>,
}

impl Serialize for Name<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.pen.text(self.key, serializer)
    }
}
