//! States of long runs, kept for those who look at them.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use stepcell_core::{
    Event, EventKind, RunId,
    event::{Payload, Wait},
    run::RunState,
};

use super::{EVENTS_PER_READ, apply, begun};
use crate::{Error, engine::Inner};

/// A log that is long enough for its state to be kept: folding this much takes some ten milliseconds.
const LONG_LOG: u64 = 1_000;
/// What all states that are kept may take together, as [`weight`] has it; one of any size may be kept. Bounds memory.
const MAX_FOLDED_BYTES: usize = 128 << 20;
/// What an event leaves in a state beside the values that it brings: its share of a step's entry.
const EVENT_BYTES: usize = 512;

/// States of long runs that were shown last, the newest at the back.
#[derive(Default)]
pub(crate) struct Folds(Mutex<VecDeque<Fold>>);

/// A run's state, as far as its log was read.
#[derive(Clone)]
struct Fold {
    run: RunId,
    state: Arc<RunState>,
    /// About what it takes in memory.
    bytes: usize,
}

/// A run's state for those who only look at it. That of a long run is kept: its pages of items, and the next look, read
/// only what has come since.
pub(crate) async fn seen(engine: &Inner, run: RunId) -> Result<Arc<RunState>, Error> {
    let mut known = engine.folds.get(run);
    // A run that was removed has no log any more, whatever is known of it.
    if known.is_some() && engine.store.summary(run).await?.is_none() {
        engine.folds.forget(run);
        return Err(Error::NoSuchRun(run));
    }
    loop {
        let after = known.as_ref().map_or(0, |fold| fold.state.seq);
        let events = engine.store.events(run, after, EVENTS_PER_READ).await?;
        let fold = match known {
            Some(fold) if events.is_empty() => return Ok(fold.state),
            Some(fold) => engine.folds.take(fold).followed_by(&events)?,
            None => Fold::begun(run, &events)?,
        };
        engine.folds.put(&fold);
        if events.len() < EVENTS_PER_READ {
            return Ok(fold.state);
        }
        known = Some(fold);
    }
}

impl Folds {
    fn get(&self, run: RunId) -> Option<Fold> {
        self.0.lock().iter().find(|fold| fold.run == run).cloned()
    }

    fn forget(&self, run: RunId) {
        self.0.lock().retain(|fold| fold.run != run);
    }

    /// Lets go of a state that is to change, so that it need not be copied where nobody else looks at it.
    fn take(&self, fold: Fold) -> Fold {
        self.0.lock().retain(|kept| !Arc::ptr_eq(&kept.state, &fold.state));
        fold
    }

    /// Keeps a state, unless it is a short one, or another look has come further.
    fn put(&self, fold: &Fold) {
        let mut folds = self.0.lock();
        let newer = |kept: &Fold| kept.run == fold.run && kept.state.seq >= fold.state.seq;
        if fold.state.seq < LONG_LOG || folds.iter().any(newer) {
            return;
        }
        folds.retain(|kept| kept.run != fold.run);
        folds.push_back(fold.clone());
        while folds.len() > 1 && folds.iter().map(|kept| kept.bytes).sum::<usize>() > MAX_FOLDED_BYTES {
            folds.pop_front();
        }
    }
}

impl Fold {
    fn begun(run: RunId, events: &[Event]) -> Result<Self, Error> {
        let state = begun(run, events)?;
        Ok(Self { run, state: Arc::new(state), bytes: events.iter().map(weight).sum() })
    }

    fn followed_by(mut self, events: &[Event]) -> Result<Self, Error> {
        apply(self.run, Arc::make_mut(&mut self.state), events)?;
        self.bytes += events.iter().map(weight).sum::<usize>();
        Ok(self)
    }
}

/// About how many bytes a state grows by with an event. What a later event takes away again is not counted off.
fn weight(event: &Event) -> usize {
    let of_values = match &event.kind {
        EventKind::RunCreated(created) => created.input.len(),
        EventKind::RunSucceeded(succeeded) => inline(&succeeded.output),
        EventKind::StepSucceeded(succeeded) => inline(&succeeded.output),
        EventKind::StepResumed(resumed) => resumed.signal.len(),
        EventKind::StepWaiting(waiting) => match &waiting.wait {
            Wait::Items { items, body, .. } => inline(items) + inline(body),
            Wait::Timer { .. } | Wait::Signal { .. } => 0,
        },
        _ => 0,
    };
    EVENT_BYTES + of_values
}

fn inline(payload: &Payload) -> usize {
    match payload {
        Payload::Value(json) | Payload::Blob { fields: json, .. } => json.len(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stepcell_core::{Digest, Json, event::RunCreated};

    use super::*;

    fn created(input: String) -> Event {
        let kind = EventKind::RunCreated(RunCreated {
            flow: "f".to_owned(),
            flow_digest: Digest::of(b"f"),
            input: Json::from(json!(input)),
            idempotency_key: None,
            plugins: std::collections::BTreeMap::new(),
            deadline: None,
            retry_of: None,
        });
        Event { seq: 1, at: jiff::Timestamp::UNIX_EPOCH, step: None, kind }
    }

    /// A run of so many events, which take so many bytes.
    fn fold(run: u8, seq: u64, bytes: usize) -> Fold {
        let mut state = RunState::new(&created(String::new())).unwrap();
        state.seq = seq;
        Fold { run: RunId::from_bytes([run; 16]), state: Arc::new(state), bytes }
    }

    fn kept(folds: &Folds) -> Vec<(u8, u64)> {
        folds.0.lock().iter().map(|fold| (fold.run.as_bytes()[0], fold.state.seq)).collect()
    }

    #[test]
    fn large_values_weigh_more_than_many_events() {
        let value = Fold::begun(RunId::from_bytes([1; 16]), &[created("x".repeat(100_000))]).unwrap();
        assert!((100_000..110_000).contains(&value.bytes), "{}", value.bytes);
        let folds = Folds::default();
        folds.put(&fold(1, LONG_LOG, MAX_FOLDED_BYTES / 2));
        folds.put(&fold(2, LONG_LOG * 9, MAX_FOLDED_BYTES / 2));
        assert_eq!(kept(&folds), [(1, LONG_LOG), (2, LONG_LOG * 9)]);
        folds.put(&fold(3, LONG_LOG, 1));
        assert_eq!(kept(&folds), [(2, LONG_LOG * 9), (3, LONG_LOG)]);
        folds.put(&fold(4, LONG_LOG, MAX_FOLDED_BYTES * 2));
        assert_eq!(kept(&folds), [(4, LONG_LOG)]);
    }

    #[test]
    fn a_slower_look_takes_nothing_back() {
        let folds = Folds::default();
        let (old, new) = (fold(1, LONG_LOG, 1), fold(1, LONG_LOG + 1, 1));
        folds.put(&old);
        folds.put(&new);
        folds.take(old.clone());
        folds.put(&old);
        folds.put(&fold(2, LONG_LOG - 1, 1));
        assert_eq!(kept(&folds), [(1, LONG_LOG + 1)]);
    }
}
