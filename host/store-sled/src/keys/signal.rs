//! Keys of claims, waits and kept events.

use jiff::Timestamp;
use stepcell_core::{Digest, RunId, StepId};
use stepcell_store::Taken;

use super::{HALF_DIGEST_BYTES, Key, RUN_BYTES, digest_key, due_bytes, half_digest, read_instant, run_key};

const CLAIM: u8 = b'q';
const CLAIM_OF_RUN: u8 = b'g';
const WAIT: u8 = b'a';
const WAIT_OF_RUN: u8 = b'd';
const EVENT_ID: u8 = b'i';
const EVENT: u8 = b'k';
const EVENT_OVER: u8 = b'l';
const EVENT_FREE: u8 = b'j';

const NOBODYS: u8 = 0;
const OF_RUN: u8 = 1;

/// Which run a submission's key stands for.
pub(crate) fn claim(key: Digest) -> [u8; 33] {
    digest_key(CLAIM, key)
}

/// Under which key a run was submitted.
pub(crate) fn claim_of_run(run: RunId) -> [u8; 17] {
    run_key(CLAIM_OF_RUN, run)
}

/// A step that waits for a name. Sorts as its key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WaitId {
    name: [u8; HALF_DIGEST_BYTES],
    pub(crate) run: RunId,
    step: [u8; HALF_DIGEST_BYTES],
}

impl WaitId {
    pub(crate) fn new(name: &str, run: RunId, step: &StepId) -> Self {
        Self { name: half_digest(name), run, step: half_digest(step.as_str()) }
    }

    /// The first and the last one that a name may have.
    pub(crate) fn ends(name: &str) -> (Self, Self) {
        let end = |byte| Self {
            name: half_digest(name),
            run: RunId::from_bytes([byte; RUN_BYTES]),
            step: [byte; HALF_DIGEST_BYTES],
        };
        (end(0), end(u8::MAX))
    }

    pub(crate) fn key(&self) -> [u8; 49] {
        let mut key = Key::new(WAIT);
        key.put(&self.name).put(self.run.as_bytes()).put(&self.step);
        key.done()
    }

    pub(crate) fn of_run(&self) -> [u8; 49] {
        let mut key = Key::new(WAIT_OF_RUN);
        key.put(self.run.as_bytes()).put(&self.name).put(&self.step);
        key.done()
    }

    pub(crate) fn read(key: &[u8]) -> Option<Self> {
        let (name, rest) = key.strip_prefix(&[WAIT])?.split_first_chunk()?;
        let (run, step) = rest.split_first_chunk()?;
        Some(Self { name: *name, run: RunId::from_bytes(*run), step: step.try_into().ok()? })
    }

    pub(crate) fn read_of_run(key: &[u8]) -> Option<Self> {
        let (run, rest) = key.strip_prefix(&[WAIT_OF_RUN])?.split_first_chunk()?;
        let (name, step) = rest.split_first_chunk()?;
        Some(Self { name: *name, run: RunId::from_bytes(*run), step: step.try_into().ok()? })
    }
}

/// What the keys of [`WaitId::of_run`] start with, for one run.
pub(crate) fn waits_of_run(run: RunId) -> [u8; 17] {
    run_key(WAIT_OF_RUN, run)
}

/// A kept event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EventId {
    name: [u8; HALF_DIGEST_BYTES],
    id: [u8; HALF_DIGEST_BYTES],
}

impl EventId {
    pub(crate) fn new(name: &str, id: &str) -> Self {
        Self { name: half_digest(name), id: half_digest(id) }
    }

    /// The first and the last one that a name may have.
    pub(crate) fn ends(name: &str) -> (Self, Self) {
        let end = |byte| Self { name: half_digest(name), id: [byte; HALF_DIGEST_BYTES] };
        (end(0), end(u8::MAX))
    }

    pub(crate) fn has_name_of(&self, other: Self) -> bool {
        self.name == other.name
    }

    pub(crate) fn key(&self) -> [u8; 33] {
        let mut key = Key::new(EVENT_ID);
        key.put(&self.name).put(&self.id);
        key.done()
    }

    /// Part `part` of what was sent at that time.
    pub(crate) fn part(&self, at: Timestamp, part: u16) -> [u8; 51] {
        let mut key = Key::new(EVENT);
        key.put(&self.name).put(&due_bytes(at)).put(&self.id).put(&part.to_be_bytes());
        key.done()
    }

    pub(crate) fn read_part(key: &[u8]) -> Option<(Timestamp, Self)> {
        let (name, rest) = key.strip_prefix(&[EVENT])?.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk::<16>()?;
        let (id, _) = rest.split_first_chunk()?;
        Some((read_instant(at)?, Self { name: *name, id: *id }))
    }

    /// That those may have it who began after it was sent; `None` where it is everybody's, and so none of theirs.
    pub(crate) fn free(&self, taken: Taken, at: Timestamp) -> Option<[u8; 66]> {
        let (kind, run) = match taken {
            Taken::Nobody => (NOBODYS, [0; RUN_BYTES]),
            Taken::Run(run) => (OF_RUN, *run.as_bytes()),
            Taken::All => return None,
        };
        let mut key = Key::new(EVENT_FREE);
        key.put(&self.name).put(&[kind]).put(&run).put(&due_bytes(at)).put(&self.id);
        Some(key.done())
    }

    pub(crate) fn read_free(key: &[u8]) -> Option<(Timestamp, Self)> {
        let (name, rest) = key.strip_prefix(&[EVENT_FREE])?.split_first_chunk()?;
        let (_, rest) = rest.split_first_chunk::<{ 1 + RUN_BYTES }>()?;
        let (at, id) = rest.split_first_chunk::<16>()?;
        Some((read_instant(at)?, Self { name: *name, id: id.try_into().ok()? }))
    }

    pub(crate) fn by_until(&self, until: Timestamp) -> [u8; 49] {
        let mut key = Key::new(EVENT_OVER);
        key.put(&due_bytes(until)).put(&self.name).put(&self.id);
        key.done()
    }

    pub(crate) fn read_by_until(key: &[u8]) -> Option<Self> {
        let (_, rest) = key.strip_prefix(&[EVENT_OVER])?.split_first_chunk::<16>()?;
        let (name, id) = rest.split_first_chunk()?;
        Some(Self { name: *name, id: id.try_into().ok()? })
    }
}

/// The keys of all events whose time is over at `now`, as the ends of a range that has both.
pub(crate) fn events_over_at(now: Timestamp) -> ([u8; 1], [u8; 49]) {
    let last = EventId { name: [u8::MAX; HALF_DIGEST_BYTES], id: [u8::MAX; HALF_DIGEST_BYTES] };
    ([EVENT_OVER], last.by_until(now))
}
