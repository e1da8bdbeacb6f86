//! How many executions of a step type may be under way at a time, in all runs together.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// One semaphore for each limited type. Who came first goes first.
#[derive(Debug)]
pub(crate) struct Slots(HashMap<String, Arc<Semaphore>>);

/// Leave for one execution; gives it back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub(crate) fn new(limits: &BTreeMap<String, usize>) -> Self {
        let semaphore = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self(limits.iter().map(|(kind, most)| (kind.clone(), semaphore(*most))).collect())
    }

    /// Waits for leave to run a step of this type; dropping the future gives the place in the line up. `None` once
    /// nothing is to begin any more.
    pub(crate) async fn take(&self, kind: &str, draining: &CancellationToken) -> Option<Slot> {
        let Some(semaphore) = self.0.get(kind) else { return Some(Slot { _permit: None }) };
        tokio::select! {
            biased;
            () = draining.cancelled() => None,
            // No semaphore is ever closed.
            permit = semaphore.clone().acquire_owned() => Some(Slot { _permit: permit.ok() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    struct Line {
        slots: Slots,
        draining: CancellationToken,
    }

    impl Line {
        fn new() -> Self {
            let slots = Slots::new(&BTreeMap::from([("model".to_owned(), 1)]));
            Self { slots, draining: CancellationToken::new() }
        }

        fn take(&self, kind: &'static str) -> impl Future<Output = Option<Slot>> + Unpin {
            Box::pin(self.slots.take(kind, &self.draining))
        }
    }

    #[test]
    fn a_type_without_a_limit_never_waits() {
        let line = Line::new();
        let taken: Vec<_> = (0..100).map(|_| line.take("other").now_or_never().flatten()).collect();
        assert!(taken.iter().all(Option::is_some));
    }

    #[test]
    fn who_came_first_goes_first() {
        let line = Line::new();
        let first = line.take("model").now_or_never().unwrap();
        let (mut second, mut third) = (line.take("model"), line.take("model"));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        assert!((&mut third).now_or_never().is_none());
        let second = (&mut second).now_or_never().unwrap();
        assert!((&mut third).now_or_never().is_none());
        drop(second);
        assert!((&mut third).now_or_never().is_some());
    }

    #[test]
    fn who_gives_up_waiting_holds_up_nobody() {
        let line = Line::new();
        let first = line.take("model").now_or_never().unwrap();
        let mut second = line.take("model");
        assert!((&mut second).now_or_never().is_none());
        drop((second, first));
        assert!(line.take("model").now_or_never().unwrap().is_some());
    }

    #[test]
    fn nobody_begins_while_the_engine_drains() {
        let line = Line::new();
        let first = line.take("model").now_or_never().unwrap();
        let mut second = line.take("model");
        assert!((&mut second).now_or_never().is_none());
        line.draining.cancel();
        assert!((&mut second).now_or_never().unwrap().is_none());
        drop(first);
        assert!(line.take("model").now_or_never().unwrap().is_none());
    }
}
