//! SQL into tokens, as exactly as it takes to know where strings, comments and statements end.

use super::Dialect;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// Bytes before it.
    pub(super) at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or a bare name.
    Word,
    /// A name in quotes; in SQLite perhaps a string.
    Quoted,
    /// A string, a number, a parameter, a part of an operator.
    Other,
}

/// Why it is not one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// SQLite stops reading at one, PostgreSQL takes none.
    ZeroByte,
    /// What has a beginning and no end.
    Unclosed(&'static str),
    Second,
}

impl Token<'_> {
    /// Whether it is this keyword.
    pub(super) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is one of these keywords.
    pub(super) fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }

    /// Whether it is this sign.
    pub(super) fn is_sign(&self, sign: &str) -> bool {
        self.kind == Kind::Other && self.text == sign
    }

    pub(super) fn is_name(&self) -> bool {
        self.kind != Kind::Other
    }
}

/// The tokens of one statement, without the semicolon at its end.
pub(super) fn tokens(text: &str, dialect: Dialect) -> Result<Vec<Token<'_>>, Problem> {
    if text.contains('\0') {
        return Err(Problem::ZeroByte);
    }
    let mut lexer = Lexer { text, at: 0, dialect };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        tokens.push(token);
    }
    let end = match end(&tokens, dialect) {
        Some(end) if tokens.iter().skip(end).any(|token| !token.is_sign(";")) => return Err(Problem::Second),
        Some(end) => end,
        None => tokens.len(),
    };
    tokens.truncate(end);
    Ok(tokens)
}

/// Where the semicolon is that ends the statement.
fn end(tokens: &[Token<'_>], dialect: Dialect) -> Option<usize> {
    let has_body = has_body(tokens, dialect);
    let mut depth = 0_usize;
    let mut is_in_body = false;
    for (nth, token) in tokens.iter().enumerate() {
        let after = tokens.get(nth + 1);
        match token.text {
            "(" if token.kind == Kind::Other => depth += 1,
            ")" if token.kind == Kind::Other => depth = depth.saturating_sub(1),
            // A rule's commands stand in parentheses.
            ";" if depth > 0 && dialect == Dialect::Postgres => {}
            ";" if is_in_body => is_in_body = !after.is_some_and(|token| token.is("END")),
            ";" if token.kind == Kind::Other => return Some(nth),
            _ if has_body && token.is("BEGIN") => is_in_body = true,
            _ => {}
        }
    }
    None
}

/// Whether statements may stand within it: a trigger's in SQLite, in PostgreSQL a function's.
fn has_body(tokens: &[Token<'_>], dialect: Dialect) -> bool {
    let mut words = tokens.iter().skip_while(|token| token.is_any(&["EXPLAIN", "QUERY", "PLAN"]));
    if !words.next().is_some_and(|token| token.is("CREATE")) {
        return false;
    }
    match dialect {
        Dialect::Sqlite => {
            let mut words = words.skip_while(|token| token.is_any(&["TEMP", "TEMPORARY"]));
            words.next().is_some_and(|token| token.is("TRIGGER"))
        }
        Dialect::Postgres => tokens.windows(2).any(|pair| match pair {
            [begin, atomic] => begin.is("BEGIN") && atomic.is("ATOMIC"),
            _ => false,
        }),
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    dialect: Dialect,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Result<Option<Token<'a>>, Problem> {
        self.skip_space()?;
        let (rest, at) = (self.rest(), self.at);
        let Some(first) = rest.bytes().next() else { return Ok(None) };
        let (kind, length) = match (first, self.dialect) {
            (b'\'', _) => (Kind::Other, quoted(rest, "'").ok_or(Problem::Unclosed("a string"))?),
            (b'"', _) => (Kind::Quoted, quoted(rest, "\"").ok_or(Problem::Unclosed("a name in quotes"))?),
            (b'`', Dialect::Sqlite) => {
                (Kind::Quoted, quoted(rest, "`").ok_or(Problem::Unclosed("a name in quotes"))?)
            }
            (b'[', Dialect::Sqlite) => {
                (Kind::Quoted, through(rest, 1, "]").ok_or(Problem::Unclosed("a name in brackets"))?)
            }
            (b'$' | b'@' | b':' | b'#', Dialect::Sqlite) => (Kind::Other, variable(rest)),
            (b'$', Dialect::Postgres) => (Kind::Other, dollar(rest)?),
            (b'e' | b'E', Dialect::Postgres) if rest.as_bytes().get(1) == Some(&b'\'') => {
                (Kind::Other, escaped(rest).ok_or(Problem::Unclosed("a string"))?)
            }
            _ if is_word_start(first) => (Kind::Word, while_is(rest, is_word)),
            // Letters behind a number are a word of their own, as in old versions of PostgreSQL.
            _ if first.is_ascii_digit() => (Kind::Other, while_is(rest, |byte| byte.is_ascii_digit())),
            _ => (Kind::Other, 1),
        };
        self.at += length.max(1);
        let text = self.text.get(at..self.at).unwrap_or_default();
        Ok(Some(Token { kind, text, at }))
    }

    fn skip_space(&mut self) -> Result<(), Problem> {
        loop {
            let rest = self.rest();
            let length = if rest.starts_with("--") {
                match self.dialect {
                    Dialect::Sqlite => rest.find('\n').unwrap_or(rest.len()),
                    Dialect::Postgres => rest.find(['\n', '\r']).unwrap_or(rest.len()),
                }
            } else if rest.starts_with("/*") {
                match self.dialect {
                    // To the end of the text where nothing closes it.
                    Dialect::Sqlite => through(rest, 2, "*/").unwrap_or(rest.len()),
                    Dialect::Postgres => nested_comment(rest).ok_or(Problem::Unclosed("a comment"))?,
                }
            } else if self.dialect == Dialect::Sqlite && rest.starts_with('\u{feff}') {
                '\u{feff}'.len_utf8()
            } else {
                while_is(rest, |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c))
            };
            if length == 0 {
                return Ok(());
            }
            self.at += length;
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii()
}

fn is_word(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

/// How many bytes are of that kind, from the beginning on.
fn while_is(rest: &str, is: impl Fn(u8) -> bool) -> usize {
    rest.bytes().position(|byte| !is(byte)).unwrap_or(rest.len())
}

/// The length up to this end, which is looked for after some bytes.
fn through(rest: &str, after: usize, end: &str) -> Option<usize> {
    let found = rest.get(after..)?.find(end)?;
    Some(after + found + end.len())
}

/// The length of what begins with a quote; two quotes are one within.
fn quoted(rest: &str, quote: &str) -> Option<usize> {
    let mut length = through(rest, 1, quote)?;
    while rest.get(length..).is_some_and(|rest| rest.starts_with(quote)) {
        length = through(rest, length + 1, quote)?;
    }
    Some(length)
}

/// SQLite's `$name`, also `$name::suffix(anything but space)`.
fn variable(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut at, mut has_name) = (1, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            byte if is_word(*byte) => {
                at += 1;
                has_name = true;
            }
            b'(' if has_name => return at + suffix(bytes.get(at..).unwrap_or_default()),
            b':' if bytes.get(at + 1) == Some(&b':') => at += 2,
            _ => break,
        }
    }
    at
}

/// From a parenthesis to the one that closes it, or to what no suffix holds.
fn suffix(bytes: &[u8]) -> usize {
    let end = bytes.iter().position(|byte| *byte == b')' || byte.is_ascii_whitespace() || *byte == 0x0b);
    match end {
        Some(end) if bytes.get(end) == Some(&b')') => end + 1,
        Some(end) => end,
        None => bytes.len(),
    }
}

/// PostgreSQL's `$1`, or a string between `$tag$` and `$tag$`.
fn dollar(rest: &str) -> Result<usize, Problem> {
    let after = rest.get(1..).unwrap_or_default();
    let digits = while_is(after, |byte| byte.is_ascii_digit());
    if digits > 0 {
        return Ok(1 + digits);
    }
    let tag = while_is(after, |byte| is_word(byte) && byte != b'$');
    if after.as_bytes().get(tag) != Some(&b'$') {
        return Ok(1);
    }
    let length = tag + 2;
    let fence = rest.get(..length).unwrap_or_default();
    through(rest, length, fence).ok_or(Problem::Unclosed("a string between dollar signs"))
}

/// PostgreSQL's `E'…'`: a backslash takes the next character with it. Parts on further lines are of the same kind.
fn escaped(rest: &str) -> Option<usize> {
    let mut at = 1;
    loop {
        at = escaped_part(rest, at)?;
        let gap = continuation(rest.get(at..).unwrap_or_default());
        match gap {
            Some(gap) => at += gap,
            None => return Some(at),
        }
    }
}

/// Where the part ends that begins with the quote at `at`.
fn escaped_part(rest: &str, at: usize) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = at + 1;
    loop {
        match (bytes.get(at)?, bytes.get(at + 1)) {
            (b'\\', _) | (b'\'', Some(b'\'')) => at += 2,
            (b'\'', _) => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// What is between a string's part and the next one, where there is one: space with a line break in it.
fn continuation(rest: &str) -> Option<usize> {
    let (mut at, mut has_break) = (0, false);
    loop {
        let left = rest.get(at..)?;
        match left.bytes().next()? {
            b'\'' => return has_break.then_some(at),
            b'\n' | b'\r' => {
                has_break = true;
                at += 1;
            }
            b' ' | b'\t' | 0x0b | 0x0c => at += 1,
            // A comment may stand there only once there was a line break, and ends with one.
            b'-' if has_break && left.starts_with("--") => at += left.find(['\n', '\r'])?,
            _ => return None,
        }
    }
}

/// The length of a comment that may hold others.
fn nested_comment(rest: &str) -> Option<usize> {
    let (mut at, mut depth) = (2, 1_usize);
    while depth > 0 {
        let left = rest.as_bytes().get(at..)?;
        match left {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            [_, ..] => at += 1,
            [] => return None,
        }
    }
    Some(at)
}
