//! Dates and times: RFC 3339, and past its four digits of a year the extended years of ISO 8601 (`+012024-01-01`,
//! `-000043-03-15`), with year 0 for 1 BC.

use std::fmt;

use super::{
    reader::{Malformed, Reader},
    text::{quoted, string},
};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// From 1970-01-01 to 2000-01-01, where PostgreSQL begins to count.
const EPOCH_DAYS: i64 = 10_957;

pub(super) fn date(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    match Reader::new(raw).i32()? {
        i32::MAX => string(out, "infinity"),
        i32::MIN => string(out, "-infinity"),
        days => quoted(out, format_args!("{}", Day(days.into()))),
    }
}

/// Microseconds within a day. 24:00:00 is one of PostgreSQL's.
pub(super) fn time(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    quoted(out, format_args!("{}", Clock(Reader::new(raw).i64()?)))
}

pub(super) fn timetz(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(raw);
    let (clock, west) = (Clock(reader.i64()?), reader.i32()?);
    let (sign, offset) = (if west > 0 { '-' } else { '+' }, west.unsigned_abs());
    let (hours, minutes, seconds) = (offset / 3600, offset / 60 % 60, offset % 60);
    if seconds == 0 {
        return quoted(out, format_args!("{clock}{sign}{hours:02}:{minutes:02}"));
    }
    quoted(out, format_args!("{clock}{sign}{hours:02}:{minutes:02}:{seconds:02}"))
}

/// `zone` is `Z` for the type that knows one: PostgreSQL sends it in UTC.
pub(super) fn timestamp(out: &mut Vec<u8>, raw: &[u8], zone: &str) -> Result<(), Malformed> {
    match Reader::new(raw).i64()? {
        i64::MAX => string(out, "infinity"),
        i64::MIN => string(out, "-infinity"),
        micros => {
            let (day, clock) = (Day(micros.div_euclid(DAY)), Clock(micros.rem_euclid(DAY)));
            quoted(out, format_args!("{day}T{clock}{zone}"))
        }
    }
}

/// An ISO 8601 duration. Months, days and time have signs of their own: none of them can be turned into another.
pub(super) fn interval(out: &mut Vec<u8>, raw: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(raw);
    let (micros, days, months) = (reader.i64()?, reader.i32()?, reader.i32()?);
    match (micros, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => return string(out, "infinity"),
        (i64::MIN, i32::MIN, i32::MIN) => return string(out, "-infinity"),
        _ => {}
    }
    let mut shown = String::from("P");
    let mut part = |count: i64, unit: char| {
        if count != 0 {
            shown.push_str(&count.to_string());
            shown.push(unit);
        }
    };
    part((months / 12).into(), 'Y');
    part((months % 12).into(), 'M');
    part(days.into(), 'D');
    if micros != 0 {
        shown.push('T');
        let mut part = |count: i64, unit: char| {
            if count != 0 {
                shown.push_str(&count.to_string());
                shown.push(unit);
            }
        };
        part(micros / (3600 * SECOND), 'H');
        part(micros / (60 * SECOND) % 60, 'M');
        let rest = micros % (60 * SECOND);
        if rest != 0 {
            let sign = if rest < 0 { "-" } else { "" };
            let (seconds, fraction) = (rest.abs() / SECOND, Fraction(rest.abs() % SECOND));
            shown.push_str(&format!("{sign}{seconds}{fraction}S"));
        }
    }
    string(out, if shown == "P" { "PT0S" } else { &shown })
}

/// Days since 2000-01-01.
struct Day(i64);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0 + EPOCH_DAYS);
        match year {
            0..=9999 => write!(f, "{year:04}-{month:02}-{day:02}"),
            _ => write!(f, "{year:+07}-{month:02}-{day:02}"),
        }
    }
}

/// Year, month and day of a number of days since 1970-01-01, for ever back and forth; libraries of dates end at year
/// 9999, PostgreSQL's do not. Years are counted from March, so that the leap day is the last one.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (day - day / 1_460 + day / 36_524 - day / (ERA - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// Microseconds since midnight.
struct Clock(i64);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / SECOND;
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{hours:02}:{minutes:02}:{seconds:02}{}", Fraction(self.0 % SECOND))
    }
}

/// Microseconds of a second, as `.5`; nothing where there are none.
struct Fraction(i64);

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return Ok(());
        }
        let digits = format!("{:06}", self.0);
        write!(f, ".{}", digits.trim_end_matches('0'))
    }
}
