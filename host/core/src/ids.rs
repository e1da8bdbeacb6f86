//! The names of things: runs, steps and content.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// A run's name: a UUIDv7, so that ids sort by creation. Its 16 bytes are the run's trace id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

impl RunId {
    /// Wraps an id that the caller made; the engine makes UUIDv7s, core reads no clock.
    pub fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// The 16 bytes, in the order in which ids sort.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The reverse of [`as_bytes`](Self::as_bytes).
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidId::Run(shorten(text)))
    }
}

/// A step's name within its flow, `[A-Za-z_][A-Za-z0-9_]{0,63}`; cheap to clone.
///
/// An item of a fan-out is a step of the run too: `m[3]`, and `m[3].x` for a step of its body.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct StepId(Arc<str>);

impl StepId {
    /// The longest id that a flow may give a step, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Checks a name as a flow writes it.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        let mut bytes = text.bytes();
        let head = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        let tail = bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if head && tail && text.len() <= Self::MAX_BYTES {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::Step(shorten(text)))
        }
    }

    /// The step that stands for item `index` of this fan-out, or for step `inner` of that item's body.
    pub fn item(&self, index: usize, inner: Option<&StepId>) -> Self {
        match inner {
            None => Self(format!("{self}[{index}]").into()),
            Some(inner) => Self(format!("{self}[{index}].{inner}").into()),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for StepId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StepId {
    /// Reads what the host itself wrote: item names are admitted as well.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let plain = text.split(['[', '.']).next().unwrap_or_default();
        Self::new(plain).map_err(D::Error::custom)?;
        Ok(Self(text.into()))
    }
}

/// The sha256 of some bytes, written as 64 lower-case hex digits. Plugins, flows and blobs go by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest computed elsewhere, for example while streaming a file.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first twelve hex digits, for people.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(12);
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidId::Digest(shorten(text)))?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A text that is no name of its kind. Long texts are cut: they may come from outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    #[error("not a run id (a UUID): `{0}`")]
    Run(String),
    #[error("not a step id (a letter or `_`, then letters, digits and `_`, 64 at most): `{0}`")]
    Step(String),
    #[error("not a sha256 digest (64 hex digits): `{0}`")]
    Digest(String),
}

/// Cuts a text that may come from outside to what an error message can carry.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, valid: bool) {
        assert_eq!(StepId::new(text).is_ok(), valid, "{text}");
    }

    #[test]
    fn step_ids_are_plain_identifiers() {
        check("fetch", true);
        check("_1", true);
        check(&"a".repeat(64), true);
        check(&"a".repeat(65), false);
        check("", false);
        check("1a", false);
        check("a-b", false);
        check("a.b", false);
        check("é", false);
    }

    #[test]
    fn items_are_named_after_their_fan_out() {
        let m = StepId::new("m").unwrap();
        assert_eq!(m.item(3, None).as_str(), "m[3]");
        assert_eq!(m.item(3, Some(&StepId::new("x").unwrap())).as_str(), "m[3].x");
    }

    #[test]
    fn long_texts_are_cut_in_errors() {
        let error = StepId::new(&"é".repeat(10_000)).unwrap_err();
        assert!(error.to_string().len() < 400, "{error}");
    }
}
