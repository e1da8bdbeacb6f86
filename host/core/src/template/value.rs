//! The values that expressions work on. They borrow from the outputs they come from and share what they
//! make, so that nothing is copied before the result is written.

use std::{ops::Deref, rc::Rc};

use serde_json::{Map, Number, Value};

use super::limits::Budget;

/// A value within an expression. A clone is cheap: it shares.
#[derive(Debug, Clone)]
pub(super) enum Val<'a> {
    /// There is no such thing. An error unless `default`, `is defined` or the like asks for it.
    Missing(Rc<Reason>),
    Null,
    Bool(bool),
    Number(Number),
    Text(Text<'a>),
    /// A list of an output.
    Array(&'a [Value]),
    /// A map of an output.
    Object(&'a Map<String, Value>),
    /// A list that the expression made.
    List(Rc<Vec<Self>>),
    /// A map that the expression made; keys are unique.
    Entries(Rc<Vec<Entry<'a>>>),
}

/// A string of an output, or one that the expression made.
#[derive(Debug, Clone)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Shared(Rc<str>),
}

pub(super) type Entry<'a> = (Text<'a>, Val<'a>);
pub(super) type Made<'a> = Result<Val<'a>, Reason>;

/// Why an expression gives no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// A step of a path whose name or index stands in the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    Name(Box<str>),
    /// Negative: from the end.
    Index(i64),
}

impl Reason {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl<'a> From<&'a Value> for Val<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::Text(Text::Borrowed(text)),
            Value::Array(items) => Self::Array(items),
            Value::Object(entries) => Self::Object(entries),
        }
    }
}

impl From<i64> for Val<'_> {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

impl From<usize> for Val<'_> {
    fn from(value: usize) -> Self {
        Self::Number(value.into())
    }
}

impl From<String> for Val<'_> {
    fn from(text: String) -> Self {
        Self::Text(Text::Shared(text.into()))
    }
}

impl<'a> From<Vec<Val<'a>>> for Val<'a> {
    fn from(items: Vec<Val<'a>>) -> Self {
        Self::List(Rc::new(items))
    }
}

impl<'a> Val<'a> {
    /// A map; the caller sees to it that keys are unique.
    pub(super) fn map(entries: Vec<Entry<'a>>) -> Self {
        Self::Entries(Rc::new(entries))
    }

    pub(super) fn missing(reason: Reason) -> Self {
        Self::Missing(Rc::new(reason))
    }

    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Missing(_) => "undefined",
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) | Self::List(_) => "a list",
            Self::Object(_) | Self::Entries(_) => "a map",
        }
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::Array(_) | Self::List(_))
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self, Self::Object(_) | Self::Entries(_))
    }

    /// The value, where there is one.
    pub(super) fn there(self) -> Made<'a> {
        match self {
            Self::Missing(reason) => Err(Rc::unwrap_or_clone(reason)),
            value => Ok(value),
        }
    }

    /// All but `false`, `null`, zero, and the empty string, list and map.
    pub(super) fn truthy(&self) -> Result<bool, Reason> {
        Ok(match self {
            Self::Missing(reason) => return Err((**reason).clone()),
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(number) => number.as_f64() != Some(0.0),
            Self::Text(text) => !text.is_empty(),
            _ => self.length() != Some(0),
        })
    }

    /// Characters of a string, items of a list, entries of a map.
    pub(super) fn length(&self) -> Option<usize> {
        match self {
            Self::Text(text) => Some(text.chars().count()),
            Self::Array(items) => Some(items.len()),
            Self::List(items) => Some(items.len()),
            Self::Object(entries) => Some(entries.len()),
            Self::Entries(entries) => Some(entries.len()),
            _ => None,
        }
    }

    /// The item of a list; none for what is no list.
    pub(super) fn item(&self, index: usize) -> Option<Self> {
        match self {
            Self::Array(items) => items.get(index).map(Self::from),
            Self::List(items) => items.get(index).cloned(),
            _ => None,
        }
    }

    /// The value of a map; none for what is no map.
    pub(super) fn entry(&self, key: &str) -> Option<Self> {
        match self {
            Self::Object(entries) => entries.get(key).map(Self::from),
            Self::Entries(entries) => {
                entries.iter().find(|(name, _)| **name == *key).map(|(_, value)| value.clone())
            }
            _ => None,
        }
    }

    /// The items of a list; nothing of what is no list.
    pub(super) fn items(&self) -> impl Iterator<Item = Self> {
        let (parsed, made): (&[Value], &[Self]) = match self {
            Self::Array(items) => (items, &[]),
            Self::List(items) => (&[], items),
            _ => (&[], &[]),
        };
        parsed.iter().map(Self::from).chain(made.iter().cloned())
    }

    /// The entries of a map; nothing of what is no map.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'a>> {
        let (parsed, made): (Option<&'a Map<String, Value>>, &[Entry<'a>]) = match self {
            Self::Object(entries) => (Some(entries), &[]),
            Self::Entries(entries) => (None, entries),
            _ => (None, &[]),
        };
        let parsed = parsed.into_iter().flatten();
        let parsed = parsed.map(|(key, value)| (Text::Borrowed(key.as_str()), Self::from(value)));
        parsed.chain(made.iter().cloned())
    }

    /// The items of a list, to change them.
    pub(super) fn into_items(self, budget: &Budget) -> Result<Vec<Self>, Reason> {
        match self {
            Self::Array(_) | Self::List(_) => {
                pay_for_items(self.length().unwrap_or_default(), budget)?;
                Ok(self.items().collect())
            }
            Self::Missing(reason) => Err(Rc::unwrap_or_clone(reason)),
            other => Err(Reason::new(format!("a list is needed here, not {}", other.kind()))),
        }
    }

    /// The entries of a map, to change them.
    pub(super) fn into_entries(self, budget: &Budget) -> Result<Vec<Entry<'a>>, Reason> {
        match self {
            Self::Object(_) | Self::Entries(_) => {
                pay_for_items(2 * self.length().unwrap_or_default(), budget)?;
                Ok(self.entries().collect())
            }
            Self::Missing(reason) => Err(Rc::unwrap_or_clone(reason)),
            other => Err(Reason::new(format!("a map is needed here, not {}", other.kind()))),
        }
    }

    /// A string.
    pub(super) fn into_text(self) -> Result<Text<'a>, Reason> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Missing(reason) => Err(Rc::unwrap_or_clone(reason)),
            other => Err(Reason::new(format!("a string is needed here, not {}", other.kind()))
                .hint("make it one with `| string`")),
        }
    }
}

/// Pays for a list of this many values, before it is made.
pub(super) fn pay_for_items(count: usize, budget: &Budget) -> Result<(), Reason> {
    budget.work(count)?;
    budget.make(count.saturating_mul(size_of::<Val<'_>>()))
}

/// A list index as an offset from the start; none where it lies before the start.
pub(super) fn place(index: i64, length: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}
