//! What an engine is made of.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use stepcell_core::Budget;
use stepcell_store::SharedStore;

use crate::StepRunner;

/// Runs that are driven at a time unless the config says otherwise. Bounds the memory of their states.
pub const DEFAULT_ACTIVE_RUNS: usize = 10_000;
/// Runs that may wait for their turn unless the config says otherwise. Bounds the time until a run that is taken
/// starts, and the memory of the queue: some 50 bytes for each.
pub const DEFAULT_QUEUED_RUNS: usize = 100_000;
/// How long an event is kept unless its sender or the config says otherwise.
pub const DEFAULT_EVENTS_KEPT: Duration = Duration::from_secs(60 * 60);

/// What an engine is made of.
pub struct Options {
    pub store: SharedStore,
    pub runner: Arc<dyn StepRunner>,
    /// Where the runs are driven. Templates are computed there: a runtime of its own keeps them away from the
    /// threads that answer HTTP.
    pub runtime: tokio::runtime::Handle,
    pub admission: Admission,
    pub retention: Retention,
    /// How long an event is kept for runs that do not wait for it yet, where its sender does not say.
    pub events_kept: Duration,
    /// What one run may use at most; a flow can only narrow it.
    pub budget: Budget,
}

impl Options {
    /// With the default limits, driving on the runtime that this is called on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(store: SharedStore, runner: Arc<dyn StepRunner>) -> Self {
        Self {
            store,
            runner,
            runtime: tokio::runtime::Handle::current(),
            admission: Admission::default(),
            retention: Retention::default(),
            events_kept: DEFAULT_EVENTS_KEPT,
            budget: Budget::default(),
        }
    }
}

/// How much goes on at a time.
///
/// A run that is parked holds no place. When it is woken it goes on at once, also where all places are taken: what
/// waits for a place is only what has not begun.
#[derive(Debug, Clone)]
pub struct Admission {
    /// Runs that are driven at a time; more queue.
    pub active: usize,
    /// Runs that may queue; more are refused with [`Error::QueueFull`](crate::Error::QueueFull).
    pub queue: usize,
    /// Runs of a flow that are driven at a time, by its name. A flow can only narrow it.
    pub flows: BTreeMap<String, usize>,
    /// Executions of a step type that are under way at a time, in all runs together.
    pub steps: BTreeMap<String, usize>,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            active: DEFAULT_ACTIVE_RUNS,
            queue: DEFAULT_QUEUED_RUNS,
            flows: BTreeMap::new(),
            steps: BTreeMap::new(),
        }
    }
}

/// Which finished runs are removed. The default keeps them all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Those that ended longer ago than this.
    pub age: Option<Duration>,
    /// The oldest beyond this many.
    pub runs: Option<u64>,
}
