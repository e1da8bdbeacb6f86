//! JSON that travels as text and is parsed only where somebody looks inside.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// A JSON value: checked text, shared, with its tree made on the first look and kept.
///
/// A step's output goes from a cell into the log, into the next cell's context and over HTTP without ever
/// becoming a tree; only templates and references need one.
#[derive(Clone)]
pub struct Json(Arc<Inner>);

struct Inner {
    raw: Box<RawValue>,
    tree: OnceLock<serde_json::Value>,
}

impl Json {
    /// Takes text from outside: checks that it is JSON, at most 128 deep, with numbers that fit.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<Checked>(&text)?;
        Ok(Self::from_raw(RawValue::from_string(text)?))
    }

    /// What the host itself made: the text is written and not checked again.
    pub fn from_serialize(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self::from_raw)
    }

    /// The JSON text.
    pub fn text(&self) -> &str {
        self.0.raw.get()
    }

    /// The tree; the first call parses, later ones do not.
    pub fn value(&self) -> &serde_json::Value {
        // The text was checked when it came in, so that there is no error to hand on here.
        self.0.tree.get_or_init(|| serde_json::from_str(self.text()).unwrap_or_default())
    }

    /// `null`.
    pub fn null() -> Self {
        Self::from_raw(RawValue::NULL.to_owned())
    }

    /// The length of the text in bytes.
    pub fn len(&self) -> usize {
        self.text().len()
    }

    /// Never: the shortest JSON text has one byte.
    pub fn is_empty(&self) -> bool {
        false
    }

    fn from_raw(raw: Box<RawValue>) -> Self {
        Self(Arc::new(Inner { raw, tree: OnceLock::new() }))
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        let raw = serde_json::value::to_raw_value(&value).unwrap_or_else(|_| RawValue::NULL.to_owned());
        let json = Self::from_raw(raw);
        let _ = json.0.tree.set(value);
        json
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text() || self.value() == other.value()
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    /// For what the host itself wrote; text from outside goes through [`Json::parse`].
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from_raw)
    }
}

/// Walks a document as the tree parser would, with its limits on depth and numbers, and keeps nothing.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Checked)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Checked, A::Error> {
        while items.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Checked, A::Error> {
        while entries.next_entry::<IgnoredAny, Checked>()?.is_some() {}
        Ok(Checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, valid: bool) {
        assert_eq!(Json::parse(text.to_owned()).is_ok(), valid, "{text:.80}");
    }

    #[test]
    fn only_json_gets_in() {
        check(r#"{"a": [1, 2.5, "x", null, true]}"#, true);
        check("", false);
        check("{", false);
        check("1 2", false);
        check("1e999", false);
        check(r#""\ud800""#, false);
        check(&"[".repeat(100_000), false);
        check(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), false);
    }

    #[test]
    fn keeps_its_text_and_gives_its_tree() {
        let json = Json::parse(r#"{ "a" : 1.0 }"#.to_owned()).unwrap();
        assert_eq!(json.text(), r#"{ "a" : 1.0 }"#);
        assert_eq!(json.value(), &serde_json::json!({"a": 1.0}));
        assert_eq!(serde_json::to_string(&json).unwrap(), json.text());
    }
}
