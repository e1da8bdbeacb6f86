//! The templates of a flow, and what they refer to.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Builder, Need, NeedKind,
    body::deferred,
    outside::{Names, Outside, Place},
};
use crate::{
    Template,
    catalog::Provider,
    flow::Step,
    parse::join,
    problem::{listed, nearest, shorten},
    template::{Options, TemplateProblem},
};

const ROOTS: [&str; 3] = ["input", "steps", "secret"];

/// Where a step is that something names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Here(usize),
    /// In a graph around this one: it is over when this one starts.
    Outside,
}

impl Builder<'_, '_> {
    /// Compiles a step's config and checks it, as far as it is known without a run.
    pub(super) fn config(
        &mut self,
        index: usize,
        step: &Step,
        path: &str,
        providers: &[Arc<Provider>],
    ) -> Option<Template> {
        let path = join(path, "config");
        if self.shared.thorough {
            self.config_fits(step, &path, providers);
        }
        let literal = providers.iter().flat_map(|provider| provider.describe.literal.clone()).collect();
        let options = Options { literal: &literal, deferred: &deferred(providers), roots: self.roots() };
        let template = self.compiled(Template::compile(&step.config, &options), &path, Some(index))?;
        self.known_secrets(&template, &path);
        Some(template)
    }

    pub(super) fn condition(&mut self, index: usize, step: &Step, path: &str) -> Option<Template> {
        let text = step.condition.as_ref()?;
        let path = join(path, "if");
        let template = self.compiled(Template::compile_condition(text, self.roots()), &path, Some(index))?;
        self.no_secrets(&template, &path);
        Some(template)
    }

    pub(super) fn output(&mut self) -> Option<Template> {
        let output = self.decoded.flow.output.clone()?;
        let template = self.compiled(Template::compile(&output, &Options::default()), "output", None)?;
        self.no_secrets(&template, "output");
        Some(template)
    }

    /// The steps of this graph whose output a template of the step at `index` reads.
    pub(super) fn needs_of(&self, template: &Template, index: usize) -> Vec<Need> {
        let ids = template.references().steps.keys();
        ids.filter_map(|id| self.own(id)).filter(|step| *step != index).map(reference).collect()
    }

    /// The steps of this graph that a body of the step at `index` names; the others are outside of this graph too.
    pub(super) fn needs_of_body(&mut self, index: usize, named: BTreeMap<String, Place>) -> Vec<Need> {
        let mut needs = Vec::new();
        for (id, place) in named {
            match self.own(&id) {
                Some(own) if own == index => {
                    let message = format!("step `{id}` is named in its own body");
                    let hint = "it has an output only when all its items are done";
                    self.shared.problems.add(place.path, place.at, "self_reference", message).hint(hint);
                }
                Some(other) => needs.push(reference(other)),
                None => _ = self.outward.steps.entry(id).or_insert(place),
            }
        }
        needs
    }

    /// The step that a name means, for the step at `index`; reports a name that means none.
    pub(super) fn known_step(&mut self, id: &str, path: &str, index: Option<usize>) -> Option<Found> {
        match self.own(id) {
            Some(own) if Some(own) == index => {
                self.report(path, "self_reference", format!("step `{id}` refers to itself"));
                None
            }
            Some(own) => Some(Found::Here(own)),
            None if self.outside.is_some_and(|outside| outside.has(id)) => {
                let place = || Place { path: self.part.full_path(path), at: self.part.locate(path) };
                self.outward.steps.entry(id.to_owned()).or_insert_with(place);
                Some(Found::Outside)
            }
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
            for place in places {
                if self.known_step(id, &join(path, place), index).is_some() {
                    break;
                }
            }
        }
        for (name, place) in &references.unknown {
            self.unknown_root(name, &join(path, place));
        }
    }

    fn unknown_step(&mut self, id: &str, path: &str) {
        // A step that is there, and has mistakes of its own, was reported already.
        let unread = self.decoded.unread.iter().any(|unread| unread == id);
        if unread || self.outside.is_some_and(|outside| outside.has_unread(id)) {
            return;
        }
        let Self { part, decoded, shared, outside, .. } = self;
        let message = format!("there is no step `{}`", shorten(id));
        let ids = || Names::of(decoded).ids().chain(outside.iter().flat_map(Outside::ids));
        let hint = || match nearest(id, ids()) {
            _ if outside.is_some_and(|outside| outside.hides(id)) => {
                "a flow within a step sees nothing outside of it but its `input`".to_owned()
            }
            Some(near) => format!("did you mean `{near}`? there are: {}", listed(ids())),
            None => format!("there are: {}", listed(ids())),
        };
        shared
            .problems
            .add(part.full_path(path), part.locate(path), "unknown_step", message)
            .hint_with(|| Some(hint()));
    }

    fn unknown_root(&mut self, name: &str, path: &str) {
        let is_step = self.own(name).is_some() || self.outside.is_some_and(|outside| outside.has(name));
        let (roots, within) = (self.roots(), self.outside.is_some());
        let message = format!("`{}` stands for nothing here", shorten(name));
        self.report_with(path, "unknown_name", message, || {
            let roots = || ROOTS.into_iter().chain(roots.iter().copied());
            Some(match nearest(name, roots()) {
                _ if is_step => format!("write `steps.{name}` for the output of that step"),
                _ if name == "item" && within => "the item is the `input` of a flow within a step".to_owned(),
                _ if matches!(name, "item" | "index") => {
                    format!("`{name}` is known in the body of `for_each` only")
                }
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}; put a text in quotes", listed(roots())),
            })
        });
    }
}

fn reference(step: usize) -> Need {
    Need { step, kind: NeedKind::Reference, port: None }
}
