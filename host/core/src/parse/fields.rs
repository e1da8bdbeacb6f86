//! Reads the keys of a mapping and tells every mistake in them.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    node::{Entry, Kind, Node, Path},
    units,
};
use crate::problem::{Problems, listed, nearest, shorten};

/// A mapping being read: each getter gives the value of a key, or reports why it can not.
pub(crate) struct Fields<'n, 'p> {
    node: &'n Node,
    pub(crate) path: Path<'p>,
}

/// What a key held, for those that also need its place.
#[derive(Clone, Copy)]
pub(crate) struct Field<'n, 'p> {
    pub(crate) node: &'n Node,
    pub(crate) path: Path<'p>,
}

impl<'n, 'p> Fields<'n, 'p> {
    /// Takes `node` for a mapping of `known` keys; every other key is reported.
    pub(crate) fn of(
        node: &'n Node,
        path: Path<'p>,
        known: &[&'static str],
        problems: &mut Problems,
    ) -> Option<Self> {
        let Kind::Object(entries) = &node.kind else {
            let message =
                format!("expected a mapping of {}, found {}", listed(known.iter().copied()), node.what());
            problems.add(path, node.at, "wrong_type", message);
            return None;
        };
        for Entry { key, key_at, .. } in entries {
            if !known.contains(&key.as_str()) {
                unknown_key(&path, key, *key_at, known, problems);
            }
        }
        Some(Self { node, path })
    }

    /// The mapping itself.
    pub(crate) fn node(&self) -> &'n Node {
        self.node
    }

    /// The value of a key. A key without a value counts as left out.
    pub(crate) fn get<'s>(&'s self, key: &'static str) -> Option<Field<'n, 's>> {
        self.get_any(key).filter(|field| field.node.kind != Kind::Null)
    }

    /// The value of a key, where `null` is a value too.
    pub(crate) fn get_any<'s>(&'s self, key: &'static str) -> Option<Field<'n, 's>> {
        let entry = self.node.get(key)?;
        Some(Field { node: &entry.value, path: Path::Key(&self.path, key) })
    }

    /// The value of a key that must be there.
    pub(crate) fn need<'s>(
        &'s self,
        key: &'static str,
        hint: &str,
        problems: &mut Problems,
    ) -> Option<Field<'n, 's>> {
        let field = self.get(key);
        if field.is_none() {
            problems.add(self.path, self.node.at, "missing_key", format!("`{key}` is missing")).hint(hint);
        }
        field
    }
}

impl<'n> Field<'n, '_> {
    /// Reports that this value is of the wrong type.
    pub(crate) fn wrong_type(&self, expected: &str, problems: &mut Problems) {
        let message = format!("expected {expected}, found {}", self.node.what());
        problems.add(self.path, self.node.at, "wrong_type", message);
    }

    /// Reports that this value can not be what it says.
    pub(crate) fn invalid(&self, message: impl Into<String>, hint: &str, problems: &mut Problems) {
        problems.add(self.path, self.node.at, "invalid_value", message).hint(hint);
    }

    pub(crate) fn text(&self, problems: &mut Problems) -> Option<&'n str> {
        match &self.node.kind {
            Kind::Text(text) => Some(text),
            Kind::Bool(_) | Kind::Number(_) => {
                let message = format!("expected a text, found {}", self.node.what());
                problems.add(self.path, self.node.at, "wrong_type", message).hint("put it in quotes");
                None
            }
            _ => {
                self.wrong_type("a text", problems);
                None
            }
        }
    }

    pub(crate) fn bool(&self, problems: &mut Problems) -> Option<bool> {
        match &self.node.kind {
            Kind::Bool(value) => Some(*value),
            _ => {
                self.wrong_type("`true` or `false`", problems);
                None
            }
        }
    }

    /// An amount of bytes; more than none.
    pub(crate) fn bytes(&self, problems: &mut Problems) -> Option<u64> {
        self.amount(units::bytes, problems)
    }

    /// A whole number within bounds.
    pub(crate) fn whole(
        &self,
        range: RangeInclusive<u32>,
        hint: &str,
        problems: &mut Problems,
    ) -> Option<u32> {
        let number = match &self.node.kind {
            Kind::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
            _ => None,
        };
        let fits = number.filter(|number| range.contains(number));
        if fits.is_none() {
            let key = self.path.name().unwrap_or("it");
            let message = format!("`{key}` must be a whole number from {} to {}", range.start(), range.end());
            self.invalid(message, hint, problems);
        }
        fits
    }

    /// A number of things, such as fuel or requests; more than none.
    pub(crate) fn count(&self, problems: &mut Problems) -> Option<u64> {
        self.amount(units::count, problems)
    }

    pub(crate) fn duration(&self, problems: &mut Problems) -> Option<Duration> {
        let text = self.scalar("a time such as `10s`", problems)?;
        match units::duration(&text) {
            Ok(duration) => Some(duration),
            Err(hint) => {
                self.invalid(format!("`{}` is no time", shorten(&text)), &hint, problems);
                None
            }
        }
    }

    /// A time that something may take.
    pub(crate) fn timeout(&self, problems: &mut Problems) -> Option<Duration> {
        let duration = self.duration(problems)?;
        if duration < Duration::from_millis(1) {
            let hint = "leave it out for the limit that holds anyway";
            self.invalid("the time must be at least `1ms`", hint, problems);
            return None;
        }
        Some(duration)
    }

    fn amount(&self, read: fn(&str) -> Result<u64, String>, problems: &mut Problems) -> Option<u64> {
        let text = self.scalar("an amount", problems)?;
        match read(&text) {
            Ok(0) => {
                let hint = "leave it out for the limit that holds anyway";
                self.invalid("a limit of 0 lets nothing run", hint, problems);
                None
            }
            Ok(amount) => Some(amount),
            Err(hint) => {
                self.invalid(format!("`{}` is no amount", shorten(&text)), &hint, problems);
                None
            }
        }
    }

    /// A text or a number, as text.
    fn scalar(&self, expected: &str, problems: &mut Problems) -> Option<String> {
        match &self.node.kind {
            Kind::Number(number) => Some(number.to_string()),
            Kind::Text(text) => Some(text.clone()),
            _ => {
                self.wrong_type(expected, problems);
                None
            }
        }
    }
}

fn unknown_key(
    path: &Path<'_>,
    key: &str,
    at: crate::problem::Position,
    known: &[&'static str],
    problems: &mut Problems,
) {
    let message = format!("unknown key `{}`", shorten(key));
    problems.add(path.key(key), at, "unknown_key", message).hint_with(|| {
        Some(match nearest(key, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known keys here: {}", listed(known.iter().copied())),
        })
    });
}
