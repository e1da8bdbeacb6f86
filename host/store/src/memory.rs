//! Runs that live as long as the process.

mod blobs;
mod index;
mod signals;

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    fmt,
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use jiff::Timestamp;
use parking_lot::RwLock;
use stepcell_core::{Digest, Event, RunId, StepId};
use tokio::sync::broadcast;

use crate::{
    Append, Error, Hold, KeptEvent, Looker, Put, Query, RunStatus, RunSummary, Store, Taken, Timer,
    TimerChange, Waiter, digest, store::SUBSCRIBE_LAG_MAX,
};
use blobs::Blobs;
use index::Index;
use signals::Signals;

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

    fn queued(
        &self,
        after: Option<RunId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RunId, RunSummary)>, Error>> {
        ready(Ok(self.state.read().queued(after, limit))).boxed()
    }

    fn oldest_finished(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(Timestamp, RunId)>, Error>> {
        ready(Ok(self.state.read().index.oldest_finished(before, limit))).boxed()
    }

    fn finished_count(&self) -> BoxFuture<'_, Result<u64, Error>> {
        ready(Ok(self.state.read().index.finished_count())).boxed()
    }

    fn claimed(&self, key: &str) -> BoxFuture<'_, Result<Option<(RunId, Digest)>, Error>> {
        ready(Ok(self.state.read().claims.get(key).copied())).boxed()
    }

    fn due_timers(&self, now: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<Timer>, Error>> {
        let state = self.state.read();
        let due = state.timers.iter().take_while(|timer| timer.due <= now).take(limit).cloned().collect();
        ready(Ok(due)).boxed()
    }

    fn next_timer(&self) -> BoxFuture<'_, Result<Option<Timestamp>, Error>> {
        ready(Ok(self.state.read().timers.first().map(|timer| timer.due))).boxed()
    }

    fn waits(
        &self,
        name: &str,
        after: Option<(RunId, StepId)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Waiter>, Error>> {
        ready(Ok(self.state.read().signals.waits(name, after, limit))).boxed()
    }

    fn put_event(&self, event: KeptEvent) -> BoxFuture<'_, Result<bool, Error>> {
        let checked = event.check();
        ready(checked.map(|()| self.state.write().signals.put(event))).boxed()
    }

    fn kept_event(&self, name: &str, id: &str) -> BoxFuture<'_, Result<Option<KeptEvent>, Error>> {
        ready(Ok(self.state.read().signals.event(name, id))).boxed()
    }

    fn kept_events(
        &self,
        name: &str,
        looker: Looker,
        after: Option<(Timestamp, String)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<KeptEvent>, Error>> {
        ready(Ok(self.state.read().signals.kept(name, looker, after, limit))).boxed()
    }

    fn take_event(&self, name: &str, id: &str, by: Taken) -> BoxFuture<'_, Result<bool, Error>> {
        ready(Ok(self.state.write().signals.take(name, id, by))).boxed()
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

    fn blobs_of(
        &self,
        run: RunId,
        after: Option<Digest>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Digest>, Error>> {
        ready(Ok(self.state.read().blobs.of_run(run, after, limit))).boxed()
    }

    fn remove_run(&self, run: RunId) -> BoxFuture<'_, Result<bool, Error>> {
        ready(self.state.write().remove(run)).boxed()
    }

    fn remove_runs(&self, runs: Vec<RunId>) -> BoxFuture<'_, Result<u64, Error>> {
        let mut state = self.state.write();
        let removed = runs.into_iter().filter(|run| matches!(state.remove(*run), Ok(true))).count();
        ready(Ok(u64::try_from(removed).unwrap_or(u64::MAX))).boxed()
    }

    fn sweep(&self, now: Timestamp) -> BoxFuture<'_, Result<(), Error>> {
        let mut state = self.state.write();
        state.blobs.expire(now);
        state.signals.expire(now);
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
    index: Index,
    /// By key.
    claims: HashMap<String, (RunId, Digest)>,
    timers: BTreeSet<Timer>,
    signals: Signals,
    blobs: Blobs,
}

struct Run {
    /// The event of `seq` n is at n - 1.
    events: Vec<Event>,
    summary: RunSummary,
    key: Option<String>,
    /// Those of its timers that are set.
    timers: BTreeSet<Timer>,
}

impl State {
    fn append(&mut self, append: Append) -> Result<(), Error> {
        append.check()?;
        append.fits(self.runs.get(&append.run).map_or(0, |run| run.summary.seq))?;
        self.check_claim(&append)?;
        self.blobs.check(&append.blobs)?;
        let Append { run: id, events, summary, timers, waits, claim, blobs, .. } = append;
        self.index.change(id, self.runs.get(&id).map(|run| &run.summary), Some(&summary));
        let run = match self.runs.entry(id) {
            Entry::Occupied(run) => {
                let run = run.into_mut();
                run.events.extend(events);
                run.summary = summary;
                run
            }
            Entry::Vacant(new) => {
                let key = claim.as_ref().map(|claim| claim.key.clone());
                self.claims.extend(claim.map(|claim| (claim.key, (id, claim.body))));
                new.insert(Run { events, summary, key, timers: BTreeSet::new() })
            }
        };
        for change in timers {
            match change {
                TimerChange::Set { step, due } => {
                    let timer = Timer { due, run: id, step };
                    run.timers.insert(timer.clone());
                    self.timers.insert(timer);
                }
                TimerChange::Clear { step, due } => {
                    let timer = Timer { due, run: id, step };
                    run.timers.remove(&timer);
                    self.timers.remove(&timer);
                }
            }
        }
        self.signals.change(id, waits);
        self.blobs.hold(id, blobs);
        Ok(())
    }

    /// Fails where another run has the key.
    fn check_claim(&self, append: &Append) -> Result<(), Error> {
        let claimed = append.claim.as_ref().and_then(|claim| self.claims.get(&claim.key));
        claimed.map_or(Ok(()), |(run, body)| Err(Error::Claimed { run: *run, body: *body }))
    }

    fn remove(&mut self, id: RunId) -> Result<bool, Error> {
        let Some(run) = self.runs.get(&id) else { return Ok(false) };
        let status = run.summary.status;
        if !status.is_final() {
            return Err(Error::Unfinished { run: id, status });
        }
        self.index.change(id, Some(&run.summary), None);
        if let Some(key) = &run.key {
            self.claims.remove(key);
        }
        for timer in &run.timers {
            self.timers.remove(timer);
        }
        self.signals.release(id);
        self.runs.remove(&id);
        self.blobs.release(id);
        Ok(true)
    }

    fn events(&self, run: RunId, after: u64, limit: usize) -> Vec<Event> {
        let Some(run) = self.runs.get(&run) else { return Vec::new() };
        let skipped = usize::try_from(after).unwrap_or(usize::MAX);
        run.events.iter().skip(skipped).take(limit).cloned().collect()
    }

    fn list(&self, query: &Query) -> Vec<(RunId, RunSummary)> {
        let candidates = self.index.candidates(query);
        candidates
            .filter_map(|id| Some((id, &self.runs.get(&id)?.summary)))
            .filter(|(id, summary)| query.admits(*id, summary))
            .take(query.limit)
            .map(|(id, summary)| (id, summary.clone()))
            .collect()
    }

    fn unfinished(&self, after: Option<RunId>, limit: usize) -> Vec<RunId> {
        let mut found = Vec::new();
        for status in [RunStatus::Queued, RunStatus::Running] {
            found.extend(self.index.of_status(status, after).take(limit));
        }
        found.sort_unstable();
        found.truncate(limit);
        found
    }

    fn queued(&self, after: Option<RunId>, limit: usize) -> Vec<(RunId, RunSummary)> {
        let queued = self.index.of_status(RunStatus::Queued, after).take(limit);
        queued.filter_map(|id| Some((id, self.runs.get(&id)?.summary.clone()))).collect()
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
