//! The secrets that a flow names. Core knows their names only.

use std::collections::BTreeSet;

use super::Builder;
use crate::{
    Template,
    parse::{Kind, Node, join},
    problem::{listed, nearest, shorten},
};

/// Which secrets a step's config may name.
#[derive(Clone, Copy)]
pub(super) enum Secrets<'t> {
    /// Those that the host has.
    Known(&'t BTreeSet<String>),
    /// What a run pinned was checked when it began. A secret that has gone since fails its step, not the run as a
    /// whole.
    Unchecked,
    /// A plugin made the text of it, and may have been told what to write.
    Refused,
}

impl Builder<'_, '_> {
    /// Reports the secrets of a step's config that it can not have.
    pub(super) fn known_secrets(&mut self, template: &Template, path: &str) {
        for (name, places) in &template.references().secrets {
            for place in places.iter().map(|place| join(path, place)) {
                match self.shared.secrets {
                    Secrets::Refused => self.refuse_secret(name, &place),
                    Secrets::Known(known) => self.known_secret(name, &place, known),
                    Secrets::Unchecked => {}
                }
            }
        }
    }

    fn refuse_secret(&mut self, name: &str, path: &str) {
        let message = format!("the secret `{}` stands in a body that a plugin made", shorten(name));
        self.report_with(path, "secret_out_of_place", message, || {
            Some("write the body into the flow itself: only its own text may name secrets".to_owned())
        });
    }

    /// Reports every secret of a template that no plugin is called with: there is nothing to swap it in.
    pub(super) fn no_secrets(&mut self, template: &Template, path: &str) {
        for (name, places) in &template.references().secrets {
            for place in places {
                let message = format!("the secret `{}` stands where no step could use it", shorten(name));
                self.report_with(&join(path, place), "secret_out_of_place", message, || {
                    Some(
                        "a secret is for the `config` of a step: the host swaps it in on the way out"
                            .to_owned(),
                    )
                });
            }
        }
    }

    /// Reports the secrets that `grants` of the flow or of a step leave and the host does not have: a misspelt
    /// name would take away the one that was meant.
    pub(super) fn granted_secrets(&mut self, path: &str) {
        let Secrets::Known(known) = self.shared.secrets else { return };
        let path = join(path, "grants.secrets");
        let Some(Kind::Array(items)) = self.part.find(&path).map(|node| &node.kind) else { return };
        let text = |node: &Node| match &node.kind {
            Kind::Text(name) => Some(name.clone()),
            _ => None,
        };
        let names: Vec<Option<String>> = items.iter().map(text).collect();
        for (index, name) in names.iter().enumerate() {
            if let Some(name) = name {
                self.known_secret(name, &format!("{path}[{index}]"), known);
            }
        }
    }

    fn known_secret(&mut self, name: &str, path: &str, known: &BTreeSet<String>) {
        if known.contains(name) {
            return;
        }
        let message = format!("there is no secret `{}`", shorten(name));
        self.report_with(path, "unknown_secret", message, || {
            let names = || known.iter().map(String::as_str);
            Some(match nearest(name, names()) {
                _ if known.is_empty() => {
                    "no secrets are configured: they stand under `secrets` in stepcell.yaml".to_owned()
                }
                Some(near) => format!("did you mean `{near}`? there are: {}", listed(names())),
                None => {
                    format!("there are: {}; more can stand under `secrets` in stepcell.yaml", listed(names()))
                }
            })
        });
    }
}
