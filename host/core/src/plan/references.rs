//! The templates of a flow, and what they refer to.

use std::{collections::BTreeMap, sync::Arc};

use super::{Builder, Need, NeedKind};
use crate::{
    Template,
    catalog::Provider,
    flow::Step,
    parse::join,
    problem::{listed, nearest, shorten},
    template::{Options, TemplateProblem},
};

const ROOTS: [&str; 3] = ["input", "steps", "secret"];

impl Builder<'_> {
    /// Compiles a step's config and checks it, as far as it is known without a run.
    pub(super) fn config(
        &mut self,
        index: usize,
        step: &Step,
        path: &str,
        providers: &[Arc<Provider>],
    ) -> Option<Template> {
        let path = join(path, "config");
        if self.thorough {
            self.config_fits(step, &path, providers);
        }
        let describes = || providers.iter().map(|provider| &provider.describe);
        let literal = describes().flat_map(|describe| describe.literal.clone()).collect();
        let mut deferred: Vec<String> = describes().flat_map(|describe| describe.deferred.clone()).collect();
        deferred.dedup();
        let options = Options { literal: &literal, deferred: &deferred, roots: &[] };
        let template = self.compiled(Template::compile(&step.config, &options), &path, Some(index))?;
        self.known_secrets(&template, &path);
        Some(template)
    }

    pub(super) fn condition(&mut self, index: usize, step: &Step, path: &str) -> Option<Template> {
        let text = step.condition.as_ref()?;
        let path = join(path, "if");
        let template = self.compiled(Template::compile_condition(text), &path, Some(index))?;
        self.no_secrets(&template, &path);
        Some(template)
    }

    pub(super) fn output(&mut self) -> Option<Template> {
        let output = self.parsed.flow.output.clone()?;
        let options = Options { literal: &BTreeMap::new(), deferred: &[], roots: &[] };
        let template = self.compiled(Template::compile(&output, &options), "output", None)?;
        self.no_secrets(&template, "output");
        Some(template)
    }

    /// The steps whose output a template of the step at `index` reads.
    pub(super) fn needs_of(&self, template: &Template, index: usize) -> Vec<Need> {
        let references = template.references();
        let ids = references.steps.keys().chain(references.deferred.keys());
        let need = |step: usize| Need { step, kind: NeedKind::Reference, port: None };
        ids.filter_map(|id| self.by_id.get(id)).copied().filter(|step| *step != index).map(need).collect()
    }

    /// The step that a name means, for the step at `index`; reports a name that means none.
    pub(super) fn known_step(&mut self, id: &str, path: &str, index: usize) -> Option<usize> {
        match self.by_id.get(id).copied() {
            Some(found) if found == index => {
                self.report(path, "self_reference", format!("step `{id}` refers to itself"));
                None
            }
            Some(found) => Some(found),
            None => {
                self.unknown_step(id, path);
                None
            }
        }
    }

    fn compiled(
        &mut self,
        result: Result<Template, Vec<TemplateProblem>>,
        path: &str,
        index: Option<usize>,
    ) -> Option<Template> {
        match result {
            Ok(template) => {
                self.check_references(&template, path, index);
                Some(template)
            }
            Err(problems) => {
                for TemplateProblem { path: inner, code, message, hint } in problems {
                    self.report_with(&join(path, &inner), code, message, || hint);
                }
                None
            }
        }
    }

    fn check_references(&mut self, template: &Template, path: &str, index: Option<usize>) {
        let references = template.references();
        for (id, places) in &references.steps {
            let known = self.by_id.get(id).copied();
            if known.is_some() && known != index {
                continue;
            }
            for place in places {
                let place = join(path, place);
                match index {
                    Some(index) => _ = self.known_step(id, &place, index),
                    None => self.unknown_step(id, &place),
                }
            }
        }
        for (id, places) in &references.deferred {
            if self.by_id.get(id).copied().is_some_and(|known| Some(known) == index) {
                let place = places.first().map_or_else(|| path.to_owned(), |place| join(path, place));
                self.report(&place, "self_reference", format!("step `{id}` refers to itself"));
            }
        }
        for (name, place) in &references.unknown {
            self.unknown_root(name, &join(path, place));
        }
    }

    fn unknown_step(&mut self, id: &str, path: &str) {
        // A step that is there, and has mistakes of its own, was reported already.
        if self.parsed.unread.iter().any(|unread| unread == id) {
            return;
        }
        let ids: Vec<_> = self.parsed.flow.steps.keys().cloned().collect();
        let message = format!("there is no step `{}`", shorten(id));
        self.report_with(path, "unknown_step", message, || {
            let ids = || ids.iter().map(|id| id.as_str());
            Some(match nearest(id, ids()) {
                Some(near) => format!("did you mean `{near}`? there are: {}", listed(ids())),
                None => format!("there are: {}", listed(ids())),
            })
        });
    }

    fn unknown_root(&mut self, name: &str, path: &str) {
        let is_step = self.by_id.contains_key(name);
        let message = format!("`{}` stands for nothing here", shorten(name));
        self.report_with(path, "unknown_name", message, || {
            Some(match nearest(name, ROOTS) {
                _ if is_step => format!("write `steps.{name}` for the output of that step"),
                _ if matches!(name, "item" | "index") => {
                    format!("`{name}` is known in the body of `for_each` only")
                }
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}; put a text in quotes", listed(ROOTS)),
            })
        });
    }
}
