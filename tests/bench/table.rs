//! The figures of a group as one table.

use std::fmt::Write as _;

use crate::figure::{Against, Bound, Figure, Measured, Of, Target};

const COLUMNS: usize = 11;
const HEAD: [&str; COLUMNS] =
    ["figure", "p50", "p95", "p99", "unit", "syncs/run", "against", "there", "ratio", "target", ""];
/// Columns of words; the others are numbers.
const WORDS: [usize; 4] = [0, 4, 6, 10];

/// Columns as wide as they have to be; words to the left, numbers to the right.
pub(crate) fn render(figures: &[Figure]) -> String {
    let rows: Vec<[String; COLUMNS]> =
        std::iter::once(HEAD.map(str::to_owned)).chain(figures.iter().map(row)).collect();
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Writing to a string can not fail.
            let _ = if WORDS.contains(&index) {
                write!(line, "{cell:<width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(figure: &Figure) -> [String; COLUMNS] {
    let [p50, p95, p99] = match &figure.measured {
        Measured::Spread(spread) => [spread.p50, spread.p95, spread.p99].map(number),
        Measured::Value(value) => [number(*value), String::new(), String::new()],
    };
    let [against, there, ratio] = figure.against.as_ref().map(set_against).unwrap_or_default();
    let verdict = match &figure.target {
        Some(target) => if target.met { "ok" } else { "short" }.to_owned(),
        None => String::new(),
    };
    let syncs = figure.syncs_per_run.map(number).unwrap_or_default();
    let target = figure.target.as_ref().map(bound).unwrap_or_default();
    let what = figure.what().to_owned();
    [what, p50, p95, p99, figure.unit().to_owned(), syncs, against, there, ratio, target, verdict]
}

fn set_against(against: &Against) -> [String; 3] {
    let of = if against.of == Of::P99 { "p99 of " } else { "" };
    let syncs =
        against.syncs_per_run.map(|syncs| format!(", {} syncs/run", number(syncs))).unwrap_or_default();
    [format!("{of}{}{syncs}", against.what), number(against.value), format!("× {}", number(against.ratio))]
}

fn bound(target: &Target) -> String {
    let (sign, value) = match target.bound {
        Bound::AtMost(most) => ("≤", most),
        Bound::AtLeast(least) => ("≥", least),
    };
    match target.of {
        Of::Ratio => format!("{sign} {value} ×"),
        Of::P99 => format!("p99 {sign} {value}"),
        Of::P50 | Of::Value => format!("{sign} {value}"),
    }
}

/// Three digits say all that such a figure knows.
fn number(value: f64) -> String {
    match value.abs() {
        tiny if tiny < 0.1 => format!("{value:.4}"),
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
