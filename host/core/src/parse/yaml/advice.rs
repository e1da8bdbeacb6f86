//! What to say where a text is no YAML.

use crate::problem::Position;

pub(super) const UNQUOTED: &str = "a `{{ … }}` without quotes is a mapping to YAML";
pub(super) const QUOTE_IT: &str = "put the whole value in quotes: \"{{ … }}\"";

/// What is likely to help, judged by the parser's words and the line.
pub(super) fn on(info: &str, text: &str, at: Position) -> Option<String> {
    let line = text.lines().nth(at.line.saturating_sub(1) as usize).unwrap_or_default();
    if line.trim_start_matches(' ').starts_with('\t') {
        return Some("indent with spaces: YAML does not take tabs".to_owned());
    }
    let nested = info.contains("mapping values are not allowed") || info.contains("simple key");
    nested.then(|| "check the indentation, and put texts that contain `: ` in quotes".to_owned())
}

/// A value that begins with `{{` on the line of an error, or on the last one before it that is not blank.
pub(super) fn template_near(text: &str, line: u32) -> Option<Position> {
    let before: Vec<_> = text.lines().enumerate().take(line as usize).collect();
    let mut recent = before.iter().rev().filter(|(_, text)| !text.trim().is_empty()).take(2);
    recent.find_map(|(index, text)| {
        let column = template_column(text)?;
        Some(Position { line: u32::try_from(index + 1).ok()?, column })
    })
}

/// The column of a `{{` that begins a value: at the start of a line, or after `: ` or `- `.
fn template_column(line: &str) -> Option<u32> {
    let starts_value = |offset: &usize| {
        let before = line.get(..*offset).unwrap_or_default().trim_end();
        before.is_empty() || before.ends_with([':', '-', '[', ','])
    };
    let (offset, _) = line.match_indices("{{").find(|(offset, _)| starts_value(offset))?;
    let characters = line.get(..offset)?.chars().count();
    u32::try_from(characters + 1).ok()
}
