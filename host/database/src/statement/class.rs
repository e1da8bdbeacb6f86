//! What class of statement the first words say.

use stepcell_core::grant::DatabaseAccess;

use super::{Dialect, lexer::Token};

const READS: [&str; 3] = ["SELECT", "VALUES", "TABLE"];
const WRITES: [&str; 4] = ["INSERT", "UPDATE", "DELETE", "MERGE"];
const SCHEMA: [&str; 5] = ["CREATE", "ALTER", "DROP", "ANALYZE", "REINDEX"];
/// Not in SQLite.
const SCHEMA_POSTGRES: [&str; 3] = ["TRUNCATE", "COMMENT", "REFRESH"];

/// Of a statement whose class is known.
#[derive(Debug)]
pub(super) struct Class<'a> {
    /// How far a grant has to go.
    pub(super) needs: DatabaseAccess,
    /// The word that decided.
    pub(super) verb: &'a str,
    /// Where that is.
    pub(super) at: usize,
}

impl<'a> Class<'a> {
    /// `None`: no grant admits it.
    pub(super) fn of(tokens: &[Token<'a>], dialect: Dialect) -> Option<Self> {
        let tokens = without_explain(tokens, dialect);
        let opening = tokens.iter().take_while(|token| token.is_sign("(")).count();
        let tokens = tokens.get(opening..)?;
        let first = tokens.first()?;
        let of = |needs, verb: &Token<'a>| Some(Self { needs, verb: verb.text, at: verb.at });
        if first.is("WITH") {
            let main = writes(tokens);
            return match (main, makes_table(tokens, dialect)) {
                (_, Some(into)) => of(DatabaseAccess::Schema, into),
                (Some(verb), None) => of(DatabaseAccess::Write, verb),
                (None, None) => of(DatabaseAccess::Read, first),
            };
        }
        if first.is_any(&READS) {
            return match makes_table(tokens, dialect) {
                Some(into) => of(DatabaseAccess::Schema, into),
                None => of(DatabaseAccess::Read, first),
            };
        }
        // Only what reads may stand in parentheses.
        if opening > 0 {
            return None;
        }
        if first.is_any(&WRITES) || (dialect == Dialect::Sqlite && first.is("REPLACE")) {
            return of(DatabaseAccess::Write, first);
        }
        let is_schema =
            first.is_any(&SCHEMA) || dialect == Dialect::Postgres && first.is_any(&SCHEMA_POSTGRES);
        if is_schema { of(DatabaseAccess::Schema, first) } else { None }
    }
}

/// What is explained; some ways to explain run it.
fn without_explain<'t, 'a>(tokens: &'t [Token<'a>], dialect: Dialect) -> &'t [Token<'a>] {
    let [first, rest @ ..] = tokens else { return tokens };
    if !first.is("EXPLAIN") {
        return tokens;
    }
    let options: &[&str] = match dialect {
        Dialect::Sqlite => &["QUERY", "PLAN"],
        Dialect::Postgres => &["ANALYZE", "ANALYSE", "VERBOSE"],
    };
    let rest = match (dialect, rest) {
        // Options may be a list as well, which no statement begins like.
        (Dialect::Postgres, [open, option, ..])
            if open.is_sign("(") && !option.is_any(&READS) && !option.is("WITH") && !option.is_sign("(") =>
        {
            let end = rest.iter().position(|token| token.is_sign(")"));
            end.and_then(|end| rest.get(end + 1..)).unwrap_or_default()
        }
        _ => rest,
    };
    let words = rest.iter().take_while(|token| token.is_any(options)).count();
    rest.get(words..).unwrap_or_default()
}

/// The word by which a statement after `WITH`, or one within it, changes rows. Told from a column of that name by what
/// stands beside it; in doubt it changes some.
fn writes<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t Token<'a>> {
    tokens.windows(3).find_map(|three| {
        let [before, verb, after] = three else { return None };
        if before.is("AS") || before.is_sign(".") {
            return None;
        }
        let is = match after {
            _ if verb.is("INSERT") => after.is_any(&["INTO", "OR"]),
            _ if verb.is_any(&["MERGE", "REPLACE"]) => after.is("INTO"),
            _ if verb.is("DELETE") => after.is("FROM"),
            // Rows may be locked `FOR UPDATE`, and an insert may `DO UPDATE`.
            _ if verb.is("UPDATE") => after.is_name() && !before.is_any(&["FOR", "KEY", "DO"]),
            _ => false,
        };
        is.then_some(verb)
    })
}

/// The `INTO` of `SELECT … INTO new_table`.
fn makes_table<'t, 'a>(tokens: &'t [Token<'a>], dialect: Dialect) -> Option<&'t Token<'a>> {
    if dialect != Dialect::Postgres {
        return None;
    }
    tokens.windows(2).find_map(|pair| {
        let [before, into] = pair else { return None };
        (into.is("INTO") && !before.is_any(&["INSERT", "MERGE", "AS"]) && !before.is_sign("."))
            .then_some(into)
    })
}
