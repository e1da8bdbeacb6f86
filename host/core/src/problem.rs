//! What is wrong with a flow or an input, in the words its author sees.

use std::{cmp::Reverse, fmt};

use serde::Serialize;

/// The most problems that one answer lists. Protects it from a generated flow with the same mistake in every step.
pub const MAX_PROBLEMS: usize = 100;

/// One mistake in a text, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where it is, counted from the root of the text that came in: `steps[2].config.url` in a flow file,
    /// `flow.steps[2].config.url` in a submission that holds its flow. Empty for the whole text.
    pub path: String,
    /// Counted from 1; 0 where the text is not at hand.
    pub line: u32,
    /// Counted from 1, in characters; 0 where the text is not at hand.
    pub column: u32,
    /// A short stable name, such as `unknown_key`.
    pub code: &'static str,
    /// Which thing, and why. Lower case, no full stop.
    pub message: String,
    /// What to do now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// Says what to do now.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    /// `LINE:COLUMN: message`, to be put after a file's name; the hint is left to the caller.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "{line}:{}: {}", self.column, self.message),
        }
    }
}

/// A place in a text: line and column, counted from 1; the column counts characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl Position {
    /// The start of a text.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// A list of problems that stops growing at [`MAX_PROBLEMS`].
#[derive(Debug, Default)]
pub(crate) struct Problems {
    list: Vec<Problem>,
    dropped: usize,
    /// Places where the text has no value to go on with.
    gaps: Vec<Position>,
}

impl Problems {
    /// Keeps a problem, unless it is about a gap: what is wrong there was said.
    pub(crate) fn push(&mut self, problem: Problem) {
        let at = Position { line: problem.line, column: problem.column };
        if self.gaps.contains(&at) {
            return;
        }
        if self.list.len() < MAX_PROBLEMS {
            self.list.push(problem);
        } else {
            self.dropped += 1;
        }
    }

    pub(crate) fn add(
        &mut self,
        path: impl fmt::Display,
        at: Position,
        code: &'static str,
        message: impl Into<String>,
    ) -> Added<'_> {
        let known = self.list.len();
        self.push(Problem {
            path: path.to_string(),
            line: at.line,
            column: at.column,
            code,
            message: message.into(),
            hint: None,
        });
        Added(self.list.get_mut(known))
    }

    /// Nothing that is found later at this place is worth telling: a reader put something there that the text
    /// does not say.
    pub(crate) fn gap(&mut self, at: Position) {
        self.gaps.push(at);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.dropped += other.dropped;
        self.gaps.extend(other.gaps);
        for problem in other.list {
            self.push(problem);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn as_slice(&self) -> &[Problem] {
        &self.list
    }

    /// In the order of the text; the last one tells how many more there are.
    pub(crate) fn into_vec(mut self) -> Vec<Problem> {
        self.list.sort_by_key(|problem| (problem.line, problem.column));
        if self.dropped > 0 {
            self.list.push(Problem {
                path: String::new(),
                line: 0,
                column: 0,
                code: "more_problems",
                message: format!("{} more problems are not shown", self.dropped),
                hint: Some(format!("at most {MAX_PROBLEMS} are listed; mend these first")),
            });
        }
        self.list
    }
}

/// The problem just added, for its hint.
pub(crate) struct Added<'a>(Option<&'a mut Problem>);

impl Added<'_> {
    pub(crate) fn hint(self, hint: impl Into<String>) {
        self.maybe_hint(Some(hint.into()));
    }

    /// Makes the hint only where the problem is kept: looking for the nearest name takes time.
    pub(crate) fn hint_with(self, hint: impl FnOnce() -> Option<String>) {
        if let Some(problem) = self.0 {
            problem.hint = hint();
        }
    }

    pub(crate) fn maybe_hint(self, hint: Option<String>) {
        if let Some(problem) = self.0 {
            problem.hint = hint;
        }
    }
}

/// The known name that was probably meant, if one is close enough.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Below this a suggestion misleads more often than it helps.
    const CLOSE: f64 = 0.72;
    /// Comparing costs the product of the lengths; no name that is meant is longer.
    const LONGEST: usize = 128;
    /// Past this many the rest is not looked at: a flow may have thousands of steps.
    const MOST: usize = 2_000;
    if name.len() > LONGEST {
        return None;
    }
    let close = known.into_iter().take(MOST).filter(|known| known.len() <= LONGEST).filter_map(|known| {
        let similarity = if known.eq_ignore_ascii_case(name) { 1.0 } else { similarity(name, known) };
        (similarity >= CLOSE).then_some((similarity, known))
    });
    close.max_by(|a, b| a.0.total_cmp(&b.0).then(Reverse(a.1).cmp(&Reverse(b.1)))).map(|(_, known)| known)
}

fn similarity(name: &str, known: &str) -> f64 {
    let edits = strsim::normalized_damerau_levenshtein(name, known);
    // A name cut short (`expr` for `expression`) is far in edits, yet plainly meant.
    let prefix = name.len() >= 3 && known.starts_with(name);
    if prefix { edits.max(0.75) } else { edits.max(strsim::jaro_winkler(name, known) - 0.15) }
}

/// Names for a message, in backticks; at most a screenful of them.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 20;
    let mut names = names.into_iter();
    let shown: Vec<String> = names.by_ref().take(MOST).map(|name| format!("`{}`", shorten(name))).collect();
    match (shown.is_empty(), names.count()) {
        (true, _) => "none".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Cuts a text that comes from outside to what a message can carry.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<&str>) {
        let known = ["after", "config", "expression", "if", "retry", "timeout", "max_attempts"];
        assert_eq!(nearest(name, known), expected);
    }

    #[test]
    fn suggests_only_what_is_close() {
        check("confg", Some("config"));
        check("Config", Some("config"));
        check("retries", Some("retry"));
        check("time_out", Some("timeout"));
        check("maxAttempts", Some("max_attempts"));
        check("expr", Some("expression"));
        check("foo", None);
        check("", None);
        check(&"a".repeat(1_000_000), None);
    }

    #[test]
    fn the_list_ends_with_how_many_more_there_are() {
        let mut problems = Problems::default();
        for line in (1..=MAX_PROBLEMS as u32 + 7).rev() {
            problems.add("", Position { line, column: 1 }, "x", "y").hint("z");
        }
        let list = problems.into_vec();
        assert_eq!(list.len(), MAX_PROBLEMS + 1);
        assert!(list.is_sorted_by_key(|problem| problem.line == 0));
        assert_eq!(list.last().unwrap().message, "7 more problems are not shown");
    }

    #[test]
    fn shows_its_place_where_there_is_one() {
        let at = |line| Problem {
            path: String::new(),
            line,
            column: 7,
            code: "x",
            message: "no".to_owned(),
            hint: None,
        };
        assert_eq!(at(3).to_string(), "3:7: no");
        assert_eq!(at(0).to_string(), "no");
    }
}
