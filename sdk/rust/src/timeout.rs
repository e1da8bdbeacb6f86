//! How long a step waits.

use std::{borrow::Cow, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};

use crate::{TimeSpan, time_span::MAX};

/// How long a step waits: a [`TimeSpan`] such as `2d`, or a number of seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timeout(pub Duration);

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Timeout;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as `2d`, or a number of seconds")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Timeout, E> {
                TimeSpan::read(text).map(|span| Timeout(span.0)).map_err(E::custom)
            }

            fn visit_f64<E: Error>(self, seconds: f64) -> Result<Timeout, E> {
                let duration = Duration::try_from_secs_f64(seconds).ok().filter(|duration| *duration <= MAX);
                duration.map(Timeout).ok_or_else(|| {
                    E::custom(format!("`{seconds}` is no time: seconds are from 0 to {}", MAX.as_secs()))
                })
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<Timeout, E> {
                self.visit_f64(seconds as f64)
            }

            fn visit_i64<E: Error>(self, seconds: i64) -> Result<Timeout, E> {
                self.visit_f64(seconds as f64)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Serialize for Timeout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_secs_f64())
    }
}

impl JsonSchema for Timeout {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timeout".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number"],
            "minimum": 0,
            "maximum": MAX.as_secs(),
            "examples": ["2d", 90]
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(given: Value, millis: Option<u64>) {
        let read = serde_json::from_value::<Timeout>(given.clone()).ok();
        assert_eq!(read, millis.map(Duration::from_millis).map(Timeout), "{given}");
    }

    #[test]
    fn seconds_or_a_time_with_units() {
        check(json!("2d"), Some(172_800_000));
        check(json!(1.5), Some(1_500));
        check(json!(0), Some(0));
        for wrong in [json!(-1), json!("90"), json!(1e12), json!("367d"), json!(true), json!(null)] {
            check(wrong, None);
        }
    }

    #[test]
    fn what_is_no_time_is_told_how_to_write_one() {
        let error = |text: &str| serde_json::from_str::<Timeout>(text).unwrap_err().to_string();
        assert!(error("\"2 days\"").starts_with("`2 days` is no time: write numbers with a unit"));
        assert!(error("-1").starts_with("`-1` is no time: seconds are from 0 to 31622400"));
    }
}
