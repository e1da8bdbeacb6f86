//! JSON text to values and back.

use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::Values;
use crate::template::{
    limits::Budget,
    value::{Made, Reason, Text, Val, pay_for_items},
    write,
};

/// The widest indent of `tojson`.
const MOST_INDENT: i64 = 8;

pub(super) fn tojson<'a>(value: Val<'a>, args: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    match args.integer(0)? {
        None | Some(0) => write::text(&value, budget).map(Val::from),
        Some(indent @ 1..=MOST_INDENT) => {
            write::indented(&value, usize::try_from(indent).unwrap_or_default(), budget).map(Val::from)
        }
        Some(_) => Err(Reason::new(format!("the indent is not between 0 and {MOST_INDENT}"))),
    }
}

pub(super) fn fromjson<'a>(value: Val<'a>, _: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    let text = value.into_text()?;
    budget.scan(text.len())?;
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let not_json = |error| Reason::new(format!("not JSON: {error}"));
    let value = Reader(budget).deserialize(&mut deserializer).map_err(not_json)?;
    deserializer.end().map_err(not_json)?;
    Ok(value)
}

/// Reads straight into a value, and pays for each part before there is more.
#[derive(Clone, Copy)]
struct Reader<'b>(&'b Budget);

impl Reader<'_> {
    fn pay<E: serde::de::Error>(self, count: usize, bytes: usize) -> Result<(), E> {
        let paid = pay_for_items(count, self.0).and_then(|()| self.0.make(bytes));
        paid.map_err(|reason| E::custom(reason.message))
    }

    fn text<'a, E: serde::de::Error>(self, text: &str) -> Result<Text<'a>, E> {
        self.pay(0, text.len())?;
        Ok(Text::Shared(Rc::from(text)))
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Val<'static>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Val<'static>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Val<'static>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Val<'static>, E> {
        Ok(Val::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Val<'static>, E> {
        Ok(Val::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Val<'static>, E> {
        Ok(Val::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Val<'static>, E> {
        Ok(Val::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Val<'static>, E> {
        Number::from_f64(value).map(Val::Number).ok_or_else(|| E::custom("a number does not fit"))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Val<'static>, E> {
        self.text(text).map(Val::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Val<'static>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            self.pay(1, 0)?;
            items.push(item);
        }
        Ok(Val::from(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Val<'static>, A::Error> {
        let mut entries = indexmap::IndexMap::new();
        while let Some(key) = access.next_key::<String>()? {
            self.pay(3, key.len())?;
            entries.insert(key, access.next_value_seed(self)?);
        }
        Ok(Val::map(entries.into_iter().map(|(key, value)| (Text::Shared(key.into()), value)).collect()))
    }
}
