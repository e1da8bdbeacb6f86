//! Waits and kept events in memory.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    ops::Bound,
};

use jiff::Timestamp;
use serde_json::Value;
use stepcell_core::{RunId, StepId};

use crate::{KeptEvent, Looker, Taken, WaitChange, Waiter};

#[derive(Default)]
pub(super) struct Signals {
    waits: HashMap<String, BTreeMap<(RunId, StepId), Option<Value>>>,
    /// The same, by run.
    of_runs: HashMap<RunId, BTreeSet<(String, StepId)>>,
    events: HashMap<String, Events>,
}

/// The events of one name.
#[derive(Default)]
struct Events {
    by_id: HashMap<String, KeptEvent>,
    by_age: BTreeSet<(Timestamp, String)>,
}

impl Signals {
    pub(super) fn change(&mut self, run: RunId, changes: Vec<WaitChange>) {
        for change in changes {
            match change {
                WaitChange::Set { name, step, matching } => {
                    self.of_runs.entry(run).or_default().insert((name.clone(), step.clone()));
                    self.waits.entry(name).or_default().insert((run, step), matching);
                }
                WaitChange::Clear { name, step } => {
                    let wait = (name, step);
                    if let Entry::Occupied(mut waits) = self.of_runs.entry(run) {
                        waits.get_mut().remove(&wait);
                        if waits.get().is_empty() {
                            waits.remove();
                        }
                    }
                    self.end(run, wait);
                }
            }
        }
    }

    /// The run is gone.
    pub(super) fn release(&mut self, run: RunId) {
        for wait in self.of_runs.remove(&run).unwrap_or_default() {
            self.end(run, wait);
        }
    }

    pub(super) fn waits(&self, name: &str, after: Option<(RunId, StepId)>, limit: usize) -> Vec<Waiter> {
        let Some(waits) = self.waits.get(name) else { return Vec::new() };
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = waits.range((after, Bound::Unbounded)).take(limit);
        found
            .map(|((run, step), matching)| Waiter {
                run: *run,
                step: step.clone(),
                matching: matching.clone(),
                large: false,
            })
            .collect()
    }

    /// Gives whether there was none of this name and id.
    pub(super) fn put(&mut self, event: KeptEvent) -> bool {
        let events = self.events.entry(event.name.clone()).or_default();
        if events.by_id.contains_key(&event.id) {
            return false;
        }
        events.by_age.insert((event.at, event.id.clone()));
        events.by_id.insert(event.id.clone(), event);
        true
    }

    pub(super) fn event(&self, name: &str, id: &str) -> Option<KeptEvent> {
        self.events.get(name)?.by_id.get(id).cloned()
    }

    pub(super) fn kept(
        &self,
        name: &str,
        looker: Looker,
        after: Option<(Timestamp, String)>,
        limit: usize,
    ) -> Vec<KeptEvent> {
        let Some(Events { by_id, by_age }) = self.events.get(name) else { return Vec::new() };
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let events = by_age.range((after, Bound::Unbounded)).filter_map(|(_, id)| by_id.get(id));
        events.filter(|event| looker.may_have(event.at, event.taken)).take(limit).cloned().collect()
    }

    pub(super) fn take(&mut self, name: &str, id: &str, by: Taken) -> bool {
        match self.events.get_mut(name).and_then(|events| events.by_id.get_mut(id)) {
            Some(event) if event.taken.admits(by) => {
                event.taken = by;
                true
            }
            _ => false,
        }
    }

    /// Forgets the events whose time is over.
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.events.retain(|_, Events { by_id, by_age }| {
            by_id.retain(|_, event| event.until > now);
            by_age.retain(|(_, id)| by_id.contains_key(id));
            !by_age.is_empty()
        });
    }

    fn end(&mut self, run: RunId, (name, step): (String, StepId)) {
        if let Entry::Occupied(mut waits) = self.waits.entry(name) {
            waits.get_mut().remove(&(run, step));
            if waits.get().is_empty() {
                waits.remove();
            }
        }
    }
}
