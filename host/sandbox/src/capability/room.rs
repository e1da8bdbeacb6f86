//! Bytes that the host holds for cells beside their own memory: bodies and blobs on their way in and out.
//!
//! There is one room for each direction, shared by the whole host. Nobody waits in a circle: a cell waits for room to
//! send only where it holds nothing, and for room to receive only where it has received nothing that it still holds.
//! Otherwise it takes what is free, or is told that there is none.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes held for all cells together, in each direction. A step's own limits protect nobody where hundreds of steps
/// use theirs at the same time.
const HELD_BYTES_MAX: usize = 512 << 20;
/// What needs no room. Cells that may be alive at a time bound the sum of it.
const FREE_BYTES: usize = 64 << 10;
/// What room is counted in.
const UNIT_BYTES: usize = 4 << 10;

/// There is no room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host holds as much for steps already as it does at a time")]
pub(crate) struct Full;

#[derive(Debug, Clone)]
pub(crate) struct Room {
    units: Arc<Semaphore>,
    total: u32,
}

/// In how many places one cell has room, or waits for it.
#[derive(Debug, Default)]
pub(crate) struct Share(AtomicUsize);

/// Those of one cell.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    pub(crate) incoming: Arc<Share>,
    pub(crate) outgoing: Arc<Share>,
}

/// Room for one body, given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held {
    permit: Option<OwnedSemaphorePermit>,
    share: Option<Arc<Share>>,
}

impl Default for Room {
    fn default() -> Self {
        Self::new(HELD_BYTES_MAX)
    }
}

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        let total = units(bytes);
        Self { units: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// For a body of an answer, of which there are this many bytes now, or will be.
    pub(crate) async fn receive(&self, held: &mut Held, bytes: usize, shares: &Shares) -> Result<(), Full> {
        self.grow(held, bytes, &shares.incoming, true).await
    }

    /// For a body of a request.
    pub(crate) async fn send(&self, held: &mut Held, bytes: usize, shares: &Shares) -> Result<(), Full> {
        self.grow(held, bytes, &shares.outgoing, shares.incoming.0.load(SeqCst) == 0).await
    }

    /// Nobody has room for what may come, only for what is there or announced.
    async fn grow(
        &self,
        held: &mut Held,
        bytes: usize,
        share: &Arc<Share>,
        may_wait: bool,
    ) -> Result<(), Full> {
        // More than there is at all is held alone.
        let needed = units(bytes).min(self.total);
        let has = held.units();
        if bytes <= FREE_BYTES || needed <= has {
            return Ok(());
        }
        // At once for as much again, so that a long body does not ask for each of its parts.
        let generous = has.saturating_mul(2).clamp(needed, self.total.max(needed));
        for wanted in [generous, needed] {
            if let Ok(permit) = Arc::clone(&self.units).try_acquire_many_owned(wanted - has) {
                held.add(permit, share);
                return Ok(());
            }
        }
        if !may_wait || held.share.is_some() || !share.begin() {
            return Err(Full);
        }
        held.share = Some(Arc::clone(share));
        // It is closed by nobody.
        held.permit = Arc::clone(&self.units).acquire_many_owned(needed).await.ok();
        Ok(())
    }
}

impl Share {
    /// Whether this is its only place.
    fn begin(&self) -> bool {
        self.0.compare_exchange(0, 1, SeqCst, SeqCst).is_ok()
    }
}

impl Held {
    fn units(&self) -> u32 {
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        u32::try_from(held).unwrap_or(u32::MAX)
    }

    fn add(&mut self, permit: OwnedSemaphorePermit, share: &Arc<Share>) {
        match &mut self.permit {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
        if self.share.is_none() {
            share.0.fetch_add(1, SeqCst);
            self.share = Some(Arc::clone(share));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(share) = self.share.take() {
            share.0.fetch_sub(1, SeqCst);
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

    /// What it holds; `None` where it waits.
    #[track_caller]
    fn received(room: &Room, bytes: usize, cell: &Shares) -> Option<Result<Held, Full>> {
        let mut held = Held::default();
        let done = room.receive(&mut held, bytes, cell).now_or_never();
        done.map(|done| done.map(|()| held))
    }

    fn sent(room: &Room, bytes: usize, cell: &Shares) -> Option<Result<Held, Full>> {
        let mut held = Held::default();
        let done = room.send(&mut held, bytes, cell).now_or_never();
        done.map(|done| done.map(|()| held))
    }

    #[test]
    fn what_is_small_needs_none() {
        let room = Room::new(0);
        assert_eq!(received(&room, FREE_BYTES, &Shares::default()).unwrap().unwrap().units(), 0);
    }

    #[test]
    fn one_waits_for_another() {
        let (room, other, cell) = (Room::new(LARGE), Shares::default(), Shares::default());
        let first = received(&room, LARGE, &other).unwrap().unwrap();
        let mut held = Held::default();
        let mut second = Box::pin(room.receive(&mut held, LARGE, &cell));
        assert_eq!(second.as_mut().now_or_never(), None);
        drop(first);
        assert_eq!(second.as_mut().now_or_never(), Some(Ok(())));
        drop(second);
        assert_eq!(held.units(), units(LARGE));
        drop(held);
        assert_eq!(
            (cell.incoming.0.load(SeqCst), room.units.available_permits()),
            (0, units(LARGE) as usize)
        );
    }

    #[test]
    fn a_body_that_grows_holds_no_more_than_twice_its_length() {
        let (room, cell) = (Room::new(LARGE), Shares::default());
        let mut held = Held::default();
        for bytes in (FREE_BYTES..LARGE / 2).step_by(10_000) {
            assert_eq!(room.receive(&mut held, bytes, &cell).now_or_never(), Some(Ok(())));
            assert!(held.units() <= 2 * units(bytes));
        }
        assert_eq!(room.receive(&mut held, LARGE, &cell).now_or_never(), Some(Ok(())));
    }

    #[test]
    fn who_holds_something_is_told_instead_of_waiting() {
        let (room, other, cell) = (Room::new(LARGE), Shares::default(), Shares::default());
        let _all = (received(&room, LARGE / 2, &other), received(&room, LARGE / 2, &cell));
        assert_eq!(received(&room, LARGE / 2, &cell).unwrap().unwrap_err(), Full);
        // Nor does one wait to send what it may be receiving.
        let sending = Room::new(LARGE);
        let _sent = sent(&sending, LARGE, &other);
        assert_eq!(sent(&sending, LARGE, &cell).unwrap().unwrap_err(), Full);
        assert!(sent(&sending, LARGE, &Shares::default()).is_none(), "it holds nothing");
    }

    #[test]
    fn who_waits_already_is_told() {
        let (room, other, cell) = (Room::new(LARGE), Shares::default(), Shares::default());
        let _all = received(&room, LARGE, &other);
        let mut held = Held::default();
        let mut waiting = Box::pin(room.receive(&mut held, LARGE, &cell));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        assert_eq!(received(&room, LARGE, &cell).unwrap().unwrap_err(), Full);
        drop(waiting);
        drop(held);
        assert!(received(&room, LARGE, &cell).is_none(), "it waits again");
    }

    #[test]
    fn more_than_there_is_is_held_alone() {
        let (room, cell) = (Room::new(LARGE), Shares::default());
        let all = received(&room, 9 * LARGE, &cell).unwrap().unwrap();
        assert!(received(&room, LARGE, &Shares::default()).is_none());
        drop(all);
        assert!(received(&room, LARGE, &Shares::default()).is_some());
    }
}
