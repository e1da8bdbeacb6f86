//! What a component can ask for, by its imports.

use stepcell_core::grant::Grant;

/// Something outside a cell, under the key that it has in a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Capability {
    Http,
    Secrets,
    Databases,
    Email,
    Blobs,
    Files,
}

impl Capability {
    pub(crate) const ALL: [Self; 6] =
        [Self::Http, Self::Secrets, Self::Databases, Self::Email, Self::Blobs, Self::Files];

    /// The key in a grant.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Secrets => "secrets",
            Self::Databases => "databases",
            Self::Email => "email",
            Self::Blobs => "blobs",
            Self::Files => "files",
        }
    }

    /// Whether a component with these imports can ask for it.
    pub(crate) fn is_asked(self, imports: &[String]) -> bool {
        let packages: &[&str] = match self {
            Self::Http => &["stepcell:http/", "wasi:http/"],
            Self::Secrets => &["stepcell:secrets/"],
            Self::Databases => &["stepcell:database/"],
            Self::Email => &["stepcell:email/"],
            Self::Blobs => &["stepcell:blobs/"],
            Self::Files => &["wasi:filesystem/"],
        };
        imports.iter().any(|import| packages.iter().any(|package| import.starts_with(package)))
    }

    /// Whether asking means to use it. What an author's tool links in for standard libraries asks for files in
    /// nearly every component.
    pub(crate) fn is_meant(self) -> bool {
        self != Self::Files
    }

    /// Whether a grant says anything about it.
    pub(crate) fn is_in(self, grant: &Grant) -> bool {
        match self {
            Self::Http => grant.http.is_some(),
            Self::Secrets => grant.secrets.is_some(),
            Self::Databases => grant.databases.is_some(),
            Self::Email => grant.email.is_some(),
            Self::Blobs => grant.blobs.is_some(),
            Self::Files => grant.files.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(import: &str, asked: Option<Capability>) {
        let imports = [import.to_owned()];
        let found: Vec<_> = Capability::ALL.into_iter().filter(|one| one.is_asked(&imports)).collect();
        assert_eq!(found, Vec::from_iter(asked), "{import}");
    }

    #[test]
    fn imports_are_requests() {
        check("stepcell:http/http@0.1.0", Some(Capability::Http));
        check("wasi:http/outgoing-handler@0.2.3", Some(Capability::Http));
        check("stepcell:database/database@0.1.0", Some(Capability::Databases));
        check("wasi:filesystem/preopens@0.2.3", Some(Capability::Files));
        check("stepcell:step/types@0.1.0", None);
        check("wasi:clocks/monotonic-clock@0.2.3", None);
    }
}
