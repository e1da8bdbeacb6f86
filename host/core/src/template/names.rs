//! The names that a template uses.

use minijinja::machinery::ast;

use super::{References, expr::Root, slots::Slots};

/// Collects names while a template is compiled, and numbers those that are looked up in a run.
pub(super) struct Names<'o> {
    /// Extra names that stand for a value.
    roots: Vec<&'o str>,
    /// Where the text being compiled stands.
    pub(super) place: String,
    pub(super) slots: Slots,
    pub(super) references: References,
}

impl<'o> Names<'o> {
    pub(super) fn new(roots: &[&'o str]) -> Self {
        Self {
            roots: roots.to_vec(),
            place: String::new(),
            slots: Slots::default(),
            references: References::default(),
        }
    }

    /// Nothing collected yet, of the same names.
    pub(super) fn same_roots(&self) -> Self {
        Self { place: self.place.clone(), ..Self::new(&self.roots) }
    }

    pub(super) fn input(&mut self) {
        self.references.input = true;
    }

    pub(super) fn secret(&mut self, name: &str) {
        let places = self.references.secrets.entry(name.to_owned()).or_default();
        if places.last() != Some(&self.place) {
            places.push(self.place.clone());
        }
    }

    pub(super) fn step(&mut self, id: &str) -> Root {
        let places = self.references.steps.entry(id.to_owned()).or_default();
        if places.last() != Some(&self.place) {
            places.push(self.place.clone());
        }
        Root::Step(self.slots.steps.insert_full(id.to_owned()).0)
    }

    pub(super) fn extra(&mut self, name: &str) -> Root {
        if !self.roots.contains(&name) {
            self.references.unknown.push((name.to_owned(), self.place.clone()));
        }
        self.extra_slot(name)
    }

    pub(super) fn extra_slot(&mut self, name: &str) -> Root {
        Root::Extra(self.slots.extras.insert_full(name.to_owned()).0)
    }

    /// The name, where the expression is one whose entries must be named one by one.
    pub(super) fn closed_root<'t>(&self, tree: &'t ast::Expr<'_>) -> Option<&'t str> {
        match tree {
            ast::Expr::Var(name) if matches!(name.id, "steps" | "secret") => Some(name.id),
            _ => None,
        }
    }

    /// Whether a text names something of the run: what tells a template from code that has braces too.
    pub(super) fn any(&self) -> bool {
        let References { steps, input, secrets, .. } = &self.references;
        *input
            || !(steps.is_empty() && secrets.is_empty())
            || self.slots.extras.iter().any(|name| self.roots.contains(&name.as_str()))
    }
}
