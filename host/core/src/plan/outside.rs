//! What a body sees of the graphs around it, and what it tells them.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use crate::{
    StepId,
    flow::{BodyKind, Step},
    parse::Decoded,
    problem::Position,
};

/// The graphs around a body, from the nearest outwards.
#[derive(Clone, Copy)]
pub(super) struct Outside<'b> {
    pub(super) names: Names<'b>,
    /// Ids of steps that could not be read.
    pub(super) unread: &'b [String],
    /// Whether the body may name the steps; one that is a flow may not.
    pub(super) open: bool,
    pub(super) around: Option<&'b Outside<'b>>,
}

/// The ids of a graph.
#[derive(Clone, Copy)]
pub(super) enum Names<'b> {
    Graph(&'b IndexMap<StepId, Step>),
    Set(&'b BTreeSet<&'b str>),
}

impl<'b> Outside<'b> {
    /// Whether the body may name this step.
    pub(super) fn has(&self, id: &str) -> bool {
        self.visible().any(|graph| graph.names.has(id))
    }

    /// Whether there may be such a step that could not be read.
    pub(super) fn has_unread(&self, id: &str) -> bool {
        self.visible().any(|graph| graph.unread.iter().any(|unread| unread == id))
    }

    /// Whether there is such a step just outside of a body that may not name it.
    pub(super) fn hides(&self, id: &str) -> bool {
        !self.open && Outside { open: true, ..*self }.has(id)
    }

    /// The ids of all steps that the body may name, the nearest first.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.visible().flat_map(|graph| graph.names.ids())
    }

    /// Outwards up to the graph of a flow, which sees nothing of what is around it.
    fn visible(&self) -> impl Iterator<Item = &Outside<'b>> {
        std::iter::successors(self.open.then_some(self), |graph| graph.around.filter(|around| around.open))
    }
}

impl<'b> Names<'b> {
    /// The steps that can be named; the only step of a body can not.
    pub(super) fn of(decoded: &'b Decoded) -> Self {
        match decoded.kind {
            BodyKind::Step => Self::Set(const { &BTreeSet::new() }),
            BodyKind::Steps | BodyKind::Flow => Self::Graph(&decoded.flow.steps),
        }
    }

    fn has(&self, id: &str) -> bool {
        match self {
            Self::Graph(steps) => steps.contains_key(id),
            Self::Set(ids) => ids.contains(id),
        }
    }

    pub(super) fn ids(self) -> Box<dyn Iterator<Item = &'b str> + 'b> {
        match self {
            Self::Graph(steps) => Box::new(steps.keys().map(StepId::as_str)),
            Self::Set(ids) => Box::new(ids.iter().copied()),
        }
    }
}

/// What a body tells the graph around it.
#[derive(Default)]
pub(super) struct Outward {
    /// The steps outside of it that it names, each with the first place where it does.
    pub(super) steps: BTreeMap<String, Place>,
    /// The steps outside of it that its code names.
    pub(super) code: Vec<Named>,
}

/// Where something stands in the whole text.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) at: Position,
}

/// A step that code names.
pub(super) struct Named {
    pub(super) id: String,
    pub(super) place: Place,
}
