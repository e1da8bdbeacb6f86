//! Times and amounts as people write them: `1h30m`, `128MiB`, `10G`. The command line's config reads them too.

use std::time::Duration;

/// The longest time that a flow may write. Protects the arithmetic of timers from overflow.
pub const MAX_DURATION: Duration = Duration::from_secs(366 * 86_400);

/// A time: numbers with the units `d`, `h`, `m`, `s` and `ms`, the largest first: `10s`, `200ms`, `2d`,
/// `1h30m`, `1.5s`. A number without a unit is refused, as some tools mean seconds by it and some milliseconds.
/// The error is what to write instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    const EXAMPLES: &str =
        "write a number and a unit (`ms`, `s`, `m`, `h`, `d`), such as `200ms`, `10s` or `1h30m`";
    let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if bare && text.len() < 10 {
        return Err(format!("it has no unit: write `{text}s` for seconds or `{text}ms` for milliseconds"));
    }
    let seconds = seconds(text).ok_or_else(|| EXAMPLES.to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| EXAMPLES.to_owned())?;
    if duration > MAX_DURATION { Err("366d is the longest there is".to_owned()) } else { Ok(duration) }
}

/// An amount of bytes: `128MiB`, `16KiB`, `1GiB`, `500KB`, `2MB`, or a whole number of bytes.
/// The error is what to write instead.
pub fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 10] = [
        ("", 1),
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    amount(text, &UNITS).ok_or_else(|| {
        "write a whole number of bytes, or with a unit, such as `128MiB`, `16KiB` or `1GiB`".to_owned()
    })
}

/// A count, such as fuel: `10G`, `500M`, `20K`, or a whole number. The error is what to write instead.
pub fn count(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 5] =
        [("", 1), ("K", 1_000), ("M", 1_000_000), ("G", 1_000_000_000), ("T", 1_000_000_000_000)];
    amount(text, &UNITS)
        .ok_or_else(|| "write a whole number, or with a unit, such as `10G`, `500M` or `20K`".to_owned())
}

/// What [`bytes`] reads as this amount, in the largest unit that leaves nothing over.
pub fn write_bytes(amount: u64) -> String {
    write(amount, &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)])
}

/// What [`count`] reads as this amount, in the largest unit that leaves nothing over.
pub fn write_count(amount: u64) -> String {
    write(amount, &[("T", 1_000_000_000_000), ("G", 1_000_000_000), ("M", 1_000_000), ("K", 1_000)])
}

/// What [`duration`] reads as this time, to the millisecond.
pub fn write_duration(time: Duration) -> String {
    const UNITS: [(&str, u128); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut rest = time.as_millis();
    let mut out = String::new();
    for (unit, millis) in UNITS {
        if rest >= millis {
            out.push_str(&format!("{}{unit}", rest / millis));
            rest %= millis;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

fn write(amount: u64, units: &[(&str, u64)]) -> String {
    match units.iter().find(|(_, factor)| amount >= *factor && amount.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", amount / factor),
        None => amount.to_string(),
    }
}

fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.trim_start_matches(' ');
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn seconds(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 5] = [("d", 86_400.0), ("h", 3_600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001)];
    /// No time that is meant is longer; bounds the work on a hostile one.
    const LONGEST: usize = 64;
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total = 0.0;
    while !rest.is_empty() {
        let (number, after) = split_while(rest, |byte| byte.is_ascii_digit() || byte == b'.')?;
        let (unit, after) = split_while(after, |byte| byte.is_ascii_alphabetic())?;
        // The iterator goes on, so that units come in order and each once.
        let (_, factor) = units.find(|(name, _)| *name == unit)?;
        let plain = number.starts_with(|c: char| c.is_ascii_digit()) && !number.ends_with('.');
        total += plain.then(|| number.parse::<f64>().ok()).flatten()? * factor;
        rest = after;
    }
    Some(total)
}

fn split_while(text: &str, part: fn(u8) -> bool) -> Option<(&str, &str)> {
    text.split_at_checked(text.bytes().take_while(|byte| part(*byte)).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_units_in_order() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(duration(text).ok(), millis.map(Duration::from_millis), "{text}");
        };
        check("10s", Some(10_000));
        check("200ms", Some(200));
        check("2d", Some(172_800_000));
        check("1h30m", Some(5_400_000));
        check("1m30s500ms", Some(90_500));
        check("1.5s", Some(1_500));
        check("0s", Some(0));
        check("10", None);
        check("", None);
        check("s", None);
        check("-1s", None);
        check("1s1m", None);
        check("1s1s", None);
        check("1 s", None);
        check("1S", None);
        check(".5s", None);
        check("1.s", None);
        check("1.2.3s", None);
        check("1e3s", None);
        check("367d", None);
        check(&"9".repeat(60), None);
        check(&format!("{}d", "9".repeat(1_000_000)), None);
    }

    #[test]
    fn a_number_alone_is_asked_for_its_unit() {
        assert_eq!(
            duration("10").unwrap_err(),
            "it has no unit: write `10s` for seconds or `10ms` for milliseconds"
        );
    }

    #[test]
    fn amounts_take_units() {
        assert_eq!(bytes("128MiB"), Ok(128 << 20));
        assert_eq!(bytes("1 KB"), Ok(1_000));
        assert_eq!(bytes("12"), Ok(12));
        assert_eq!(count("10G"), Ok(10_000_000_000));
        assert_eq!(count("7"), Ok(7));
        for text in ["", "MiB", "1.5MiB", "-1", "10g", "1MiBs", "99999999999999999999", "99999999TiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert!(count("10MiB").is_err());
    }

    #[test]
    fn what_is_written_is_read_back() {
        for amount in [0, 1, 999, 1_000, 1_024, 1_500, 10_000_000_000, 3 << 20, u64::MAX] {
            assert_eq!(bytes(&write_bytes(amount)), Ok(amount));
            assert_eq!(count(&write_count(amount)), Ok(amount));
        }
        for millis in [0, 1, 1_500, 60_000, 5_400_000, 90_061_001] {
            let time = Duration::from_millis(millis);
            assert_eq!(duration(&write_duration(time)), Ok(time));
        }
        assert_eq!(write_bytes(128 << 20), "128MiB");
        assert_eq!(write_count(10_000_000_000), "10G");
        assert_eq!(write_duration(Duration::from_millis(90_500)), "1m30s500ms");
    }
}
