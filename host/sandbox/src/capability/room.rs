//! Bytes that the host holds for cells beside their own memory: bodies and blobs on their way in and out.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes held for all cells together, in each direction. A step's own limits protect nobody where hundreds of steps
/// use theirs at the same time.
const HELD_BYTES_MAX: usize = 512 << 20;
/// What needs no room. Cells that may be alive at a time bound the sum of it.
pub(crate) const FREE_BYTES: usize = 64 << 10;
/// What room is counted in.
const UNIT_BYTES: usize = 4 << 10;

/// One for each direction, shared by the whole host: who holds what he sends may wait for room to receive, and never
/// the other way round.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    units: Arc<Semaphore>,
    total: usize,
}

/// Given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held(Option<OwnedSemaphorePermit>);

impl Default for Room {
    fn default() -> Self {
        Self::new(HELD_BYTES_MAX)
    }
}

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        let total = units(bytes);
        Self { units: Arc::new(Semaphore::new(total as usize)), total: total as usize }
    }

    /// For what is in the host's memory already; `None` where there is no room.
    pub(crate) fn take(&self, bytes: usize) -> Option<Held> {
        if bytes <= FREE_BYTES {
            return Some(Held::default());
        }
        let taken = Arc::clone(&self.units).try_acquire_many_owned(self.units_of(bytes));
        taken.ok().map(|permit| Held(Some(permit)))
    }

    /// Waits in turn for all that may come, so that nobody who has some waits for more.
    pub(crate) async fn wait(&self, bytes: usize) -> Held {
        if bytes <= FREE_BYTES {
            return Held::default();
        }
        // It is closed by nobody.
        Held(Arc::clone(&self.units).acquire_many_owned(self.units_of(bytes)).await.ok())
    }

    /// More than there is at all is held alone.
    fn units_of(&self, bytes: usize) -> u32 {
        units(bytes).min(u32::try_from(self.total).unwrap_or(u32::MAX))
    }
}

impl Held {
    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Gives back what is not needed.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.0 {
            let needed = units(bytes) as usize;
            drop(permit.split(permit.num_permits().saturating_sub(needed)));
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const LARGE: usize = 1 << 20;

    #[test]
    fn what_is_small_needs_none() {
        let room = Room::new(0);
        assert!(!room.take(FREE_BYTES).unwrap().is_some());
    }

    #[test]
    fn what_was_dropped_or_not_needed_makes_room() {
        let room = Room::new(2 * LARGE);
        let mut first = room.take(2 * LARGE).unwrap();
        assert!(room.take(LARGE).is_none());
        first.shrink(LARGE);
        let second = room.take(LARGE).unwrap();
        assert!(room.take(LARGE).is_none());
        drop((first, second));
        assert!(room.take(2 * LARGE).is_some());
    }

    #[test]
    fn one_waits_for_another() {
        let room = Room::new(LARGE);
        let first = room.wait(LARGE).now_or_never().unwrap();
        let mut second = std::pin::pin!(room.wait(LARGE));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().unwrap().is_some());
    }

    #[test]
    fn more_than_there_is_is_held_alone() {
        let room = Room::new(LARGE);
        let all = room.wait(9 * LARGE).now_or_never().unwrap();
        assert!(room.take(LARGE).is_none());
        drop(all);
        assert!(room.take(LARGE).is_some());
    }
}
