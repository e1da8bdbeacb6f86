//! Which runs there are, by what listings ask for.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
};

use jiff::Timestamp;
use stepcell_core::RunId;

use crate::{Query, RunStatus, RunSummary};

#[derive(Default)]
pub(super) struct Index {
    /// All runs, by age.
    ids: BTreeSet<RunId>,
    by_status: HashMap<RunStatus, BTreeSet<RunId>>,
    by_flow: HashMap<String, BTreeSet<RunId>>,
    /// Those that have ended, by when.
    finished: BTreeSet<(Timestamp, RunId)>,
}

impl Index {
    /// Brings the listings from the run's entry of before to that of now; there is none of a run that is not
    /// there. Most changes are to neither key.
    pub(super) fn change(&mut self, id: RunId, before: Option<&RunSummary>, now: Option<&RunSummary>) {
        if let (Some(before), Some(now)) = (before, now)
            && before.status == now.status
            && before.flow == now.flow
            && before.finished_at == now.finished_at
        {
            return;
        }
        if let Some(before) = before {
            self.remove(id, before);
        }
        if let Some(now) = now {
            self.ids.insert(id);
            self.by_status.entry(now.status).or_default().insert(id);
            self.by_flow.entry(now.flow.clone()).or_default().insert(id);
            self.finished.extend(now.ended_at().map(|at| (at, id)));
        }
    }

    /// The runs among which those of the query are, newest first.
    pub(super) fn candidates(&self, query: &Query) -> Box<dyn Iterator<Item = RunId> + '_> {
        let candidates = match (&query.flow, query.status) {
            (Some(flow), _) => self.by_flow.get(flow),
            (None, Some(status)) => self.by_status.get(&status),
            (None, None) => Some(&self.ids),
        };
        let Some(candidates) = candidates else { return Box::new(std::iter::empty()) };
        match query.before {
            Some(before) => Box::new(candidates.range(..before).rev().copied()),
            None => Box::new(candidates.iter().rev().copied()),
        }
    }

    /// Runs of this status, oldest first, after `after`.
    pub(super) fn of_status(&self, status: RunStatus, after: Option<RunId>) -> impl Iterator<Item = RunId> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let runs = self.by_status.get(&status).into_iter();
        runs.flat_map(move |runs| runs.range((after, Bound::Unbounded))).copied()
    }

    pub(super) fn oldest_finished(&self, before: Timestamp, limit: usize) -> Vec<(Timestamp, RunId)> {
        self.finished.iter().take_while(|(at, _)| *at < before).take(limit).copied().collect()
    }

    pub(super) fn finished_count(&self) -> u64 {
        u64::try_from(self.finished.len()).unwrap_or(u64::MAX)
    }

    fn remove(&mut self, id: RunId, before: &RunSummary) {
        self.ids.remove(&id);
        if let Some(runs) = self.by_status.get_mut(&before.status) {
            runs.remove(&id);
        }
        if let Some(runs) = self.by_flow.get_mut(&before.flow) {
            runs.remove(&id);
            if runs.is_empty() {
                self.by_flow.remove(&before.flow);
            }
        }
        if let Some(at) = before.ended_at() {
            self.finished.remove(&(at, id));
        }
    }
}
