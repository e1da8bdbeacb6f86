//! What a component asks for, read from its type before anything of it runs.

use std::collections::BTreeSet;

use wasmtime::{Engine, component::Component};

use super::Refusal;

/// Packages that the host provides, with the versions it is compatible with.
const KNOWN: [(&str, &str); 13] = [
    ("stepcell:step/", "0.1."),
    ("stepcell:http/", "0.1."),
    ("stepcell:database/", "0.1."),
    ("stepcell:secrets/", "0.1."),
    ("stepcell:email/", "0.1."),
    ("stepcell:blobs/", "0.1."),
    ("wasi:http/", "0.2."),
    ("wasi:io/", "0.2."),
    ("wasi:clocks/", "0.2."),
    ("wasi:random/", "0.2."),
    ("wasi:cli/", "0.2."),
    ("wasi:filesystem/", "0.2."),
    ("wasi:sockets/", "0.2."),
];

/// The words every plugin shares; importing them asks for nothing.
const WORDS: &str = "stepcell:step/";

/// A component's imports, by name, in alphabetical order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Imports(Vec<String>);

impl Imports {
    /// Fails on the first import that the host does not know.
    pub(super) fn of(component: &Component, engine: &Engine) -> Result<Self, Refusal> {
        let names: BTreeSet<String> =
            component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect();
        match names.iter().find(|name| !is_known(name)) {
            Some(unknown) => Err(refusal(unknown)),
            None => Ok(Self(names.into_iter().collect())),
        }
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }

    /// The capabilities among them, such as `http`, which has two interfaces.
    pub(crate) fn capabilities(&self) -> Vec<String> {
        let capability = |name: &'_ str| {
            let own = name
                .strip_prefix("stepcell:")
                .or(name.strip_prefix("wasi:").filter(|wasi| wasi.starts_with("http/")));
            own?.split('/').next().map(str::to_owned)
        };
        let names = self.0.iter().filter(|name| !name.starts_with(WORDS));
        let found: BTreeSet<String> = names.filter_map(|name| capability(name)).collect();
        found.into_iter().collect()
    }

    /// Whether it looks for folders. What an author's tool links in for standard libraries does in nearly every
    /// component, so that this is no capability by itself.
    pub(crate) fn ask_for_files(&self) -> bool {
        self.0.iter().any(|name| name.starts_with("wasi:filesystem/preopens"))
    }

    /// Whether an execution depends on nothing but the attempt. WASI is virtual and counts as nothing.
    pub(crate) fn is_pure(&self) -> bool {
        self.capabilities().is_empty()
    }
}

fn is_known(name: &str) -> bool {
    KNOWN.iter().any(|(package, version)| {
        name.starts_with(package) && name.split_once('@').is_some_and(|(_, given)| given.starts_with(version))
    })
}

fn refusal(unknown: &str) -> Refusal {
    let refusal = Refusal::new(format!("it imports `{unknown}`, which this host does not have"));
    let package = unknown.split(['/', '@']).next().unwrap_or_default();
    match package {
        _ if KNOWN.iter().any(|(known, _)| known.trim_end_matches('/') == package) => refusal.with_hint(
            "this host has another version of it; build the plugin against `wit/` of this version",
        ),
        _ => refusal.with_hint("a plugin may import WASI 0.2 and the interfaces under `wit/`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, known: bool) {
        assert_eq!(is_known(name), known, "{name}");
    }

    #[test]
    fn compatible_versions_are_known() {
        check("stepcell:http/http@0.1.0", true);
        check("stepcell:http/http@0.1.7", true);
        check("stepcell:http/http@0.2.0", false);
        check("wasi:io/poll@0.2.3", true);
        check("wasi:io/poll@0.3.0", false);
        check("wasi:http/outgoing-handler@0.2.8", true);
        check("wasi:http/handler@0.3.0", false);
        check("stepcell:http/http", false);
        check("env", false);
    }

    #[test]
    fn capabilities_are_what_is_not_plain() {
        let names = ["stepcell:http/http@0.1.0", "stepcell:step/types@0.1.0", "wasi:io/poll@0.2.0"];
        let imports = Imports(names.map(str::to_owned).to_vec());
        assert_eq!(imports.capabilities(), ["http"]);
        assert!(!imports.is_pure());
        assert!(Imports(names[1..].iter().map(|name| (*name).to_owned()).collect()).is_pure());
        let standard = Imports(vec!["wasi:http/types@0.2.0".to_owned(), "wasi:io/poll@0.2.0".to_owned()]);
        assert_eq!(standard.capabilities(), ["http"]);
        assert!(!standard.is_pure());
    }
}
