//! A time as flows write it.

use std::{borrow::Cow, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A time in a config, written as everywhere in a flow: `200ms`, `10s`, `1h30m`, `2d`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(pub Duration);

/// The host's limit for a time in a flow.
pub(crate) const MAX: Duration = Duration::from_secs(366 * 86_400);

/// The largest first, each at most once.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&Cow::<str>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl TimeSpan {
    /// The error says how a time is written.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let duration = parse(text).filter(|duration| *duration <= MAX);
        duration.map(Self).ok_or_else(|| {
            format!(
                "`{text}` is no time: write numbers with a unit (`ms`, `s`, `m`, `h`, `d`), such as `200ms`, `10s` or `1h30m`"
            )
        })
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}ms", self.0.as_millis()))
    }
}

impl JsonSchema for TimeSpan {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TimeSpan".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["10s", "1h30m"] })
    }
}

fn parse(text: &str) -> Option<Duration> {
    let mut units = UNITS.iter();
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let (number, after) = split_while(rest, |byte| byte.is_ascii_digit() || byte == b'.')?;
        let (unit, after) = split_while(after, |byte| byte.is_ascii_alphabetic())?;
        // The iterator goes on, so that units come in order and each once.
        let (_, millis) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(part(number, *millis)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// `1.5` of a unit of so many milliseconds.
fn part(number: &str, millis: u64) -> Option<Duration> {
    let plain = number.starts_with(|first: char| first.is_ascii_digit()) && !number.ends_with('.');
    let count = plain.then(|| number.parse::<f64>().ok()).flatten()?;
    Duration::try_from_secs_f64(count * Duration::from_millis(millis).as_secs_f64()).ok()
}

fn split_while(text: &str, belongs: fn(u8) -> bool) -> Option<(&str, &str)> {
    text.split_at_checked(text.bytes().take_while(|byte| belongs(*byte)).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, millis: Option<u64>) {
        let read = serde_json::from_value::<TimeSpan>(text.into()).ok();
        assert_eq!(read, millis.map(Duration::from_millis).map(TimeSpan), "{text}");
    }

    #[test]
    fn times_need_units_in_order() {
        check("10s", Some(10_000));
        check("200ms", Some(200));
        check("1h30m", Some(5_400_000));
        check("1.5s", Some(1_500));
        check("366d", Some(366 * 86_400_000));
        for wrong in ["", "10", "s", "30m1h", "1s1s", "-1s", "1e3s", ".5s", "1.s", "10 s", "367d"] {
            check(wrong, None);
        }
    }

    #[test]
    fn what_is_no_time_is_told_how_to_write_one() {
        let error = serde_json::from_str::<TimeSpan>("\"30\"").unwrap_err().to_string();
        assert!(error.starts_with("`30` is no time: write numbers with a unit"), "{error}");
        assert!(serde_json::from_str::<TimeSpan>("30").is_err());
    }
}
