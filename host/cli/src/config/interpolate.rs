//! `${VAR}` and `${VAR:-default}` in the values of the config file.
//!
//! Values are filled in after the file was parsed, never before: a variable can put text into a value, but no
//! new keys into the file.

/// How deep defaults may nest. Protects the stack from a hostile file.
const DEPTH_MAX: usize = 16;
/// The longest value after filling in, in bytes. Protects memory from defaults that repeat a large variable.
const BYTES_MAX: usize = 1 << 20;

/// Gives the value of a variable; `None` where it is not set.
pub type Variables<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What is wrong with a reference, and where in the text it starts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Error {
    /// Byte offset of the `$` within the text.
    pub offset: usize,
    pub reason: Reason,
}

/// Why a reference can not be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("the environment variable `{0}` is not set")]
    Unset(String),
    #[error("`${{` has no closing `}}`")]
    Unclosed,
    #[error("`{0}` is not a variable name (a letter or `_`, then letters, digits and `_`)")]
    Name(String),
    #[error("defaults are nested more than {DEPTH_MAX} deep")]
    Depth,
    #[error("the value is over {BYTES_MAX} bytes once its variables are filled in")]
    Size,
}

impl Reason {
    /// What to do now.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unset(name) => Some(format!(
                "set it, or give a default as `${{{name}:-…}}`; a literal `${{` is written `$${{`"
            )),
            Self::Unclosed | Self::Name(_) => Some("a literal `${` is written `$${`".to_owned()),
            Self::Depth | Self::Size => None,
        }
    }
}

/// Fills in all references in `text`. An empty variable counts as unset where there is a default, as in a shell.
/// What a variable holds is taken as it is: a `${` in it is not filled in again.
pub fn fill_in(text: &str, variables: &Variables<'_>) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    let mut parser = Parser { text, at: 0, variables };
    parser.run(&mut out, 0)?;
    Ok(out)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    variables: &'a Variables<'a>,
}

impl<'a> Parser<'a> {
    /// Copies text up to the end, or, inside a default, up to the `}` that closes it.
    fn run(&mut self, out: &mut String, depth: usize) -> Result<(), Error> {
        while let Some(character) = self.rest().chars().next() {
            if self.take("$${") {
                out.push_str("${");
            } else if self.rest().starts_with("${") {
                self.reference(out, depth)?;
            } else if depth > 0 && character == '}' {
                return Ok(());
            } else {
                self.at += character.len_utf8();
                out.push(character);
            }
            if out.len() > BYTES_MAX {
                return Err(Error { offset: self.at, reason: Reason::Size });
            }
        }
        Ok(())
    }

    fn reference(&mut self, out: &mut String, depth: usize) -> Result<(), Error> {
        let offset = self.at;
        let fail = |reason| Err(Error { offset, reason });
        if depth == DEPTH_MAX {
            return fail(Reason::Depth);
        }
        self.take("${");
        let name = self.name();
        let default = if self.take(":-") {
            // The default is read to its end even where it is not used: an error in it shows at once, and not
            // only on the machine where the variable is missing. An unset variable in it counts when used.
            Some(self.default(depth))
        } else {
            None
        };
        if let Some(Err(error)) = &default
            && !matches!(error.reason, Reason::Unset(_))
        {
            return Err(error.clone());
        }
        if !self.take("}") {
            return fail(if self.closes() { Reason::Name(self.written(offset)) } else { Reason::Unclosed });
        }
        if !is_name(name) {
            return fail(Reason::Name(name.to_owned()));
        }
        match ((self.variables)(name), default) {
            (Some(value), None) => out.push_str(&value),
            (Some(value), Some(_)) if !value.is_empty() => out.push_str(&value),
            (_, Some(default)) => out.push_str(&default?),
            (None, None) => return fail(Reason::Unset(name.to_owned())),
        }
        Ok(())
    }

    /// Reads a default up to its closing brace, also past an unset variable.
    fn default(&mut self, depth: usize) -> Result<String, Error> {
        let mut out = String::new();
        let mut first = Ok(());
        loop {
            let before = self.at;
            match self.run(&mut out, depth + 1) {
                Ok(()) => return first.map(|()| out),
                Err(error) if matches!(error.reason, Reason::Unset(_)) && self.at > before => {
                    first = first.and(Err(error));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn name(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// Whether a closing brace follows at all.
    fn closes(&self) -> bool {
        self.rest().contains('}')
    }

    /// What stands between the braces of the reference at `offset`.
    fn written(&self, offset: usize) -> String {
        let inner = self.text.get(offset..).unwrap_or_default().trim_start_matches("${");
        inner.split('}').next().unwrap_or_default().to_owned()
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests;
