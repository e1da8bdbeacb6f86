//! The figures as one table.

use std::fmt::Write as _;

use crate::figure::{Figure, Measured, Of};

const HEAD: [&str; 8] = ["figure", "p50", "p95", "p99", "unit", "target", "to the floor", ""];

/// Columns as wide as they have to be; words to the left, numbers to the right.
pub(crate) fn render(figures: &[Figure]) -> String {
    let rows: Vec<[String; 8]> =
        std::iter::once(HEAD.map(str::to_owned)).chain(figures.iter().map(row)).collect();
    let mut widths = [0; 8];
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
            let _ = match index {
                0 | 4 | 7 => write!(line, "{cell:<width$}  "),
                _ => write!(line, "{cell:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(figure: &Figure) -> [String; 8] {
    let [p50, p95, p99] = match figure.measured {
        Measured::Spread(spread) => [spread.p50, spread.p95, spread.p99].map(number),
        Measured::Value(value) => [number(value), String::new(), String::new()],
    };
    let (target, verdict) = match &figure.target {
        Some(target) => {
            let of = if matches!(target.of, Of::P99) { "p99 " } else { "" };
            (format!("{of}< {}", target.below), if target.met { "ok" } else { "short" })
        }
        None => Default::default(),
    };
    let ratio = figure.floor.as_ref().map(|floor| format!("× {:.2}", floor.ratio)).unwrap_or_default();
    [figure.what().to_owned(), p50, p95, p99, figure.unit().to_owned(), target, ratio, verdict.to_owned()]
}

/// Three digits say all that such a figure knows.
fn number(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
