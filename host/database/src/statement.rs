//! One statement per call, and what class it is of.
//!
//! Its first words decide, found by a small exact lexer. Classes that are not known are refused whatever the grant:
//! what changes the session (`SET`, `BEGIN`, `PRAGMA`, `ATTACH`) would reach the next caller of the connection. That
//! list is a boundary. That an admitted class stays within its grant is the database's business, which knows what a
//! statement touches; sorting it here only makes the refusal cheap and its message good.

mod class;
mod lexer;
mod target;

#[cfg(test)]
mod tests;

use stepcell_core::grant::DatabaseAccess;

use self::{class::Class, lexer::Problem};
use crate::{Error, Refused};

/// The longest text of a statement. Protects the host's memory and the time that it takes to look through it; data
/// belongs into parameters.
pub(crate) const STATEMENT_BYTES_MAX: usize = 1 << 20;

/// How much of a statement's words a message repeats.
const SHOWN_CHARS: usize = 40;

/// Whose SQL it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// A text that holds exactly one statement, of a class that is known.
#[derive(Debug)]
pub(crate) struct Statement<'a> {
    text: &'a str,
    class: Class<'a>,
    dialect: Dialect,
}

impl<'a> Statement<'a> {
    pub(crate) fn read(text: &'a str, dialect: Dialect) -> Result<Self, Error> {
        if text.len() > STATEMENT_BYTES_MAX {
            let message =
                format!("the statement is longer than {STATEMENT_BYTES_MAX} bytes: give data as parameters");
            return Err(Error::Limit(message));
        }
        let tokens = lexer::tokens(text, dialect).map_err(|problem| Error::Invalid(problem.to_string()))?;
        match Class::of(&tokens, dialect) {
            Some(class) => Ok(Self { text, class, dialect }),
            None if tokens.is_empty() => Err(Error::Invalid("there is no statement".to_owned())),
            None => Err(unknown(text, &tokens)),
        }
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// How far a grant has to go for it.
    pub(crate) fn needs(&self) -> DatabaseAccess {
        self.class.needs
    }

    /// The word that the statement proper begins with: `CREATE`, also where `EXPLAIN` stands before it.
    pub(crate) fn verb(&self) -> &'a str {
        self.class.verb
    }

    /// Refuses what goes further than the access to this database.
    pub(crate) fn check(&self, access: DatabaseAccess, database: &str) -> Result<(), Error> {
        let needs = self.needs();
        if needs <= access {
            return Ok(());
        }
        let does = target::does(self.text, &self.class, self.dialect);
        let message = format!("the access to `{database}` is `{access}`, and this statement {does}");
        let what = Refused::Statement(self.verb().to_ascii_uppercase());
        Err(Error::Denied { what, needs: Some(needs), message })
    }
}

/// Not on the list.
fn unknown(text: &str, tokens: &[lexer::Token<'_>]) -> Error {
    let first = tokens.first().map_or(text, |token| token.text);
    let first: String = first.chars().take(SHOWN_CHARS).collect::<String>().to_ascii_uppercase();
    let message = format!(
        "no grant admits a statement that begins with `{first}`: a call reads or writes rows, or changes tables"
    );
    Error::Denied { what: Refused::Statement(first), needs: None, message }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ZeroByte => "the statement holds a zero byte",
            Self::Unclosed(what) => return write!(f, "{what} in the statement does not end"),
            Self::Second => "there is more than one statement: a call takes one; several that count together are a transaction",
        })
    }
}
