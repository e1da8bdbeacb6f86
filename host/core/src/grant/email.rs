//! Whom mail may be sent to.

use crate::{
    parse::Field,
    problem::{Problems, shorten},
};

/// The longest address there is (RFC 5321).
const MAX_ADDRESS_BYTES: usize = 254;

/// `*`, `*@example.com` or one address. Compared without regard to ASCII case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientPattern(pub(super) String);

impl RecipientPattern {
    /// The error is what to write instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let odd =
            |c: char| c.is_whitespace() || c.is_control() || matches!(c, '*' | '<' | '>' | ',' | ';' | '"');
        let address = |(local, domain): (&str, &str)| {
            !domain.is_empty()
                && !domain.contains('@')
                && !domain.contains(odd)
                && (local == "*" || plain(local, odd))
        };
        let fits = text.len() <= MAX_ADDRESS_BYTES && text.split_once('@').is_some_and(address);
        if text == "*" || fits {
            Ok(Self(text.to_owned()))
        } else {
            Err("write an address, `*@example.com` for a whole domain, or `*` for everybody")
        }
    }

    /// The one that admits nobody but this address; `None` where there is none. `*@example.com` is an address too,
    /// and must not make a line for the whole domain.
    pub fn of_one(address: &str) -> Option<Self> {
        Self::parse(address).ok().filter(|pattern| !pattern.0.contains('*'))
    }

    pub(super) fn read_field(field: Field<'_, '_>, problems: &mut Problems) -> Option<Self> {
        let text = field.text(problems)?;
        let refused = |hint| field.invalid(format!("`{}` is no recipient", shorten(text)), hint, problems);
        Self::parse(text).map_err(refused).ok()
    }

    /// Whether it admits whatever `other` does.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self.0.as_str(), other.0.as_str()) {
            ("*", _) => true,
            (_, "*") => false,
            // An address that begins with a `*` is no pattern's, so `*@d` stands for itself.
            (_, other) => self.admits(other),
        }
    }

    /// Whether the pattern stands for this address, without a display name.
    pub fn admits(&self, address: &str) -> bool {
        if self.0 == "*" {
            return true;
        }
        match self.0.strip_prefix('*') {
            // With the `@`, so that `*@example.com` does not admit `x@evil-example.com`.
            Some(domain) => address.rsplit_once('@').is_some_and(|(_, own)| {
                domain.strip_prefix('@').is_some_and(|domain| own.eq_ignore_ascii_case(domain))
            }),
            None => self.0.eq_ignore_ascii_case(address),
        }
    }
}

fn plain(local: &str, odd: impl Fn(char) -> bool) -> bool {
    !local.is_empty() && !local.contains(odd)
}

impl std::fmt::Display for RecipientPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
