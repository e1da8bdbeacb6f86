//! The names of a template that are looked up in a run, by number.

use indexmap::IndexSet;

/// Made while compiling; an expression holds numbers, so that a run looks up each name once.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub(super) steps: IndexSet<String>,
    pub(super) extras: IndexSet<String>,
}

impl Slots {
    pub(super) fn step(&self, slot: usize) -> &str {
        self.steps.get_index(slot).map_or("", String::as_str)
    }

    pub(super) fn extra(&self, slot: usize) -> &str {
        self.extras.get_index(slot).map_or("", String::as_str)
    }
}
