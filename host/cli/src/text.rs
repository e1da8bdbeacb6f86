//! How figures and foreign text look in a terminal.

use std::{borrow::Cow, time::Duration};

use jiff::Timestamp;

/// A time span for people: three digits and a unit, or minutes and seconds.
pub(crate) fn duration(span: Duration) -> String {
    let micros = span.as_micros();
    let seconds = span.as_secs();
    match micros {
        0..1_000 => format!("{micros}µs"),
        1_000..10_000 => format!("{:.1}ms", span.as_secs_f64() * 1e3),
        10_000..1_000_000 => format!("{}ms", span.as_millis()),
        1_000_000..60_000_000 => format!("{:.1}s", span.as_secs_f64()),
        _ if seconds < 3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// The time between two moments of a log; nothing where the clock was set back between them.
pub(crate) fn span(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// A moment of a log, to the second, in UTC.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Fuel for people, such as `31.4M`, in the units that limits are written in.
pub(crate) fn fuel(units: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "K")];
    match UNITS.iter().find(|(size, _)| units >= *size) {
        None => units.to_string(),
        Some((size, unit)) => format!("{}.{}{unit}", units / size, units % size * 10 / size),
    }
}

/// Bytes for people, such as `1.4 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(size, _)| count >= *size) {
        None => format!("{count} B"),
        Some((size, unit)) => format!("{}.{} {unit}", count / size, count % size * 10 / size),
    }
}

/// Text that came from a step, a plugin or a server, made safe for a terminal: control characters, with which
/// it could move the cursor or set the window's title, are shown as escapes. Line breaks and tabs are kept.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| (c.is_control() && c != '\n' && c != '\t') || is_direction_mark(c);
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if harmful(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// [`safe`], and in one line.
pub(crate) fn line(text: &str) -> String {
    safe(text).replace(['\n', '\t'], " ")
}

/// The beginning of a text, with a mark where something is left out.
pub(crate) fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Marks that change the direction of the text after them, so that what is read is not what is there.
fn is_direction_mark(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Rows under a heading, in columns as wide as their widest cell. The last column is not padded.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = heading.map(console::measure_text_width);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(console::measure_text_width(cell));
        }
    }
    let mut out = String::new();
    push_row(&mut out, &heading, &widths);
    for row in rows {
        push_row(&mut out, &row.each_ref().map(String::as_str), &widths);
    }
    out
}

fn push_row(out: &mut String, cells: &[&str], widths: &[usize]) {
    let start = out.len();
    for (cell, width) in cells.iter().zip(widths) {
        out.push_str(&console::pad_str(cell, *width, console::Alignment::Left, None));
        out.push_str("  ");
    }
    let end = out.get(start..).unwrap_or_default().trim_end().len();
    out.truncate(start + end);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_duration(micros: u64, expected: &str) {
        assert_eq!(duration(Duration::from_micros(micros)), expected);
    }

    #[test]
    fn durations_are_short() {
        check_duration(0, "0µs");
        check_duration(999, "999µs");
        check_duration(1_500, "1.5ms");
        check_duration(123_456, "123ms");
        check_duration(2_340_000, "2.3s");
        check_duration(61_000_000, "1m01s");
        check_duration(7_260_000_000, "2h01m");
    }

    #[test]
    fn fuel_and_bytes_are_short() {
        assert_eq!(fuel(999), "999");
        assert_eq!(fuel(31_450_000), "31.4M");
        assert_eq!(fuel(u64::MAX), "18446744.0T");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes((3 << 20) / 2), "1.5 MiB");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(safe("a\tb\n"), "a\tb\n");
        assert_eq!(safe("\u{1b}]0;title\u{7}x"), "\\u{1b}]0;title\\u{7}x");
        assert_eq!(safe("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(line("a\nb"), "a b");
        assert_eq!((shortened("äöü", 3), shortened("äöü", 2)), ("äöü".to_owned(), "äö…".to_owned()));
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "1".to_owned()], ["über".to_owned(), String::new()]];
        assert_eq!(table(["ID", "N"], &rows), "ID    N\na     1\nüber\n");
    }
}
