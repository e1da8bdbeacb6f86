//! Reads across runs: listings and timers.
//!
//! Each reads a page of the tree and then corrects it by the overlay: what the batch that is not yet synced has
//! brought is taken out, what it has taken away is put back. A page that is short thereafter is followed by
//! another one.

use std::{cmp::Reverse, collections::BTreeMap, convert::identity, ops::Bound};

use jiff::Timestamp;
use serde::{
    Deserialize,
    de::value::{BorrowedStrDeserializer, Error as ValueError},
};
use sled::{IVec, Iter};
use stepcell_core::{RunId, StepId};
use stepcell_store::{Error, Query, RunStatus, RunSummary, Timer};

use super::{Reader, summary_in};
use crate::{error, keys};

/// What [`Store::unfinished`](stepcell_store::Store::unfinished) asks for. In the order in which a run has them,
/// so that one which moves on while this reads is found under at least one.
const UNFINISHED: [RunStatus; 2] = [RunStatus::Queued, RunStatus::Running];

impl Reader {
    pub(crate) fn list(&self, query: &Query) -> Result<Vec<(RunId, RunSummary)>, Error> {
        let prefix = keys::listing(query);
        self.listed(query, Reverse, query.before, query.limit, |from, limit| {
            let before = from.map_or(Bound::Unbounded, |Reverse(id)| Bound::Excluded(id));
            runs(self.index(&prefix, Bound::Unbounded, before).keys().rev().take(limit))
        })
    }

    pub(crate) fn unfinished(&self, after: Option<RunId>, limit: usize) -> Result<Vec<RunId>, Error> {
        paged(limit, after, |from: Option<RunId>, limit| {
            let mut page = Page::new(from, None);
            for status in UNFINISHED {
                let prefix = keys::listing(&Query { status: Some(status), ..Query::default() });
                let after = from.map_or(Bound::Unbounded, Bound::Excluded);
                let ids = runs(self.index(&prefix, after, Bound::Unbounded).keys().take(limit))?;
                page.join(ids.into_iter().map(|id| (id, id)).collect(), limit);
            }
            for (id, before) in &self.view.overlay().runs {
                let before = before.as_ref().filter(|before| UNFINISHED.contains(&before.status));
                page.correct(*id, before.map(|_| *id));
            }
            Ok(page)
        })
    }

    pub(crate) fn queued(
        &self,
        after: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<(RunId, RunSummary)>, Error> {
        let query = Query { status: Some(RunStatus::Queued), ..Query::default() };
        let prefix = keys::listing(&query);
        self.listed(&query, identity, after, limit, |from, limit| {
            let after = from.map_or(Bound::Unbounded, Bound::Excluded);
            runs(self.index(&prefix, after, Bound::Unbounded).keys().take(limit))
        })
    }

    pub(crate) fn oldest_finished(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, RunId)>, Error> {
        let (first, last) = keys::finished_before(before);
        paged(limit, None, |from: Option<(Timestamp, RunId)>, limit| {
            let start = from.map(|(at, run)| IVec::from(keys::finished(at, run).as_slice()));
            let start = start.map_or(Bound::Included(IVec::from(&first)), Bound::Excluded);
            let rows = self.tree.range((start, Bound::Excluded(IVec::from(last.as_slice()))));
            let rows: sled::Result<Vec<IVec>> = rows.keys().take(limit).collect();
            let rows = rows.map_err(|e| error::sled("list finished runs", e))?;
            let rows: Vec<_> = rows.iter().filter_map(|key| keys::read_finished(key)).collect();
            let mut page = Page::new(from, rows.last().copied().filter(|_| rows.len() == limit));
            let overlay = self.view.overlay();
            let synced = rows.into_iter().filter(|(_, run)| !overlay.runs.contains_key(run));
            page.rows.extend(synced.map(|row| (row, row)));
            for (run, summary) in &overlay.runs {
                let ended = summary.as_ref().and_then(RunSummary::ended_at).filter(|at| *at < before);
                if let Some(at) = ended {
                    page.correct((at, *run), Some((at, *run)));
                }
            }
            Ok(page)
        })
    }

    /// Runs that were removed, at most `limit`, and not all of what they had is cleared away.
    pub(crate) fn removed(&self, limit: usize) -> Result<Vec<RunId>, Error> {
        runs(self.tree.scan_prefix(keys::ALL_REMOVED).keys().take(limit))
    }

    pub(crate) fn due_timers(&self, now: Timestamp, limit: usize) -> Result<Vec<Timer>, Error> {
        let (first, last) = keys::timers_until(now);
        paged(limit, None, |from: Option<IVec>, limit| {
            let start = from.clone().map_or(Bound::Included(IVec::from(&first)), Bound::Excluded);
            let end = Bound::Included(IVec::from(last.as_slice()));
            let rows: Result<Vec<_>, _> = self.tree.range((start, end)).take(limit).collect();
            let rows = rows.map_err(|e| error::sled("read timers", e))?;
            let until = rows.last().map(|(key, _)| key.clone()).filter(|_| rows.len() == limit);
            let mut page = Page::new(from, until);
            for (key, step) in rows {
                let timer = read_timer(&key, &step)?;
                page.rows.insert(key, timer);
            }
            let overlay = self.view.overlay();
            for timer in &overlay.set {
                page.correct(timer_key(timer), None);
            }
            for timer in overlay.cleared.iter().take_while(|timer| timer.due <= now) {
                page.correct(timer_key(timer), Some(timer.clone()));
            }
            Ok(page)
        })
    }

    /// Whether the time of a blob is over, so that a sweep need not bother the committer for nothing.
    pub(crate) fn any_over(&self, now: Timestamp) -> Result<bool, Error> {
        let (first, last) = keys::over_at(now);
        let first = self.tree.range(first.as_slice()..=last.as_slice()).next();
        Ok(first.transpose().map_err(|e| error::sled("look for blobs whose time is over", e))?.is_some())
    }

    /// Due timers, among the first `limit`, of runs that are not there.
    pub(crate) fn orphans(&self, now: Timestamp, limit: usize) -> Result<Vec<Timer>, Error> {
        let mut orphans = Vec::new();
        for timer in self.due_timers(now, limit)? {
            if self.summary(timer.run)?.is_none() {
                orphans.push(timer);
            }
        }
        Ok(orphans)
    }

    /// Runs of a query with their summaries, in the order of `K`. `ids` gives those of the index past one of them.
    fn listed<K: Ord + Copy>(
        &self,
        query: &Query,
        order: fn(RunId) -> K,
        after: Option<RunId>,
        limit: usize,
        ids: impl Fn(Option<K>, usize) -> Result<Vec<RunId>, Error>,
    ) -> Result<Vec<(RunId, RunSummary)>, Error> {
        paged(limit, after.map(order), |from, limit| {
            let ids = ids(from, limit)?;
            let mut page = Page::new(from, ids.last().map(|id| order(*id)).filter(|_| ids.len() == limit));
            for id in ids {
                let summary = summary_in(&self.tree, id)?.filter(|summary| query.admits(id, summary));
                page.rows.extend(summary.map(|summary| (order(id), (id, summary))));
            }
            for (id, before) in &self.view.overlay().runs {
                let before = before.as_ref().filter(|before| query.admits(*id, before));
                page.correct(order(*id), before.map(|before| (*id, before.clone())));
            }
            Ok(page)
        })
    }

    /// The part of an index that lies between two runs.
    fn index(&self, prefix: &[u8], after: Bound<RunId>, before: Bound<RunId>) -> Iter {
        let key = |run: &RunId| [prefix, run.as_bytes()].concat();
        let end = match before.as_ref().map(key) {
            Bound::Unbounded => Bound::Included([prefix, &[u8::MAX; 16]].concat()),
            end => end,
        };
        let start = match after.as_ref().map(key) {
            Bound::Unbounded => Bound::Included(prefix.to_vec()),
            start => start,
        };
        self.tree.range((start, end))
    }
}

/// A stretch of a listing, sorted by `K`: what lies past `from`, up to `until` if there is more behind it.
pub(super) struct Page<K, T> {
    pub(super) rows: BTreeMap<K, T>,
    from: Option<K>,
    until: Option<K>,
}

impl<K: Ord, T> Page<K, T> {
    pub(super) fn new(from: Option<K>, until: Option<K>) -> Self {
        Self { rows: BTreeMap::new(), from, until }
    }

    /// Adds the rows of one more part of the tree, which was asked for `limit` of them. Of what is past the end of the
    /// shortest part not all is known, so that the page ends there.
    pub(super) fn join(&mut self, rows: Vec<(K, T)>, limit: usize)
    where
        K: Copy,
    {
        if let Some((last, _)) = rows.last().filter(|_| rows.len() == limit) {
            self.until = Some(self.until.map_or(*last, |until| until.min(*last)));
        }
        self.rows.extend(rows);
        let until = self.until;
        self.rows.retain(|key, _| until.is_none_or(|until| *key <= until));
    }

    /// Makes other rows of these, or none.
    pub(super) fn try_map<U, E>(
        self,
        mut row: impl FnMut(K, T) -> Result<Option<U>, E>,
    ) -> Result<Page<K, U>, E>
    where
        K: Copy,
    {
        let mut rows = BTreeMap::new();
        for (key, value) in self.rows {
            rows.extend(row(key, value)?.map(|value| (key, value)));
        }
        Ok(Page { rows, from: self.from, until: self.until })
    }

    /// Puts what was at `key` before the batch that is not yet synced, if that is within this page.
    pub(super) fn correct(&mut self, key: K, before: Option<T>) {
        self.rows.remove(&key);
        let past = self.from.as_ref().is_none_or(|from| *from < key);
        if let Some(before) = before.filter(|_| past && self.until.as_ref().is_none_or(|until| key <= *until))
        {
            self.rows.insert(key, before);
        }
    }
}

/// Joins pages until there are `limit` rows or no more pages. `page` gets where to go on and how many to read.
pub(super) fn paged<K, T>(
    limit: usize,
    mut from: Option<K>,
    mut page: impl FnMut(Option<K>, usize) -> Result<Page<K, T>, Error>,
) -> Result<Vec<T>, Error> {
    let mut rows = Vec::new();
    while rows.len() < limit {
        let next = page(from, limit - rows.len())?;
        rows.extend(next.rows.into_values());
        from = next.until;
        if from.is_none() {
            break;
        }
    }
    rows.truncate(limit);
    Ok(rows)
}

fn runs(keys: impl Iterator<Item = sled::Result<IVec>>) -> Result<Vec<RunId>, Error> {
    let ids = keys.map(|key| Ok(keys::indexed_run(&key?)));
    let ids: sled::Result<Vec<Option<RunId>>> = ids.collect();
    Ok(ids.map_err(|e| error::sled("list runs", e))?.into_iter().flatten().collect())
}

fn timer_key(timer: &Timer) -> IVec {
    IVec::from(keys::timer(timer.due, timer.run, timer.step.as_ref()).as_slice())
}

fn read_timer(key: &[u8], step: &[u8]) -> Result<Timer, Error> {
    let read = || {
        let (due, run) = keys::read_timer(key)?;
        let step = std::str::from_utf8(step).ok()?;
        // No step has an empty id: that is the run's own.
        let step = match step {
            "" => None,
            step => Some(StepId::deserialize(BorrowedStrDeserializer::<ValueError>::new(step)).ok()?),
        };
        Some(Timer { due, run, step })
    };
    read().ok_or_else(|| error::damaged("a timer", &"its key or its step can not be read"))
}
