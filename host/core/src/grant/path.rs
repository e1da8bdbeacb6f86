//! The path part of a rule.

use std::{borrow::Cow, fmt};

use percent_encoding::percent_decode_str;

/// What a path has to begin with, segment by segment: `/v1` admits `/v1` and `/v1/a`, not `/v1x`; `/v1/`
/// admits only what lies below.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PathPrefix {
    /// Decoded; empty where every path is admitted.
    segments: Vec<Vec<u8>>,
    /// As written, for messages.
    text: String,
}

impl PathPrefix {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text == "/" {
            return Ok(Self::default());
        }
        if text.contains(['?', '#']) {
            return Err("a rule has no query or fragment".to_owned());
        }
        if text.contains('*') {
            return Err("a path is a prefix already, it takes no `*`".to_owned());
        }
        if text.contains(['\\', ' ']) || text.chars().any(char::is_control) || text.contains("//") {
            return Err(format!("the path `{text}` is not plain"));
        }
        match decoded(text) {
            Some(segments) => Ok(Self {
                segments: segments.into_iter().map(Cow::into_owned).collect(),
                text: text.to_owned(),
            }),
            None => Err(format!("the path `{text}` holds `..` or an encoded separator")),
        }
    }

    /// `path` as the URL parser gives it, dot segments resolved. A path that a server may read in another way
    /// (an encoded slash, `..;`, encoded twice) is never below a prefix.
    pub(super) fn admits(&self, path: &str) -> bool {
        let Some((last, parents)) = self.segments.split_last() else { return true };
        let Some(path) = decoded(path) else { return false };
        let head = path.iter().zip(parents).filter(|(own, wanted)| own == wanted).count();
        if head != parents.len() {
            return false;
        }
        match path.get(head) {
            // The prefix ends with a slash: whatever follows, but something has to stand there.
            Some(_) if last.is_empty() => true,
            Some(own) => own == last,
            None => false,
        }
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The segments behind the first slash; `None` where a reader could split or climb in another way.
fn decoded(path: &str) -> Option<Vec<Cow<'_, [u8]>>> {
    path.strip_prefix('/')?
        .split('/')
        .map(|segment| {
            let bytes: Cow<'_, [u8]> = percent_decode_str(segment).into();
            plain(&bytes).then_some(bytes)
        })
        .collect()
}

fn plain(segment: &[u8]) -> bool {
    let separator = |byte: &u8| matches!(byte, b'/' | b'\\') || byte.is_ascii_control();
    // Some servers cut path parameters off before they resolve dots.
    let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
    let encoded_again = segment.windows(3).any(
        |window| matches!(window, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()),
    );
    !segment.iter().any(separator) && !matches!(name, b"." | b"..") && !encoded_again
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: &str, admitted: &[&str], refused: &[&str]) {
        let prefix = PathPrefix::parse(prefix).unwrap();
        for path in admitted {
            assert!(prefix.admits(path), "{prefix} should admit {path}");
        }
        for path in refused {
            assert!(!prefix.admits(path), "{prefix} should refuse {path}");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        check("/v1", &["/v1", "/v1/", "/v1/a/b"], &["/", "/v", "/v1x", "/v2/v1", "//v1", "/V1"]);
        check("/v1/", &["/v1/", "/v1/a"], &["/v1", "/v1x/"]);
        check("/a/b", &["/a/b", "/a/b/c"], &["/a", "/a/", "/a/c", "/b/a"]);
        check("/", &["/", "/a", "/a%2Fb", "//"], &[]);
    }

    #[test]
    fn encoded_letters_are_the_same_letters() {
        check("/caf%C3%A9", &["/caf%c3%a9/x", "/%63af%C3%A9"], &["/cafe"]);
    }

    #[test]
    fn a_path_that_can_be_read_in_two_ways_is_below_nothing() {
        let odd = [
            "/v1/..%2fadmin",
            "/v1/%2e%2e%2fadmin",
            "/v1/..%5cadmin",
            "/v1/..;/admin",
            "/v1/%2e%2e;x/admin",
            "/v1/%252e%252e/admin",
            "/v1/%252fadmin",
            "/v1/a%00",
            "/v1/.",
        ];
        check("/v1", &[], &odd);
    }

    #[test]
    fn odd_rules_are_refused() {
        for path in ["/a?b", "/a#b", "/a/*", "/a/../b", "/a%2fb", "/a b", "//a", "/a\\b", "a"] {
            assert!(PathPrefix::parse(path).is_err(), "{path}");
        }
    }
}
