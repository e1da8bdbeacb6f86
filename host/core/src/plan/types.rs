//! The step types of a flow, and the plugins that may serve each step.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{Builder, Need, NeedKind, config::holds_template, references::Found};
use crate::{
    StepType,
    catalog::{Provider, default_of},
    flow::{After, Step},
    parse::join,
    problem::{listed, nearest, shorten},
};

/// Where step types are looked up.
pub(super) struct Types<'t> {
    pub(super) find: &'t dyn Fn(&str) -> Option<&'t StepType>,
    pub(super) names: Vec<&'t str>,
    pub(super) folders: &'t [String],
    pub(super) loading: &'t [String],
    /// They are those that a run pinned: others may exist and are not for it.
    pub(super) pinned: bool,
}

impl<'t> Types<'t> {
    /// The types that a run pinned. `find` looks them up.
    pub(super) fn pinned(
        find: &'t dyn Fn(&str) -> Option<&'t StepType>,
        types: &'t BTreeMap<String, StepType>,
    ) -> Self {
        let names = types.keys().map(String::as_str).collect();
        Self { find, names, folders: &[], loading: &[], pinned: true }
    }
}

impl Builder<'_, '_> {
    /// The plugins that may serve a step: the one that routing takes, or several where a template decides.
    pub(super) fn providers(&mut self, step: &Step, path: &str) -> Vec<Arc<Provider>> {
        // A type that could not be read was reported already.
        if step.kind.is_empty() {
            return Vec::new();
        }
        let Some(kind) = (self.shared.types.find)(&step.kind) else {
            self.unknown_type(&step.kind, path);
            return Vec::new();
        };
        let found = kind.candidates(&step.config);
        if found.is_empty() && !kind.providers.is_empty() {
            self.no_provider(kind, step, path);
        }
        found
    }

    fn unknown_type(&mut self, kind: &str, path: &str) {
        let folders = self.shared.types.folders;
        let message = match folders {
            [] => format!("unknown step type `{}`", shorten(kind)),
            folders => format!(
                "unknown step type `{}`: no plugin in {} provides it",
                shorten(kind),
                listed(folders.iter().map(String::as_str))
            ),
        };
        let names = self.shared.types.names.clone();
        let (loading, pinned) = (self.shared.types.loading, self.shared.types.pinned);
        self.report_with(&join(path, "type"), "unknown_type", message, || {
            let near = || nearest(kind, names.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            Some(still_loading(loading).or_else(near).unwrap_or_else(|| match pinned {
                true => format!("a run has the types that its flow names: {}", listed(names)),
                false => format!("there are: {}", listed(names)),
            }))
        });
    }

    fn no_provider(&mut self, kind: &StepType, step: &Step, path: &str) {
        let keys = kind.providers.iter().flat_map(|provider| provider.describe.matches.keys());
        let given = |key: &&String| step.config.get(key.as_str()).is_some_and(|value| !holds_template(value));
        let Some(key) = keys.clone().find(given).or_else(|| keys.clone().next()) else { return };
        let value = step.config.get(key).map(|value| shorten(&plain(value)));
        let served: Vec<String> = kind
            .providers
            .iter()
            .filter_map(|provider| provider.describe.matches.get(key))
            .map(plain)
            .collect();
        let message = match &value {
            Some(value) => format!("no plugin serves `{}` with `{key}: {value}`", step.kind),
            None => format!("no plugin serves `{}` without `{key}`", step.kind),
        };
        let loading = self.shared.types.loading;
        self.report_with(&join(path, &format!("config.{key}")), "no_provider", message, || {
            let served = || served.iter().map(String::as_str);
            let near = || nearest(value.as_deref()?, served()).map(|near| format!("did you mean `{near}`?"));
            let all = || format!("there are: {}", listed(served()));
            Some(still_loading(loading).or_else(near).unwrap_or_else(all))
        });
    }

    /// The needs that `after` names.
    pub(super) fn after(&mut self, index: usize, step: &Step, path: &str) -> Vec<Need> {
        let mut needs = Vec::new();
        let mut outside = Vec::new();
        for (position, after) in step.after.iter().enumerate() {
            let path = self.after_path(path, position);
            let needed = match self.known_step(after.step.as_str(), &path, Some(index)) {
                Some(Found::Here(needed)) => needed,
                Some(Found::Outside) => {
                    outside.push((after, path));
                    continue;
                }
                None => continue,
            };
            if let Some(port) = &after.port {
                self.port(needed, port, &path);
            }
            needs.push(Need { step: needed, kind: NeedKind::After, port: after.port.clone() });
        }
        for (after, path) in outside {
            self.after_outside(after, &path, !needs.is_empty());
        }
        needs
    }

    /// A step outside of the body is over when the body starts. That is no condition, and among others it would be
    /// one that always holds.
    fn after_outside(&mut self, after: &After, path: &str, mixed: bool) {
        let id = &after.step;
        let what = match &after.port {
            Some(port) => format!("`{id}.{port}` is a port of a step outside of this body"),
            None if mixed => {
                format!("`{id}` is over before this body starts, so that this list always holds")
            }
            None => return,
        };
        self.report_with(path, "after_outside", what, || {
            Some("put it into the `after` of the step that has this body".to_owned())
        });
    }

    /// `after` may be one entry or a list of them.
    fn after_path(&self, path: &str, position: usize) -> String {
        let list = join(path, "after");
        let entry = format!("{list}[{position}]");
        if self.part.locate(&entry) == self.part.locate(&list) { list } else { entry }
    }

    /// A port must be one of those that the step's plugin has.
    fn port(&mut self, needed: usize, port: &str, path: &str) {
        let Some(step) = self.decoded.flow.steps.get_index(needed).map(|(_, step)| step) else { return };
        let Some(kind) = (self.shared.types.find)(&step.kind).filter(|_| self.shared.thorough) else {
            return;
        };
        let providers = kind.candidates(&step.config);
        let ports: Vec<&str> =
            providers.iter().flat_map(|provider| &provider.describe.ports).map(String::as_str).collect();
        if providers.is_empty() || ports.contains(&port) {
            return;
        }
        let id = step.id.clone();
        if ports.is_empty() {
            let message = format!("step `{id}` has no ports: `{}` does not branch", step.kind);
            self.report_with(path, "unknown_port", message, || Some(format!("write `{id}`")));
            return;
        }
        let message = format!("step `{id}` has no port `{}`", shorten(port));
        self.report_with(path, "unknown_port", message, || {
            Some(match nearest(port, ports.iter().copied()) {
                Some(near) => format!("did you mean `{id}.{near}`?"),
                None => format!("its ports are: {}", listed(ports.iter().copied())),
            })
        });
    }
}

impl StepType {
    /// As [`route`](Self::route), for a config whose templates are not resolved: a key whose value is a template
    /// may turn out as any plugin's.
    pub fn candidates(&self, config: &Value) -> Vec<Arc<Provider>> {
        let fits = |provider: &&Arc<Provider>| {
            provider.describe.matches.iter().all(|(key, wanted)| match config.get(key) {
                Some(value) => value == wanted || holds_template(value),
                None => default_of(&provider.describe.config_schema, key) == Some(wanted),
            })
        };
        let certain = |provider: &Arc<Provider>| {
            provider.describe.matches.keys().all(|key| !config.get(key).is_some_and(holds_template))
        };
        let mut found = Vec::new();
        for provider in self.providers.iter().filter(fits) {
            found.push(provider.clone());
            // Routing takes the first that fits: what comes after one that is certain is never asked.
            if certain(provider) {
                break;
            }
        }
        found
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Why a plugin may be missing that is there.
fn still_loading(files: &[String]) -> Option<String> {
    let list = || listed(files.iter().map(String::as_str));
    (!files.is_empty())
        .then(|| format!("these files are still being loaded, try again in a while: {}", list()))
}
