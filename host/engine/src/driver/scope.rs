//! The graphs that a run walks at the same time: the flow, and the bodies of the items that are under way.
//!
//! All of it is derived from plans and from the log, and never stored.

use std::{collections::HashMap, sync::Arc};

use stepcell_core::{
    Digest, Json, StepId,
    plan::{BodyKind, PlannedStep},
    run::RunState,
};
use tokio_util::sync::CancellationToken;

use crate::{
    prepared::{Bounds, Graph},
    progress::{Decision, Progress},
};

/// A graph that is being walked. Never used twice within the life of a driver, so that what comes too late for one
/// that is gone finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ScopeId(u32);

impl ScopeId {
    /// The flow itself.
    pub(crate) const ROOT: Self = Self(0);
}

/// A step of a graph that is being walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) scope: ScopeId,
    pub(crate) index: usize,
}

/// One graph that is being walked.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) graph: Arc<Graph>,
    pub(super) progress: Progress,
    /// The names of the graph's steps in the log.
    pub(super) ids: Arc<[StepId]>,
    /// What `input` stands for.
    pub(super) input: Json,
    /// Names what `input` stands for, within a flow that an item is: another one than the run's.
    pub(super) own_input: Option<Digest>,
    /// `None` for the flow itself.
    pub(super) item: Option<Item>,
    /// Cancels every attempt of it, and of the items below it.
    pub(super) cancel: CancellationToken,
}

/// The item of a fan-out that a graph runs for.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// The step that fans out.
    pub(super) of: At,
    pub(super) index: usize,
    /// `m[3]`.
    pub(super) id: StepId,
    /// What templates know besides `input` and `steps`.
    pub(super) variables: Vec<(&'static str, Json)>,
}

impl Scope {
    fn new(graph: Arc<Graph>, ids: Arc<[StepId]>, input: Json, cancel: CancellationToken) -> Self {
        Self { progress: Progress::new(&graph), graph, ids, input, own_input: None, item: None, cancel }
    }

    /// For item `index` of the fan-out `id`, which stands at `of`.
    pub(super) fn of_item(
        graph: Arc<Graph>,
        kind: BodyKind,
        (of, id, index): (At, &StepId, usize),
        value: Json,
        outer: &Scope,
    ) -> Self {
        let item = id.item(index, None);
        let ids = match kind {
            BodyKind::Step => Arc::from([item.clone()]),
            BodyKind::Steps | BodyKind::Flow => {
                graph.ids.iter().map(|inner| id.item(index, Some(inner))).collect()
            }
        };
        let (input, variables) = match kind {
            BodyKind::Flow => (value, Vec::new()),
            BodyKind::Step | BodyKind::Steps => {
                (outer.input.clone(), vec![("item", value), ("index", Json::from(serde_json::json!(index)))])
            }
        };
        let own_input = match kind {
            BodyKind::Flow => Some(Digest::of(input.text().as_bytes())),
            BodyKind::Step | BodyKind::Steps => outer.own_input,
        };
        let item = Some(Item { of, index, id: item, variables });
        Self { item, own_input, ..Self::new(graph, ids, input, outer.cancel.child_token()) }
    }

    pub(super) fn planned(&self, index: usize) -> Option<&PlannedStep> {
        self.graph.steps.get(index)
    }

    pub(super) fn bounds(&self, index: usize) -> Option<&Bounds> {
        self.graph.bounds.get(index)
    }

    /// Whether its steps see what is outside: a flow within a flow does not.
    pub(super) fn sees_outside(&self) -> bool {
        matches!(self.graph.kind, Some(BodyKind::Step | BodyKind::Steps))
    }

    /// Whether the item is the one step of the graph, and has no events besides that step's.
    pub(super) fn is_one_step(&self) -> bool {
        self.graph.kind == Some(BodyKind::Step)
    }

    /// A step has ended with an output; gives what is to be decided because of it.
    pub(super) fn ran(&mut self, index: usize, port: Option<String>) -> Vec<Decision> {
        self.progress.ran(&self.graph, index, port)
    }

    /// A step was skipped; gives what is to be decided because of it.
    pub(super) fn skipped(&mut self, index: usize) -> Vec<Decision> {
        self.progress.skipped(&self.graph, index)
    }

    /// Brings the graph to where the log is; gives what is to be decided.
    pub(super) fn replay(&mut self, state: &RunState) -> Vec<Decision> {
        self.progress.replay(&self.graph, &self.ids, state)
    }
}

/// All graphs that are being walked.
#[derive(Debug)]
pub(super) struct Scopes {
    open: HashMap<ScopeId, Scope>,
    next: u32,
    /// Of all items that are open.
    steps: usize,
}

impl Scopes {
    /// With the flow itself.
    pub(super) fn new(graph: Arc<Graph>, input: Json, cancel: CancellationToken) -> Self {
        let ids = graph.ids.clone();
        let root = Scope::new(graph, ids, input, cancel);
        Self { open: HashMap::from([(ScopeId::ROOT, root)]), next: 1, steps: 0 }
    }

    pub(super) fn get(&self, id: ScopeId) -> Option<&Scope> {
        self.open.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: ScopeId) -> Option<&mut Scope> {
        self.open.get_mut(&id)
    }

    pub(super) fn add(&mut self, scope: Scope) -> ScopeId {
        let id = ScopeId(self.next);
        self.next = self.next.wrapping_add(1).max(1);
        self.steps += scope.ids.len();
        self.open.insert(id, scope);
        id
    }

    /// Takes one out whose item is over. What is under way in it is cancelled.
    pub(super) fn close(&mut self, id: ScopeId) -> Option<Scope> {
        let scope = self.open.remove(&id)?;
        self.steps = self.steps.saturating_sub(scope.ids.len());
        scope.cancel.cancel();
        Some(scope)
    }

    /// How many steps all items that are open have.
    pub(super) fn steps_of_items(&self) -> usize {
        self.steps
    }

    pub(super) fn contains(&self, id: ScopeId) -> bool {
        self.open.contains_key(&id)
    }

    /// The name of a step in the log.
    pub(super) fn step_id(&self, at: At) -> Option<&StepId> {
        self.get(at.scope)?.ids.get(at.index)
    }

    pub(super) fn planned(&self, at: At) -> Option<&PlannedStep> {
        self.get(at.scope)?.planned(at.index)
    }

    /// The step of the flow itself that a step stands in, or is.
    pub(super) fn outermost(&self, at: At) -> At {
        let outwards = std::iter::successors(Some(at), |at| Some(self.get(at.scope)?.item.as_ref()?.of));
        outwards.last().unwrap_or(at)
    }

    /// The name in the log of what `steps.NAME` means in a graph: one of its own steps, else one of those outside that
    /// it sees.
    pub(super) fn named(&self, mut scope: ScopeId, name: &str) -> Option<&StepId> {
        loop {
            let within = self.get(scope)?;
            // The one step of a body has no name of its own.
            let own = within.graph.index(name).filter(|_| !within.is_one_step());
            if let Some(index) = own {
                return within.ids.get(index);
            }
            scope = within.item.as_ref().filter(|_| within.sees_outside())?.of.scope;
        }
    }

    /// A graph and those outside that it sees, the innermost first.
    pub(super) fn seen_from(&self, scope: ScopeId) -> impl Iterator<Item = &Scope> {
        std::iter::successors(self.get(scope), |within| {
            self.get(within.item.as_ref().filter(|_| within.sees_outside())?.of.scope)
        })
    }

    /// What comes before a step: its ancestors in its own graph, and those of the fan-outs around it. Each with the name
    /// that templates know it by and its name in the log.
    pub(super) fn ancestors(&self, at: At) -> impl Iterator<Item = (&StepId, &StepId)> {
        let outwards = std::iter::successors(Some(at), |at| {
            let within = self.get(at.scope)?;
            Some(within.item.as_ref().filter(|_| within.sees_outside())?.of)
        });
        outwards.flat_map(|at| {
            let scope = self.get(at.scope);
            let ancestors = scope.and_then(|scope| Some(scope.planned(at.index)?.ancestors.iter()));
            ancestors.into_iter().flatten().filter_map(move |index| {
                let scope = scope?;
                Some((scope.graph.ids.get(index)?, scope.ids.get(index)?))
            })
        })
    }
}
