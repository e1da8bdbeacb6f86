//! Runs that live as long as the process.

mod blobs;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use jiff::Timestamp;
use parking_lot::RwLock;
use stepcell_core::{Digest, Event, RunId};
use tokio::sync::broadcast;

use crate::{
    Append, Error, Hold, Put, Query, RunStatus, RunSummary, Store, Timer, TimerChange, digest,
    store::SUBSCRIBE_LAG_MAX,
};
use blobs::Blobs;

/// The store for `stepcell run` and for tests: all of [`Store`] but the disk.
///
/// Needs no thread and no task; every future but that of a large blob is ready at once. It keeps all it is
/// given until it is removed.
pub struct MemoryStore {
    state: RwLock<State>,
    news: broadcast::Sender<RunId>,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self { state: RwLock::default(), news: broadcast::Sender::new(SUBSCRIBE_LAG_MAX) }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<(), Error>> {
        let run = append.run;
        let result = self.state.write().append(append);
        if result.is_ok() {
            // Nobody listening is no error.
            let _ = self.news.send(run);
        }
        ready(result).boxed()
    }

    fn summary(&self, run: RunId) -> BoxFuture<'_, Result<Option<RunSummary>, Error>> {
        let summary = self.state.read().runs.get(&run).map(|run| run.summary.clone());
        ready(Ok(summary)).boxed()
    }

    fn events(&self, run: RunId, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, Error>> {
        ready(Ok(self.state.read().events(run, after, limit))).boxed()
    }

    fn list(&self, query: Query) -> BoxFuture<'_, Result<Vec<(RunId, RunSummary)>, Error>> {
        ready(Ok(self.state.read().list(&query))).boxed()
    }

    fn unfinished(&self, after: Option<RunId>, limit: usize) -> BoxFuture<'_, Result<Vec<RunId>, Error>> {
        ready(Ok(self.state.read().unfinished(after, limit))).boxed()
    }

    fn due_timers(&self, now: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<Timer>, Error>> {
        let state = self.state.read();
        let due = state.timers.iter().take_while(|timer| timer.due <= now).take(limit).cloned().collect();
        ready(Ok(due)).boxed()
    }

    fn next_timer(&self) -> BoxFuture<'_, Result<Option<Timestamp>, Error>> {
        ready(Ok(self.state.read().timers.first().map(|timer| timer.due))).boxed()
    }

    fn put_blob(&self, bytes: Bytes, hold: Hold) -> BoxFuture<'_, Result<Put, Error>> {
        async move {
            let digest = digest::of(&bytes).await?;
            let is_new = self.state.write().blobs.put(digest, bytes, hold);
            Ok(Put { digest, is_new })
        }
        .boxed()
    }

    fn blob(&self, digest: Digest) -> BoxFuture<'_, Result<Option<Bytes>, Error>> {
        ready(Ok(self.state.read().blobs.get(digest).cloned())).boxed()
    }

    fn has_blob(&self, digest: Digest) -> BoxFuture<'_, Result<bool, Error>> {
        ready(Ok(self.state.read().blobs.get(digest).is_some())).boxed()
    }

    fn remove_run(&self, run: RunId) -> BoxFuture<'_, Result<bool, Error>> {
        ready(self.state.write().remove(run)).boxed()
    }

    fn sweep(&self, now: Timestamp) -> BoxFuture<'_, Result<(), Error>> {
        self.state.write().blobs.expire(now);
        ready(Ok(())).boxed()
    }

    fn subscribe(&self) -> broadcast::Receiver<RunId> {
        self.news.subscribe()
    }

    fn syncs(&self) -> u64 {
        0
    }
}

#[derive(Default)]
struct State {
    runs: HashMap<RunId, Run>,
    /// All runs, by age.
    ids: BTreeSet<RunId>,
    by_status: HashMap<RunStatus, BTreeSet<RunId>>,
    by_flow: HashMap<String, BTreeSet<RunId>>,
    timers: BTreeSet<Timer>,
    blobs: Blobs,
}

struct Run {
    /// The event of `seq` n is at n - 1.
    events: Vec<Event>,
    summary: RunSummary,
}

impl State {
    fn append(&mut self, append: Append) -> Result<(), Error> {
        append.check()?;
        append.fits(self.runs.get(&append.run).map_or(0, |run| run.summary.seq))?;
        self.blobs.check(&append.blobs)?;
        let Append { run: id, events, summary, timers, blobs, .. } = append;
        self.index(id, &summary);
        match self.runs.get_mut(&id) {
            Some(run) => {
                run.events.extend(events);
                run.summary = summary;
            }
            None => {
                self.runs.insert(id, Run { events, summary });
            }
        }
        for change in timers {
            match change {
                TimerChange::Set { step, due } => self.timers.insert(Timer { due, run: id, step }),
                TimerChange::Clear { step, due } => self.timers.remove(&Timer { due, run: id, step }),
            };
        }
        self.blobs.hold(id, blobs);
        Ok(())
    }

    fn remove(&mut self, id: RunId) -> Result<bool, Error> {
        let Some(run) = self.runs.get(&id) else { return Ok(false) };
        let RunSummary { flow, status, .. } = &run.summary;
        if !status.is_final() {
            return Err(Error::Unfinished { run: id, status: *status });
        }
        self.ids.remove(&id);
        if let Some(runs) = self.by_status.get_mut(status) {
            runs.remove(&id);
        }
        if let Some(runs) = self.by_flow.get_mut(flow) {
            runs.remove(&id);
            if runs.is_empty() {
                self.by_flow.remove(flow);
            }
        }
        self.timers.retain(|timer| timer.run != id);
        self.runs.remove(&id);
        self.blobs.release(id);
        Ok(true)
    }

    /// Brings the listings from the run's entry of before to `new`. Most appends change neither key.
    fn index(&mut self, id: RunId, new: &RunSummary) {
        let old = self.runs.get(&id).map(|run| &run.summary);
        if old.is_none() {
            self.ids.insert(id);
        }
        if old.is_none_or(|old| old.status != new.status) {
            if let Some(runs) = old.and_then(|old| self.by_status.get_mut(&old.status)) {
                runs.remove(&id);
            }
            self.by_status.entry(new.status).or_default().insert(id);
        }
        if old.is_none_or(|old| old.flow != new.flow) {
            if let Some(runs) = old.and_then(|old| self.by_flow.get_mut(&old.flow)) {
                runs.remove(&id);
            }
            self.by_flow.entry(new.flow.clone()).or_default().insert(id);
        }
    }

    fn events(&self, run: RunId, after: u64, limit: usize) -> Vec<Event> {
        let Some(run) = self.runs.get(&run) else { return Vec::new() };
        let skipped = usize::try_from(after).unwrap_or(usize::MAX);
        run.events.iter().skip(skipped).take(limit).cloned().collect()
    }

    fn list(&self, query: &Query) -> Vec<(RunId, RunSummary)> {
        let candidates = match (&query.flow, query.status) {
            (Some(flow), _) => self.by_flow.get(flow),
            (None, Some(status)) => self.by_status.get(&status),
            (None, None) => Some(&self.ids),
        };
        let Some(candidates) = candidates else { return Vec::new() };
        let older: Box<dyn Iterator<Item = &RunId>> = match query.before {
            Some(before) => Box::new(candidates.range(..before).rev()),
            None => Box::new(candidates.iter().rev()),
        };
        older
            .filter_map(|id| Some((*id, &self.runs.get(id)?.summary)))
            .filter(|(id, summary)| query.admits(*id, summary))
            .take(query.limit)
            .map(|(id, summary)| (id, summary.clone()))
            .collect()
    }

    fn unfinished(&self, after: Option<RunId>, limit: usize) -> Vec<RunId> {
        let mut found = Vec::new();
        for status in [RunStatus::Queued, RunStatus::Running] {
            let Some(runs) = self.by_status.get(&status) else { continue };
            found.extend(runs.iter().filter(|id| after.is_none_or(|after| **id > after)).take(limit));
        }
        found.sort_unstable();
        found.truncate(limit);
        found
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::suite::Fixture;

    async fn fresh() -> Fixture {
        Fixture::new(Arc::new(MemoryStore::new()))
    }

    crate::compliance!(fresh);

    #[test]
    fn an_append_is_done_when_it_returns() {
        let store = MemoryStore::new();
        let run = crate::suite::run(1);
        let done = store.append(crate::suite::first(run)).now_or_never();
        assert!(matches!(done, Some(Ok(()))), "{done:?}");
    }
}
