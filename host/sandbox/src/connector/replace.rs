//! Texts in place of other texts, in one pass: what was put in is not looked at again.

use memchr::memmem::Finder;
use zeroize::Zeroizing;

/// What to look for, and what to put there. Either side may be a secret.
pub(super) struct Pattern<'a> {
    with: &'a [u8],
    length: usize,
    finder: Finder<'a>,
}

/// The result would be longer than it may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl<'a> Pattern<'a> {
    /// `None` for an empty text, which would be found everywhere.
    pub(super) fn new(find: &'a [u8], with: &'a [u8]) -> Option<Self> {
        (!find.is_empty()).then(|| Self { with, length: find.len(), finder: Finder::new(find) })
    }
}

/// The text with every pattern replaced, from the left, the longest one where several begin; `None` where there
/// is nothing to replace. Nothing is allocated that is longer than `max`.
pub(super) fn replaced(
    text: &[u8],
    patterns: &[Pattern<'_>],
    max: usize,
) -> Result<Option<Zeroizing<Vec<u8>>>, TooLong> {
    // Counted first: a buffer that has to grow leaves copies of what it held.
    let (mut found, mut length) = (false, text.len());
    for (_, pattern) in Matches::new(text, patterns) {
        found = true;
        length = length - pattern.length + pattern.with.len();
    }
    if !found {
        return Ok(None);
    }
    if length > max {
        return Err(TooLong);
    }
    let mut whole = Zeroizing::new(Vec::with_capacity(length));
    let mut rest = 0;
    for (at, pattern) in Matches::new(text, patterns) {
        whole.extend_from_slice(text.get(rest..at).unwrap_or_default());
        whole.extend_from_slice(pattern.with);
        rest = at + pattern.length;
    }
    whole.extend_from_slice(text.get(rest..).unwrap_or_default());
    Ok(Some(whole))
}

/// Walks over a text. Keeps one position per pattern, however many matches there are.
struct Matches<'t, 'p> {
    text: &'t [u8],
    position: usize,
    /// Each pattern with the place where it is found next.
    next: Vec<(usize, &'p Pattern<'p>)>,
}

impl<'t, 'p> Matches<'t, 'p> {
    fn new(text: &'t [u8], patterns: &'p [Pattern<'p>]) -> Self {
        let first = |pattern: &'p Pattern<'p>| Some((pattern.finder.find(text)?, pattern));
        Self { text, position: 0, next: patterns.iter().filter_map(first).collect() }
    }
}

impl<'p> Iterator for Matches<'_, 'p> {
    type Item = (usize, &'p Pattern<'p>);

    fn next(&mut self) -> Option<Self::Item> {
        let (text, position) = (self.text, self.position);
        self.next.retain_mut(|(at, pattern)| {
            if *at >= position {
                return true;
            }
            let rest = text.get(position..).unwrap_or_default();
            match pattern.finder.find(rest) {
                Some(found) => *at = position + found,
                None => return false,
            }
            true
        });
        let (at, pattern) =
            self.next.iter().min_by_key(|(at, pattern)| (*at, std::cmp::Reverse(pattern.length)))?;
        self.position = at + pattern.length;
        Some((*at, pattern))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, pairs: &[(&str, &str)], expected: Option<&str>) {
        let patterns: Vec<Pattern<'_>> =
            pairs.iter().filter_map(|(find, with)| Pattern::new(find.as_bytes(), with.as_bytes())).collect();
        let whole = replaced(text.as_bytes(), &patterns, 100).unwrap();
        assert_eq!(whole.map(|whole| String::from_utf8(whole.to_vec()).unwrap()).as_deref(), expected);
    }

    #[test]
    fn every_occurrence_is_replaced() {
        check("a-b-a", &[("a", "xx"), ("b", "")], Some("xx--xx"));
        check("aaa", &[("aa", "b")], Some("ba"));
        check("none", &[("x", "y")], None);
        check("", &[("x", "y")], None);
        check("abc", &[], None);
    }

    #[test]
    fn the_leftmost_and_longest_wins() {
        check("abcd", &[("ab", "1"), ("abc", "2"), ("cd", "3")], Some("2d"));
        check("abcd", &[("bc", "1"), ("abcd", "2")], Some("2"));
    }

    #[test]
    fn what_was_put_in_is_not_replaced_again() {
        check("a", &[("a", "b"), ("b", "c")], Some("b"));
        check("ab", &[("a", "b"), ("b", "a")], Some("ba"));
    }

    #[test]
    fn an_empty_text_is_no_pattern() {
        check("abc", &[("", "x")], None);
    }

    #[test]
    fn the_length_is_known_before_the_work() {
        let pattern = Pattern::new(b"a", b"xxxxxxxxxx").unwrap();
        assert_eq!(replaced(b"aaa", &[pattern], 29), Err(TooLong));
    }
}
