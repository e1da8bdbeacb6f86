//! Whom mail may be sent to.

/// `*`, `*@example.com` or one address. Compared without regard to ASCII case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientPattern(pub(super) String);

impl RecipientPattern {
    /// Whether the pattern stands for this address, without a display name.
    pub fn admits(&self, address: &str) -> bool {
        if self.0 == "*" {
            return true;
        }
        match self.0.strip_prefix('*') {
            // With the `@`, so that `*@example.com` does not admit `x@evil-example.com`.
            Some(domain) => address
                .rsplit_once('@')
                .is_some_and(|(_, own)| domain.strip_prefix('@').is_some_and(|domain| own.eq_ignore_ascii_case(domain))),
            None => self.0.eq_ignore_ascii_case(address),
        }
    }
}

impl std::fmt::Display for RecipientPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
