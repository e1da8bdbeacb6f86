//! Request ∩ operator ∩ flow ∩ step, for one plugin and each capability.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use stepcell_core::grant::{Grant, HttpRule, Narrowed, Yaml};
use stepcell_sandbox::GrantSource;

use super::Capability;
use crate::config::{Config, MAIN, file_key};

/// The operator's word on a plugin.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) grant: Arc<Grant>,
    pub(crate) origin: Origin,
    /// The key under `grants` that it has, or would have.
    kind: String,
}

/// Where the operator's word is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    Type,
    File,
    Shipped,
    Nothing,
}

/// What a plugin gets of one capability.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Share {
    pub(crate) capability: &'static str,
    /// Whether the component can ask for it.
    pub(crate) asked: bool,
    /// As it would be written; lists of rules that all have to admit for `http`. Nothing: `null`.
    pub(crate) gets: Value,
    pub(crate) origin: Origin,
    /// Who narrowed it: `the flow`, `the step`.
    pub(crate) narrowed_by: Vec<&'static str>,
    /// Why it is not more.
    pub(crate) why: String,
    /// What is granted and not configured, and the like.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

impl Word {
    pub(crate) fn of((grant, source): (Arc<Grant>, GrantSource), kind: &str) -> Self {
        let (origin, kind) = match source {
            GrantSource::Type => (Origin::Type, kind.to_owned()),
            GrantSource::File(digest) => (Origin::File, file_key(kind, digest)),
            GrantSource::Shipped => (Origin::Shipped, kind.to_owned()),
            GrantSource::Nothing => (Origin::Nothing, kind.to_owned()),
        };
        Self { grant, origin, kind }
    }

    /// The line of stepcell.yaml that would allow `more` as well. An entry replaces a default, and nobody should
    /// lose what worked by adding one.
    pub(crate) fn with(&self, more: &Grant) -> String {
        let mut grant = Grant::clone(&self.grant);
        grant.widen(more);
        format!("grants:\n  {}: {grant}", Yaml(&Value::from(self.kind.as_str())))
    }

    /// Where it is written, for messages.
    pub(crate) fn place(&self) -> String {
        match self.origin {
            Origin::Type | Origin::File => format!("`grants.{}`", self.kind),
            Origin::Shipped => "the default of this file, which comes with the host".to_owned(),
            Origin::Nothing => "nothing".to_owned(),
        }
    }

    fn why_nothing(&self, capability: Capability) -> String {
        let key = capability.key();
        match self.origin {
            Origin::Type | Origin::File => format!("{} has no `{key}`", self.place()),
            Origin::Shipped => {
                format!("the default of this file has no `{key}`, and `grants.{}` is not there", self.kind)
            }
            Origin::Nothing => format!("there is no `grants.{}`", self.kind),
        }
    }

    fn why_none_left(&self, capability: Capability, narrowed: &[&str]) -> String {
        match narrowed {
            [] => format!("{} has an empty `{}`", self.place(), capability.key()),
            levels => format!("{} leaves nothing of {}", levels.join(" with "), self.place()),
        }
    }

    fn why_not_more(&self, narrowed: &[&str]) -> String {
        let own = self.place();
        match narrowed {
            [] => own,
            levels => format!("{own}, narrowed by {}", levels.join(" and ")),
        }
    }
}

/// Of every capability there is. `levels` are the flow's and the step's words, by name.
pub(crate) fn shares(
    imports: &[String],
    uses_secrets: bool,
    word: &Word,
    levels: &[(&'static str, &Grant)],
    config: &Config,
) -> Vec<Share> {
    let narrowed = word.grant.narrowed_by(levels.iter().map(|(_, grant)| *grant));
    let share = |capability: Capability| {
        // A placeholder in the config is swapped without the plugin asking for more than `http`.
        let asked = capability.is_asked(imports) || (capability == Capability::Secrets && uses_secrets);
        let narrowed_by: Vec<&'static str> = levels
            .iter()
            .filter(|(_, grant)| asked && capability.is_in(grant))
            .map(|(whose, _)| *whose)
            .collect();
        let gets = if asked { gets(capability, &narrowed) } else { Value::Null };
        let why = match (asked, capability.is_in(&word.grant)) {
            (false, _) => "the plugin does not ask for it".to_owned(),
            (true, false) => word.why_nothing(capability),
            (true, true) if gets.is_null() => word.why_none_left(capability, &narrowed_by),
            (true, true) => word.why_not_more(&narrowed_by),
        };
        let notes = if asked { notes(capability, &narrowed, config) } else { Vec::new() };
        Share { capability: capability.key(), asked, gets, origin: word.origin, narrowed_by, why, notes }
    };
    Capability::ALL.into_iter().map(share).collect()
}

/// What is left, or `null` for nothing.
fn gets(capability: Capability, narrowed: &Narrowed) -> Value {
    if capability == Capability::Http {
        let rules = |rules: &Vec<HttpRule>| rules.iter().map(HttpRule::to_value).collect::<Value>();
        return if narrowed.refuses_http() { Value::Null } else { narrowed.http.iter().map(rules).collect() };
    }
    let left = narrowed.grant.to_value().get(capability.key()).cloned().unwrap_or_default();
    let empty =
        left.as_array().is_some_and(Vec::is_empty) || left.as_object().is_some_and(|map| map.is_empty());
    if empty { Value::Null } else { left }
}

fn notes(capability: Capability, narrowed: &Narrowed, config: &Config) -> Vec<String> {
    match capability {
        Capability::Secrets => {
            let bound = |name: &String| match config.secrets.get(name) {
                Some(secret) if secret.hosts.is_empty() => {
                    format!("`{name}` is sent nowhere: its `hosts` are empty")
                }
                Some(secret) => {
                    let hosts: Vec<String> = secret.hosts.iter().map(ToString::to_string).collect();
                    format!("`{name}` may go to {}", hosts.join(", "))
                }
                None => format!("`{name}` is not configured"),
            };
            narrowed.grant.secrets.iter().flatten().map(bound).collect()
        }
        Capability::Databases => {
            let missing = |name: &&String| *name != MAIN && !config.databases.contains_key(*name);
            let names = narrowed.grant.databases.iter().flat_map(|databases| databases.keys());
            names.filter(missing).map(|name| format!("`{name}` is not configured")).collect()
        }
        Capability::Email if config.email.is_none() && narrowed.grant.email.is_some() => {
            vec!["no server for mail is configured".to_owned()]
        }
        _ => Vec::new(),
    }
}
